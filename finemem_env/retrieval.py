"""Retrieval over the items of one memory: the interface, and retrievers by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from finemem_env.bm25 import BM25
from finemem_env.dense import Dense
from finemem_env.errors import ConfigError, nearest

__all__ = ["BM25", "Dense", "Retriever", "make_retriever"]


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


def make_retriever(config: Mapping[str, object], *, bm25: str) -> Retriever:
    """The retriever that `config` names: {"name": "bm25"} or {"name": "dense", "model": path}.

    Args:
        config: the resolved `retriever` setting.
        bm25: the BM25 variant, "lucene" or "okapi"; unused by dense retrieval.

    Raises:
        ConfigError: unknown name or option, or a dense retriever without model or extra.
    """
    options = {key: value for key, value in config.items() if key != "name"}
    name = config.get("name")
    known = {"bm25": (), "dense": ("model",)}
    if not isinstance(name, str) or name not in known:
        raise ConfigError(nearest("retriever", name, known))
    for key in options:
        if key not in known[name]:
            raise ConfigError(nearest(f"option of retriever {name!r}", key, known[name]))
    if name == "bm25":
        return BM25(bm25)
    return Dense(options.get("model"))
