"""Things with names: looked up forgivingly, refused with the nearest name, added by users.

Every table of names in this package is a `Registry`. What a user types may also be "module:name",
which is imported (`load_reference`): in keywords and on command lines only, never in data files,
since importing runs code.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from finemem_env.errors import ConfigError, nearest
from finemem_env.extras import PACKAGES, missing

T = TypeVar("T")


def fold(name: str) -> str:
    """The form in which names are compared: without case, "-" and "_"."""
    return name.casefold().replace("-", "").replace("_", "")


class Registry(Mapping[str, T], Generic[T]):
    """Values of one kind by name, in the order of registration.

    `registry[name]` wants the exact name; `find(given)` takes what a user typed.

    Args:
        kind: what the values are, for messages.
        entries: the ones that this package brings.
    """

    def __init__(self, kind: str, entries: Mapping[str, T] | None = None) -> None:
        self.kind = kind
        self._entries: dict[str, T] = dict(entries or {})

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def register(self, name: str, value: T) -> None:
        """Add a value under a new name.

        Raises:
            ConfigError: the name is taken, or could be mistaken for a path or "module:name".
        """
        if not isinstance(name, str) or not name.strip() or set(name) & set(":/\\ \t\n"):
            raise ConfigError(
                f"{self.kind}: expected a name without spaces, slashes and colons, got {name!r}."
            )
        for known in self._entries:
            if fold(known) == fold(name):
                raise ConfigError(f"{self.kind} {known!r} is registered already.")
        self._entries[name] = value

    def unregister(self, name: str) -> None:
        """Remove a value, for tests and for trying something again in a notebook."""
        del self._entries[name]

    def spelling(self, given: object) -> str:
        """The registered name that `given` means, ignoring case, "-" and "_".

        Raises:
            ConfigError: there is none; the nearest one is named.
        """
        if isinstance(given, str):
            if given in self._entries:
                return given
            for name in self._entries:
                if fold(name) == fold(given):
                    return name
        raise ConfigError(nearest(self.kind, given, self._entries))

    def find(self, given: object) -> T:
        """The value of the name that `given` means.

        Raises:
            ConfigError: as `spelling`.
        """
        return self._entries[self.spelling(given)]


def is_reference(given: object) -> bool:
    """Whether `given` has the form "module:name"."""
    if not isinstance(given, str):
        return False
    module, colon, name = given.partition(":")
    dotted = all(part.isidentifier() for part in module.split("."))
    return bool(colon) and dotted and name.isidentifier()


def load_reference(kind: str, reference: str) -> Any:  # noqa: ANN401
    """What "module:name" names.

    Raises:
        ConfigError: not of that form, or the module cannot be imported, or has nothing of that
            name; where an extra of this project brings what is missing, its name.
    """
    if not is_reference(reference):
        raise ConfigError(f"{kind}: expected package.module:Class, got {reference!r}.")
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] in PACKAGES:
            raise missing(f"{kind} {reference!r}", error) from error
        raise ConfigError(
            f"{kind} {reference!r} cannot be imported: {error} (is it on PYTHONPATH?)."
        ) from error
    except AttributeError as error:
        raise ConfigError(f"{kind} {reference!r}: module {module!r} has no {name!r}.") from error
