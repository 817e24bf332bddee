"""Checks of what agents and stores are given, beyond their types."""

from __future__ import annotations

from finemem_env.errors import ConfigError


def at_least(least: int, name: str, value: int) -> int:
    """The value of the argument `name`, which comes from a command line or a file.

    Raises:
        ConfigError: it is no integer, or smaller than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name}: expected an integer ≥ {least}, got {value!r}.")
    return value
