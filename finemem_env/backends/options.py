"""Reads a mapping of options into a dataclass: unknown names, missing ones, wrong types."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from finemem_env.errors import ConfigError, nearest

__all__ = ["check_number", "read_options"]

_T = TypeVar("_T")


def read_options(cls: type[_T], given: Mapping[str, object], where: str) -> _T:
    """An instance of the dataclass `cls` from `given`; `where` starts every error message.

    Raises:
        ConfigError: an unknown option (with the nearest match), a required one that is missing, or
            a value of the wrong type.
    """
    fields = {one.name: one for one in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for key, value in given.items():
        if key not in fields:
            raise ConfigError(nearest(f"option of {where}", key, fields))
        if not _fits(value, hints[key]):
            raise ConfigError(f"{where}: {key} must be {_describe(hints[key])}, got {value!r}.")
    for name, one in fields.items():
        if name not in given and _required(one):
            raise ConfigError(f"{where}: {name} is missing; it must be {_describe(hints[name])}.")
    return cls(**given)


def check_number(
    where: str, key: str, value: float, low: float, high: float = math.inf, *, above: bool = False
) -> None:
    """Refuse a number outside [low, high], or equal to `low` when `above` is set.

    Raises:
        ConfigError: `value` is out of range or not finite.
    """
    if not (math.isfinite(value) and low <= value <= high) or (above and value == low):
        least = f"above {low:g}" if above else f"at least {low:g}"
        most = "" if high == math.inf else f" and at most {high:g}"
        raise ConfigError(f"{where}: {key} must be {least}{most}, got {value!r}.")


def _required(one: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return one.default is missing and one.default_factory is missing


def _fits(value: object, hint: Any) -> bool:  # noqa: ANN401
    return any(_fits_one(value, option) for option in _alternatives(hint))


def _fits_one(value: object, option: Any) -> bool:  # noqa: ANN401
    if option is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if typing.get_origin(option) is typing.Literal:
        return value in typing.get_args(option)
    return isinstance(value, typing.get_origin(option) or option)


def _alternatives(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return typing.get_args(hint)
    return (hint,)


_NAMES = {
    "int": "an integer",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "NoneType": "null",
    "Mapping": "a mapping",
}


def _describe(hint: Any) -> str:  # noqa: ANN401
    parts: list[str] = []
    for option in _alternatives(hint):
        if typing.get_origin(option) is typing.Literal:
            parts.extend(repr(one) for one in typing.get_args(option))
        else:
            name = (typing.get_origin(option) or option).__name__
            parts.append(_NAMES.get(name, name))
    return " or ".join(parts)
