"""Values of a trace as they are read: each checked, since the file may be a stranger's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar, cast

from finemem_env.fields import Fields

_T = TypeVar("_T")
_MOST = 1e300  # of a number


def need(found: Fields, key: str, kind: type[_T]) -> _T:
    """The value of a key that must be there; an int will do where a float is expected."""
    value = found.get(key)
    if kind is float and is_number(value):
        value = float(cast(float, value))
    if type(value) is not kind or (kind is float and not is_number(value)):
        raise found.error(key, f"a value of type {kind.__name__}")
    return value


def optional(found: Fields, key: str, kind: type[_T]) -> _T | None:
    """The value of a key, None where there is none."""
    return None if found.get(key) is None else need(found, key, kind)


def each(
    found: Fields,
    key: str,
    fits: Callable[[Any], bool],
    expected: str,
    default: list[object] | None = None,
) -> list[Any]:
    """A list whose every entry `fits`."""
    values = found.items(key, default)
    if not all(map(fits, values)):
        raise found.error(key, f"a list of {expected}")
    return values


def numbers(found: Fields, key: str) -> tuple[float, ...]:
    """A list of finite numbers."""
    return tuple(map(float, each(found, key, is_number, "numbers")))


def is_number(value: object) -> bool:
    """Whether it is a finite number that arithmetic can take."""
    return type(value) in (int, float) and -_MOST < cast(float, value) < _MOST


def is_plain(value: object) -> bool:
    """Whether what JSON text was read from can be written as JSON again: no NaN is in it."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return True


def plain(found: Fields, key: str) -> dict[str, object]:
    """An object that can be written as JSON again; empty when absent."""
    value = found.mapping(key)
    if not is_plain(value):
        raise found.error(key, "an object of finite numbers, nested less deep")
    return value


def texts(found: Fields, key: str) -> dict[str, str]:
    """An object of texts; empty when absent."""
    value = found.mapping(key)
    if not all(isinstance(text, str) for text in value.values()):
        raise found.error(key, "an object of texts")
    return cast("dict[str, str]", value)


def terms(found: Fields, key: str) -> dict[str, float]:
    """An object of numbers; empty when absent."""
    value = found.mapping(key)
    if not all(map(is_number, value.values())):
        raise found.error(key, "an object of numbers")
    return cast("dict[str, float]", value)


def is_citation(value: object) -> bool:
    """Whether it is [index of an item, sentence]."""
    return isinstance(value, list) and len(value) == 2 and type(value[0]) is int


def is_score(value: object) -> bool:
    """Whether it is a number or null."""
    return value is None or is_number(value)


def is_reply(value: object) -> bool:
    """Whether it is a text or null."""
    return value is None or isinstance(value, str)


def is_evidence(value: object) -> bool:
    """Whether it is [chunk, sentence or null]."""
    return isinstance(value, list) and list(map(type, value)) in ([int, str], [int, type(None)])


def is_credit(value: object) -> bool:
    """Whether it is [step, part]."""
    if not isinstance(value, list) or len(value) != 2:
        return False
    return type(value[0]) is int and is_number(value[1])
