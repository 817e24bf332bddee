"""Dataclasses of options, checked by type and range, and read from a mapping."""

from __future__ import annotations

import dataclasses
import difflib
import math
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from finemem_env.errors import ConfigError, nearest

_T = TypeVar("_T")


def setting(
    default: Any,  # noqa: ANN401
    text: str,
    *,
    low: float | None = None,
    above: float | None = None,
    below: float | None = None,
    option: str | None = None,
) -> Any:  # noqa: ANN401
    """A dataclass field with its line of help and its range, for `check_fields`.

    Args:
        default: of the field; a dict is copied for every instance.
        text: the line of help.
        low: smallest number.
        above: the number must be above this.
        below: the number must be below this.
        option: its name on the command line and in files, where that is not the field's.
    """
    metadata = {"help": text, "low": low, "above": above, "below": below, "option": option}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check_fields(config: Any) -> None:  # noqa: ANN401 - an instance of a dataclass
    """Refuse a field of the wrong type, not finite, or out of the range of its `setting`.

    Raises:
        ConfigError: names the field, what was expected, and what came.
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if not _fits(value, hints[field.name]) or not _in_range(value, field.metadata):
            name = field.metadata.get("option") or field.name
            expected = _describe(hints[field.name]) + _describe_range(field.metadata)
            close = difflib.get_close_matches(
                str(value), _choices(hints[field.name]), n=1, cutoff=0.5
            )
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"{name}: expected {expected}, got {value!r}.{hint}")


def _choices(hint: Any) -> list[str]:  # noqa: ANN401
    """The names that a Literal allows."""
    if typing.get_origin(hint) is not typing.Literal:
        return []
    return [str(choice) for choice in typing.get_args(hint)]


def _in_range(value: object, limits: Mapping[str, Any]) -> bool:
    if not isinstance(value, int | float):
        return True
    low, above, below = (limits.get(name) for name in ("low", "above", "below"))
    return (
        _finite(value)
        and (low is None or value >= low)
        and (above is None or value > above)
        and (below is None or value < below)
    )


def _finite(value: float) -> bool:
    """Whether it is a number that a float can hold; integers have no end."""
    return abs(value) <= sys.float_info.max


def _describe_range(limits: Mapping[str, Any]) -> str:
    words = {"low": "at least", "above": "above", "below": "below"}
    parts = [f"{text} {limits[key]}" for key, text in words.items() if limits.get(key) is not None]
    return f" ({', '.join(parts)})" if parts else ""


def read_options(cls: type[_T], values: Mapping[str, object], where: str) -> _T:
    """An instance of the dataclass `cls` from `values`; `where` starts every error message.

    Raises:
        ConfigError: an unknown option (with the nearest match), a required one that is missing, or
            a value of the wrong type.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for key, value in values.items():
        if key not in fields:
            raise ConfigError(nearest(f"option of {where}", key, fields))
        if not _fits(value, hints[key]):
            raise ConfigError(f"{where}: {key} must be {_describe(hints[key])}, got {value!r}.")
    for name, field in fields.items():
        if name not in values and _required(field):
            raise ConfigError(f"{where}: {name} is missing; it must be {_describe(hints[name])}.")
    return cls(**values)


def check_number(
    where: str, key: str, value: float, low: float, high: float = math.inf, *, above: bool = False
) -> None:
    """Refuse a number outside [low, high], or equal to `low` when `above` is set.

    Raises:
        ConfigError: `value` is no number, out of range or not finite.
    """
    if not _fits_one(value, float):
        raise ConfigError(f"{where}: {key} must be a number, got {value!r}.")
    if not (_finite(value) and low <= value <= high) or (above and value == low):
        least = f"above {low:g}" if above else f"at least {low:g}"
        most = "" if high == math.inf else f" and at most {high:g}"
        raise ConfigError(f"{where}: {key} must be {least}{most}, got {value!r}.")


def _required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _fits(value: object, hint: Any) -> bool:  # noqa: ANN401
    return any(_fits_one(value, option) for option in _alternatives(hint))


def _fits_one(value: object, option: Any) -> bool:  # noqa: ANN401
    if option is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if typing.get_origin(option) is typing.Literal:
        return value in typing.get_args(option)
    if not isinstance(value, typing.get_origin(option) or option):
        return False
    held = _held(option)
    return held is None or all(_fits(one, held) for one in value.values())


def _held(option: Any) -> Any:  # noqa: ANN401
    """The type of a mapping's values, None where it holds anything."""
    of = typing.get_origin(option)
    held = typing.get_args(option)[1:] if of is not None and issubclass(of, Mapping) else ()
    return held[0] if held and held[0] not in (Any, object) else None


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
    "Sequence": "a list",
    "dict": "a mapping",
}


def _describe(hint: Any) -> str:  # noqa: ANN401
    parts: list[str] = []
    for option in _alternatives(hint):
        if typing.get_origin(option) is typing.Literal:
            parts.extend(repr(choice) for choice in typing.get_args(option))
        else:
            name = (typing.get_origin(option) or option).__name__
            held = _held(option)
            of = "" if held is None else f" of names to {_describe(held)}"
            parts.append(_NAMES.get(name, name) + of)
    return " or ".join(parts)
