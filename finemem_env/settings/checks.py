"""Checks of single settings: each returns the value in its final form or says what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from finemem_env.errors import ConfigError, at_least, nearest
from finemem_env.registry import fold

UNLIMITED = "unlimited"
Check = Callable[[str, object], object]


def one_of(options: Iterable[str]) -> Check:
    """One of some names, ignoring case, "-" and "_"; `options` is read at every check."""

    def check(name: str, value: object) -> str:
        if isinstance(value, str):
            for option in options:
                if fold(option) == fold(value):
                    return option
        raise ConfigError(nearest(name, value, options))

    return check


def integer(least: int) -> Check:
    """A whole number that is at least `least`."""

    def check(name: str, value: object) -> int:
        return at_least(least, name, value)

    return check


def limit(name: str, value: object) -> int | None:
    """A number of at least 1, or "unlimited", which becomes None."""
    if value == UNLIMITED:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f'{name}: expected an integer ≥ 1 or "{UNLIMITED}", got {value!r}.')
    return value


def budget(name: str, value: object) -> int | float | None:
    """Tokens (int), a share of the episode's tokens (float), or "unlimited"."""
    if value == UNLIMITED:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if isinstance(value, float) and value > 0 and math.isfinite(value):
        return value
    raise ConfigError(
        f"{name}: expected tokens (an integer ≥ 1), a share of the episode's tokens "
        f'(a float > 0, e.g. 0.4) or "{UNLIMITED}", got {value!r}.'
    )


def fraction(name: str, value: object) -> float:
    """A number in (0, 1]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ConfigError(f"{name}: expected a number in (0, 1], got {value!r}.")
    return float(value)


def flag(name: str, value: object) -> bool:
    """True or False, and nothing that merely counts as one of them."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name}: expected true or false, got {value!r}.")
    return value


def text(name: str, value: object) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name}: expected a string, got {value!r}.")
    return value


def view(name: str, value: object) -> str:
    """Which items the manager sees."""
    kind, _, count = str(value).partition(":")
    if value == "all" or (kind in ("recent", "relevant") and count.isdecimal() and int(count) >= 1):
        return str(value)
    raise ConfigError(f'{name}: expected "all", "recent:K" or "relevant:K", got {value!r}.')


def component(name: str, value: object) -> Mapping[str, object]:
    """A name, or a mapping of a name and its options; the mapping is what comes out."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        return dict(value)
    raise ConfigError(f'{name}: expected a name or a mapping with a "name", got {value!r}.')


def optional(check: Check) -> Check:
    """`check`, or None where nothing was given."""

    def checked(name: str, value: object) -> object:
        return None if value is None else check(name, value)

    return checked
