"""Checks of single settings: each returns the value in its final form or says what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from finemem_env.errors import ConfigError, nearest
from finemem_env.registry import fold

UNLIMITED = "unlimited"
Check = Callable[[str, object], object]


def one_of(options: Iterable[str]) -> Check:
    """One of some names, ignoring case, "-" and "_"; `options` is read at every check."""

    def check(name: str, given: object) -> str:
        if isinstance(given, str):
            for option in options:
                if fold(option) == fold(given):
                    return option
        raise ConfigError(nearest(name, given, options))

    return check


def integer(least: int) -> Check:
    """A whole number that is at least `least`."""

    def check(name: str, given: object) -> int:
        if isinstance(given, bool) or not isinstance(given, int) or given < least:
            raise ConfigError(f"{name}: expected an integer ≥ {least}, got {given!r}.")
        return given

    return check


def limit(name: str, given: object) -> int | None:
    """A number of at least 1, or "unlimited", which becomes None."""
    if given == UNLIMITED:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ConfigError(f'{name}: expected an integer ≥ 1 or "{UNLIMITED}", got {given!r}.')
    return given


def budget(name: str, given: object) -> int | float | None:
    """Tokens (int), a share of the episode's tokens (float), or "unlimited"."""
    if given == UNLIMITED:
        return None
    if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
        return given
    if isinstance(given, float) and given > 0 and math.isfinite(given):
        return given
    raise ConfigError(
        f"{name}: expected tokens (an integer ≥ 1), a share of the episode's tokens "
        f'(a float > 0, e.g. 0.4) or "{UNLIMITED}", got {given!r}.'
    )


def fraction(name: str, given: object) -> float:
    """A number in (0, 1]."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= 1:
        raise ConfigError(f"{name}: expected a number in (0, 1], got {given!r}.")
    return float(given)


def flag(name: str, given: object) -> bool:
    """True or False, and nothing that merely counts as one of them."""
    if not isinstance(given, bool):
        raise ConfigError(f"{name}: expected true or false, got {given!r}.")
    return given


def text(name: str, given: object) -> str:
    """A string that is not empty."""
    if not isinstance(given, str) or not given:
        raise ConfigError(f"{name}: expected a string, got {given!r}.")
    return given


def view(name: str, given: object) -> str:
    """Which items the manager sees."""
    kind, _, count = str(given).partition(":")
    if given == "all" or (kind in ("recent", "relevant") and count.isdecimal() and int(count) >= 1):
        return str(given)
    raise ConfigError(f'{name}: expected "all", "recent:K" or "relevant:K", got {given!r}.')


def component(name: str, given: object) -> Mapping[str, object]:
    """A name, or a mapping of a name and its options; the mapping is what comes out."""
    if isinstance(given, str):
        return {"name": given}
    if isinstance(given, Mapping) and isinstance(given.get("name"), str):
        return dict(given)
    raise ConfigError(f'{name}: expected a name or a mapping with a "name", got {given!r}.')


def optional(check: Check) -> Check:
    """`check`, or None where nothing was given."""

    def checked(name: str, given: object) -> object:
        return None if given is None else check(name, given)

    return checked
