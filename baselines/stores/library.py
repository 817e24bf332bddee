"""What the adapters of memory libraries have in common."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, TypeVar

from baselines.stores.clients import Client
from baselines.stores.embedders import Embedder
from finemem_env.extras import load

_T = TypeVar("_T")


def installed(package: str) -> str:
    """The version of a package, for the trace."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


class Library:
    """A store on a library: made when it is first told something, since that may ask servers.

    A subclass has `_make`, which returns the library's object, `module` to import, and `name`, by
    which users name it and the extra that brings it. `environment` are variables that it reads when
    it is imported; what is set already stays.

    Args:
        client: of the model; None for a library without one.
        embedder: of its search; None for one without.
    """

    name = ""
    module = ""
    environment: ClassVar[Mapping[str, str]] = {}

    def __init__(self, client: Client | None, embedder: Embedder | None) -> None:
        self._parts = [part for part in (client, embedder) if part is not None]
        self._made: Any = None
        self._keys = Keys()
        for variable, value in self.environment.items():
            os.environ.setdefault(variable, value)
        load(self.module, f"store {self.name!r}", self.name.replace("_", "-"))

    @classmethod
    def check(cls, **arguments: Any) -> None:  # noqa: ANN401
        """Refuse what could not be played, before anything is.

        Raises:
            ConfigError: a package, a model or an option.
        """
        cls(**arguments).close()

    def close(self) -> None:
        """Close the connections."""
        for part in self._parts:
            part.close()

    @property
    def _library(self) -> Any:  # noqa: ANN401
        if self._made is None:
            self._made = self._make()
        return self._made

    def _make(self) -> Any:  # noqa: ANN401
        raise NotImplementedError

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Around every call of the library, see `Client.watched`."""
        with ExitStack() as stack:
            for part in self._parts:
                stack.enter_context(part.watched())
            yield


class Keys:
    """Numbers for a library's ids, which are drawn anew in every run, by when they first came."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._ids: dict[str, str] = {}

    def key(self, own: str) -> str:
        """The key of a library's id."""
        if own not in self._keys:
            self._keys[own] = str(len(self._keys))
            self._ids[self._keys[own]] = own
        return self._keys[own]

    def own(self, key: str) -> str:
        """The library's id of a key."""
        return self._ids[key]

    def sorted(self, items: Iterable[_T], own: Callable[[_T], str]) -> list[tuple[str, _T]]:
        """Items with their keys, in the order in which they first came."""
        return sorted(((self.key(own(obj)), obj) for obj in items), key=lambda pair: int(pair[0]))

    def found(self, ids: Sequence[str]) -> list[str]:
        """The keys of what a search found, without what is not known."""
        return [self._keys[own] for own in ids if own in self._keys]


def dated(text: str, time: str | None) -> str:
    """A text below the time at which it was read, for libraries that have no place for it."""
    return text if time is None else f"Date: {time}\n{text}"
