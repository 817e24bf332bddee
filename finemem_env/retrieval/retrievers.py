"""Retrieval over the items of one memory: the interface, and retrievers by name."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from finemem_env.errors import ConfigError, nearest
from finemem_env.registry import Registry, is_reference, load_reference
from finemem_env.retrieval.bm25 import BM25
from finemem_env.retrieval.dense import Dense
from finemem_env.text.search_terms import search_terms

_LOWER = re.compile(r"\b\w+\b")


@runtime_checkable
class Retriever(Protocol):
    """Finds the items of one memory that fit a question; rebuildable from the items."""

    version: str

    def update(self, removed: Sequence[tuple[int, str]], added: Sequence[tuple[int, str]]) -> None:
        """Follow one change of the memory; both hold (item id, content)."""
        ...

    def search(self, query: str, k: int) -> list[int]:
        """Ids of at most `k` items, best first; ties break by `tie_key`."""
        ...


def lower_words(text: str) -> list[str]:
    """Terms as in Mem-α's search: runs of word characters, in lower case."""
    return _LOWER.findall(text.lower())


TOKENS: dict[str, Callable[[str], list[str]]] = {
    "words": search_terms,
    "lower": lower_words,
    "spaces": str.split,  # MemoryAgentBench's: case and punctuation count
}


class PublishedBM25(BM25):
    """BM25 in the ways of the published benchmarks; arguments as of `make_retriever`.

    With `fill`, items of no shared term fill up to k, equal scores in order of age; a query without
    any term finds nothing.
    """

    def __init__(self, variant: str, tokens: str, fill: bool) -> None:
        super().__init__(variant, TOKENS[tokens])
        self.version += f"+{tokens}" + ("+fill" if fill else "")
        self._made = variant, tokens, fill
        self._split, self._fill = TOKENS[tokens], fill

    def search(self, query: str, k: int) -> list[int]:
        """Ids of the `k` best items, best first."""
        if not self._fill:
            return super().search(query, k)
        if not self._split(query):
            return []
        scores = self.scores(query)
        return sorted(scores, key=lambda item_id: (-scores[item_id], item_id))[: max(k, 0)]


class StoreRetriever:
    """One retriever for each store of a hierarchical memory; items of other stores are not found.

    Args:
        make: makes the retriever of a store.
        stores: their names, in the order in which what is found is joined.
        store_of: the store of a present item.
    """

    def __init__(
        self,
        make: Callable[[], Retriever],
        stores: Sequence[str],
        store_of: Callable[[int], str],
    ) -> None:
        self._retrievers = {store: make() for store in stores}
        self._store_of = store_of
        self._stores: dict[int, str] = {}
        self.version = next(iter(self._retrievers.values())).version

    def update(self, removed: Sequence[tuple[int, str]], added: Sequence[tuple[int, str]]) -> None:
        """Follow one change of the memory; both hold (item id, content)."""
        before = {item_id: self._stores.pop(item_id, "") for item_id, _ in removed}
        after = {item_id: self._store_of(item_id) for item_id, _ in added}
        self._stores |= after
        for store, retriever in self._retrievers.items():
            gone = [pair for pair in removed if before[pair[0]] == store]
            new = [pair for pair in added if after[pair[0]] == store]
            if gone or new:
                retriever.update(gone, new)

    def search(self, query: str, k: int) -> list[int]:
        """Ids of at most `k` items of each store, best first, store after store."""
        return [found for one in self._retrievers.values() for found in one.search(query, k)]

    def fork(self, store_of: Callable[[int], str]) -> StoreRetriever:
        """A copy for a copy of the memory, whose `store_of` it is given."""
        other = copy.copy(self)
        other._retrievers = {store: copy_retriever(one) for store, one in self._retrievers.items()}
        other._stores = dict(self._stores)
        other._store_of = store_of
        return other


def copy_retriever(retriever: Retriever) -> Retriever:
    """A copy that goes on apart from this one.

    Raises:
        ConfigError: one that cannot be copied, such as one that holds a connection.
    """
    try:
        return copy.deepcopy(retriever)
    except Exception as error:  # whatever a class of one's own raises
        raise ConfigError(
            f"retriever: a copy of the memory needs one of its {type(retriever).__name__}, which "
            f"cannot be copied ({error}). Give its class a __deepcopy__ that shares what need not "
            "be copied."
        ) from error


@dataclass(frozen=True, slots=True)
class RetrieverSpec:
    """A retriever by name; `make` is called with the options as keywords, for each memory anew."""

    description: str
    make: Callable[..., Retriever]


def make_retriever(config: Mapping[str, object], *, bm25: str) -> Retriever:
    """The retriever that `config` names, such as {"name": "bm25"}.

    Args:
        config: the resolved `retriever` setting: {"name": "bm25"}, with `tokens` ("words", "lower"
            or "spaces") and `fill` (False); {"name": "dense", "model": path}; or a registered name
            or "module:Class", whose options are its keywords.
        bm25: the BM25 variant, "lucene" or "okapi"; unused by other retrievers.

    Raises:
        ConfigError: unknown name or option, or a dense retriever without model or extra.
    """
    name = config.get("name")
    options = {key: value for key, value in config.items() if key != "name"}
    if is_reference(name):
        make: Callable[..., Retriever] = load_reference("retriever", str(name))
    else:
        make = RETRIEVERS.find(name).make
        for key in options:
            known = [option for option in inspect.signature(make).parameters if option != "variant"]
            if key not in known:
                raise ConfigError(nearest(f"option of retriever {name!r}", key, known))
    if make is _make_bm25:
        options["variant"] = bm25
    try:
        retriever = make(**options)
    except TypeError as error:
        raise ConfigError(f"retriever {name!r} with options {options}: {error}.") from error
    if isinstance(retriever, BM25):
        return retriever  # without the check of a protocol, which takes long
    if not isinstance(retriever, Retriever) or not isinstance(retriever.version, str):
        raise ConfigError(
            f"retriever {name!r}: expected an object with `version` (a string), `update(removed, "
            f"added)` and `search(query, k)`, got {type(retriever).__name__}."
        )
    return retriever


def _make_bm25(variant: str, tokens: object = "words", fill: object = False) -> Retriever:
    if not isinstance(tokens, str) or tokens not in TOKENS:
        raise ConfigError(nearest("tokens of retriever 'bm25'", tokens, TOKENS))
    if not isinstance(fill, bool):
        raise ConfigError(f"fill of retriever 'bm25': expected true or false, got {fill!r}.")
    if tokens == "words" and not fill:
        return BM25(variant)
    return PublishedBM25(variant, tokens, fill)


RETRIEVERS: Registry[RetrieverSpec] = Registry(
    "retriever",
    {
        "bm25": RetrieverSpec("terms, incremental; variant by the keyword bm25", _make_bm25),
        "dense": RetrieverSpec("embeddings of sentence-transformers (extra dense)", Dense),
    },
)
