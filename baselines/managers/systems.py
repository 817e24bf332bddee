"""What a memory system is here, and those that an adapter is here for, by name.

    class Notes:
        version = "1"                          # stands in every trace

        def add(self, text, time): ...         # remember a piece of text, read at `time` (or None)
        def items(self): ...                   # [(key, text)]: everything that it holds now
        def search(self, question, k): ...     # [key]: at most k, best first
        def forget(self, keys): ...            # optional: these were refused
        def flush(self): ...                   # optional: finish what `add` began
        def close(self): ...                   # optional: the episode is over

        @classmethod
        def check(cls, **arguments): ...       # optional: raise ConfigError before anything runs

Keys are strings that stay with their text while it is edited. A fresh store is made for every
episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@runtime_checkable
class MemoryStore(Protocol):
    """A memory system of its own: what it keeps, and how it finds it."""

    def add(self, text: str, time: str | None) -> None:
        """Remember a piece of text that was read at `time`."""
        ...

    def items(self) -> Sequence[tuple[str, str]]:
        """Everything that it holds now, as (key, text)."""
        ...

    def search(self, question: str, k: int) -> Sequence[str]:
        """Keys of at most `k` items that fit a question, best first."""
        ...


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """One line of the registry: `factory` is "module:Class", imported when it is asked for."""

    factory: str
    description: str


STORES: dict[str, StoreSpec] = {
    "bm25": StoreSpec("baselines.stores.plain:Bm25Store", "passages, found by BM25; no model"),
    "vector": StoreSpec(
        "baselines.stores.plain:VectorStore",
        "passages, found by the similarity of embeddings; embeddings",
    ),
    "mem0": StoreSpec("baselines.stores.mem0:Mem0Store", "Mem0; backend, embeddings"),
    "langmem": StoreSpec("baselines.stores.langmem:LangMemStore", "LangMem; backend, embeddings"),
    "a_mem": StoreSpec("baselines.stores.a_mem:AMemStore", "A-MEM; backend, embeddings"),
    "llama_index": StoreSpec(
        "baselines.stores.llama_index:LlamaIndexStore",
        "LlamaIndex's fact extraction block; backend, embeddings",
    ),
    "graphiti": StoreSpec(
        "baselines.stores.graphiti:GraphitiStore", "Graphiti, Zep's engine; backend, embeddings"
    ),
    "letta": StoreSpec(
        "baselines.stores.letta:LettaStore", "an agent of Letta; backend, embeddings"
    ),
    "txtai": StoreSpec("baselines.stores.txtai:TxtaiStore", "passages in a txtai index"),
}
