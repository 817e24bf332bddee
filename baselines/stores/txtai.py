"""`txtai`: passages in a txtai index, found by its BM25, by embeddings, or by both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from baselines.managers.scripted import pack
from baselines.stores.embedders import make_embedder
from baselines.stores.library import Library, dated, installed
from baselines.stores.plain import PASSAGE_TOKENS
from finemem_env.errors import ConfigError, nearest
from finemem_env.text import split_sentences

_SEARCHES = ("keyword", "dense", "hybrid")


class TxtaiStore(Library):
    """A txtai index of passages as they were read; no language model.

    Args:
        search: "keyword" (its BM25), "dense" (embeddings) or "hybrid" (both).
        embeddings: as of the store `vector`; "keyword" takes none.
        passage_tokens: longest passage, unless one sentence is longer.
    """

    name, module = "txtai", "txtai"
    version = installed("txtai")
    # litellm, which it imports where that is installed, would load a list of prices.
    environment: ClassVar[Mapping[str, str]] = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}

    def __init__(
        self,
        search: str = "keyword",
        embeddings: Mapping[str, object] | None = None,
        passage_tokens: int = PASSAGE_TOKENS,
    ) -> None:
        if search not in _SEARCHES:
            raise ConfigError(nearest("search of store 'txtai'", search, _SEARCHES))
        if search == "keyword" and embeddings is not None:
            raise ConfigError("store 'txtai': search 'keyword' takes no embeddings.")
        self._search = search
        self._embedder = None if search == "keyword" else make_embedder(embeddings, "store 'txtai'")
        self._limit = passage_tokens
        self._texts: dict[str, str] = {}
        self._count = 0
        super().__init__(None, self._embedder)

    def add(self, text: str, time: str | None) -> None:
        """Put the passages into the index."""
        passages = pack(split_sentences(dated(text, time)), self._limit)
        new = {str(self._count + i): passage for i, passage in enumerate(passages)}
        self._count += len(new)
        self._texts |= new
        with self._watched():
            self._library.upsert([(key, passage, None) for key, passage in new.items()])

    def items(self) -> list[tuple[str, str]]:
        """All passages, in the order of the text."""
        return list(self._texts.items())

    def search(self, question: str, k: int) -> list[str]:
        """What the index finds."""
        if not self._texts:
            return []
        with self._watched():
            return [str(key) for key, _ in self._library.search(question, k)]

    def forget(self, keys: Iterable[str]) -> None:
        """Drop what was refused."""
        gone = list(keys)
        self._library.delete(gone)
        for key in gone:
            del self._texts[key]

    def _make(self) -> Any:  # noqa: ANN401
        from txtai import Embeddings

        options: dict[str, Any] = {"autoid": "uuid5"}
        if self._search != "dense":
            options[self._search] = True
        embedder = self._embedder
        if embedder is not None:
            options |= {
                "method": "external",
                "transform": lambda texts: embedder.embed(texts).astype("float32"),
                "backend": "numpy",
            }
        return Embeddings(options)
