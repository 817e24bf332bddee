r"""`store`: a memory system with its own items and its own search, as an agent like any other.

    python -m baselines.benchmark --agent store --agent-args '{"store": "bm25"}' \
        --agent store --agent-args '{"store": "my_module:Notes"}' --output-dir runs/notes

The system is told every chunk (`add`), and what it then holds (`items`) is brought into the
environment's memory by key. So its tokens are counted, its texts have provenance, and the budget
holds: what does not fit is refused, the system is told so (`forget`), and its search cannot find
it. It takes the retriever's place, not the reader's: the reader answers from the items that it
finds, as they stand in the memory. `systems` says what a system is.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym

from baselines.agents import STORE, STORES, AgentError, Info, ModelError, factory_of
from baselines.managers.mirror import Mirror
from baselines.managers.outages import is_outage
from baselines.managers.scripted import reply, skip
from baselines.managers.systems import MemoryStore
from finemem_env.errors import ConfigError, nearest
from finemem_env.operations import is_blank
from finemem_env.prompts import parse_observation
from finemem_env.registry import load_reference
from finemem_env.session import limits_of
from finemem_env.text import normalise

_EXAMPLE = '--agent-args \'{"store": "bm25"}\' or \'{"store": "package.module:Class"}\''


class Store:
    """Plays a `MemoryStore` as agent and retriever; a fresh one for every episode.

    Args:
        store: makes one, or names one of `STORES` or its class as "package.module:Class".
        arguments: keywords of that class.

    Raises:
        ConfigError: a class that cannot be found, lacks a method or takes other arguments.
    """

    def __init__(
        self,
        store: str | Callable[..., MemoryStore] = "",
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self._make = _named(store) if isinstance(store, str) else store
        self._arguments = dict(arguments or {})
        self._name = store if isinstance(store, str) and store in STORES else _called(self._make)
        self._search = _Search("", _Play())
        self._replaced: Callable[[], Any] | None = None
        self._check()

    @property
    def version(self) -> str:
        """As a retriever: the name of the system and its version."""
        return f"{STORE}/{self._name}/{getattr(self._make, 'version', 'unversioned')}"

    def attach(self, env: gym.Env[str, str]) -> None:
        """Take the retriever's place in an environment.

        Raises:
            ConfigError: the environment's memory has several stores.
        """
        factory = factory_of(env)
        if factory.settings.memory != "flat":
            raise ConfigError(
                f"store: expected memory='flat', got {factory.settings.memory!r}: a system with "
                "its own search is one store."
            )
        self._replaced, factory.retriever = factory.retriever, self._retriever

    def detach(self, env: gym.Env[str, str]) -> None:
        """Close the store, and let the environment search for itself again."""
        factory_of(env).retriever = self._replaced
        self._search.play.close()

    def reset(self, info: Info) -> None:
        """Make a fresh store."""
        with _guarded("making it"):
            self._search.play.open(self._make(**self._arguments))

    def act(self, observation: str, info: Info) -> str:
        """Tell it the chunk, and bring the memory to what it holds now."""
        view, limits, play = parse_observation(observation), limits_of(info), self._search.play
        if view.chunk is None:
            return skip(view.lines)
        play.tell_refused(self._search.held)
        wanted = play.read(view.chunk, view.time)
        operations = play.mirror.operations(
            wanted, self._search.held, budget=view.budget, most=limits.max_operations
        )
        return reply(operations, view.lines)

    def _retriever(self) -> _Search:
        """The retriever of the next episode."""
        self._search.play.close()
        self._search = _Search(self.version, _Play())
        return self._search

    def _check(self) -> None:
        missing = [name for name in ("add", "items", "search") if not hasattr(self._make, name)]
        if isinstance(self._make, type) and missing:
            raise ConfigError(f"{self.version} has no method {', '.join(missing)}.")
        try:
            inspect.signature(self._make).bind(**self._arguments)
        except TypeError as error:
            raise ConfigError(f"{self.version}, arguments {self._arguments}: {error}.") from error
        check = getattr(self._make, "check", None)
        if check is not None:
            check(**self._arguments)


class _Play:
    """One store over one episode, with its mirror; every call to the store is guarded."""

    def __init__(self) -> None:
        self.store: MemoryStore | None = None
        self.mirror = Mirror()
        self._keys: dict[str, str] = {}
        self._told: dict[str, str] = {}

    def open(self, store: MemoryStore) -> None:
        """Begin with a fresh store."""
        if not isinstance(store, MemoryStore):
            raise ConfigError(f"{_called(type(store))} has no methods add, items and search.")
        self.store = store

    def close(self) -> None:
        """End it, where it wants to be ended; what goes wrong then costs nothing."""
        store, self.store = self.store, None
        with contextlib.suppress(Exception):
            _optional(store, "close")

    def read(self, chunk: str, time: str | None) -> dict[str, str]:
        """What the store holds after it was told a chunk: text by key."""
        assert self.store is not None
        with _guarded("add"):
            self.store.add(chunk, time)
        with _guarded("flush"):
            _optional(self.store, "flush")
        with _guarded("items"):
            items = list(self.store.items())
        self._keys = _checked(items)
        return dict(self._keys)

    def tell_refused(self, held: Mapping[int, str]) -> None:
        """Tell the store, once, which of its texts the memory did not take."""
        refused = [
            key for key in self.mirror.refused(held) if self._told.get(key) != self._keys.get(key)
        ]
        self._told |= {key: self._keys[key] for key in refused}
        if refused:
            with _guarded("forget"):
                _optional(self.store, "forget", refused)

    def find(self, question: str, k: int, held: Mapping[int, str]) -> list[int]:
        """Ids of at most `k` items that the store finds among those that the memory holds."""
        if self.store is None or k <= 0:
            return []
        visible = self.mirror.visible(held)
        masked = len(self._keys) - len(visible)
        with _guarded("search"):
            keys = list(self.store.search(question, k + masked))
            hits = [visible[key] for key in keys if key in visible]
        return list(dict.fromkeys(hits))[:k]


class _Search:
    """The store in the retriever's place."""

    def __init__(self, version: str, play: _Play) -> None:
        self.version = version
        self.play = play
        self.held: dict[int, str] = {}

    def update(self, removed: Sequence[tuple[int, str]], added: Sequence[tuple[int, str]]) -> None:
        """Follow one change of the memory."""
        for item_id, _ in removed:
            del self.held[item_id]
        self.held.update(added)

    def search(self, query: str, k: int) -> list[int]:
        """What the store finds, without what the memory refused."""
        return self.play.find(query, k, self.held)


def _checked(items: Sequence[Any]) -> dict[str, str]:
    """Text by key.

    Raises:
        AgentError: something else than pairs of texts, or a key twice.
    """
    texts: dict[str, str] = {}
    for item in items:
        pair = tuple(item) if isinstance(item, list | tuple) else ()
        if len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise AgentError(f"items: expected (key, text) pairs of strings, got {item!r:.80}")
        if pair[0] in texts:
            raise AgentError(f"items: the key {pair[0]!r} is there twice")
        texts[pair[0]] = pair[1]
    return {key: text for key, text in texts.items() if normalise(text) and not is_blank(text)}


def _optional(store: object, method: str, *arguments: object) -> None:
    call = getattr(store, method, None)
    if call is not None:
        call(*arguments)


@contextlib.contextmanager
def _guarded(method: str) -> Iterator[None]:
    """What a store raises is its failure, but for a server or model that could not be reached."""
    try:
        yield
    except (AgentError, ConfigError):
        raise
    except (Exception, SystemExit) as error:
        kind = ModelError if is_outage(error) else AgentError
        raise kind(f"{method} raised {type(error).__name__}: {error}") from error


def _named(name: str) -> Callable[..., MemoryStore]:
    known = STORES.get(name)
    if known is None and ":" not in name:
        raise ConfigError(f"{nearest('store', name, STORES)} Name it with {_EXAMPLE}.")
    make: Callable[..., MemoryStore] = load_reference("store", known.factory if known else name)
    return make


def _called(make: object) -> str:
    return str(getattr(make, "__qualname__", type(make).__qualname__))
