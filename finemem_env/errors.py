"""The exceptions a caller can meet; agent text never raises any of them.

    FineMemError
    ├── ConfigError      a keyword, preset, protocol or option that does not fit (also a ValueError)
    │   └── KeywordError a keyword or render mode that there is not (a TypeError, as Python's)
    ├── DataError        a data file or episode that is missing or malformed (also a ValueError)
    ├── ReaderError      a reading agent that cannot be built or breaks its own contract
    └── BackendError     a language model that cannot be used (refused key, unknown model)

Agent mistakes are data (`types.RejectReason`); programmer and file mistakes raise.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Self

__all__ = [
    "BackendError",
    "ConfigError",
    "DataError",
    "FineMemError",
    "KeywordError",
    "ReaderError",
    "nearest",
]


class FineMemError(Exception):
    """Base class of every error this package raises on purpose."""


class ConfigError(FineMemError, ValueError):
    """A setting is unknown, has the wrong type, or contradicts another one."""


class KeywordError(ConfigError, TypeError):
    """A keyword, or a render mode, that nothing here takes.

    Other libraries probe an environment with keywords of their own and go on without them when
    Python answers with a TypeError; so this is one, in Python's words.
    """

    @classmethod
    def of(cls, name: str, known: Iterable[str]) -> Self:
        """The error for `name`; not `__init__`, since Gymnasium makes errors anew from a text."""
        return cls(
            f"got an unexpected keyword argument {name!r}: {nearest('keyword', name, known)}"
        )


class DataError(FineMemError, ValueError):
    """A data file is missing or malformed, or an episode breaks the schema."""


class ReaderError(FineMemError):
    """A reading agent could not be built, or broke the `Reader` protocol."""


class BackendError(FineMemError):
    """A language model cannot be used, and trying again would not help."""


def nearest(kind: str, name: object, known: Iterable[str]) -> str:
    """One-line message for an unknown `name`: what was asked, what exists, the closest match."""
    options = sorted(known)
    close = difflib.get_close_matches(str(name), options, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"unknown {kind} {name!r}.{hint} Known: {', '.join(options)}."


def at_least(least: int, name: str, value: object) -> int:
    """The value of the setting or argument `name`: an integer from `least` on.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name}: expected an integer ≥ {least}, got {value!r}.")
    return value
