"""Plain stores: passages as they were read, found by terms or by the similarity of embeddings.

When the memory is full, later passages are refused and forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from baselines.managers.scripted import pack
from baselines.stores.embedders import Embedder, Matrix, make_embedder
from finemem_env.errors import at_least
from finemem_env.retrieval import Retriever, make_retriever
from finemem_env.text import split_sentences, tie_key

PASSAGE_TOKENS = 64
_DECIMALS = 6  # closer similarities are ties


class PassageStore:
    """Neighbouring sentences, together at most `passage_tokens` long, found by an index.

    Args:
        index: finds them; empty.
        passage_tokens: longest passage, unless one sentence is longer.
    """

    version = "1"

    def __init__(self, index: Retriever, passage_tokens: int = PASSAGE_TOKENS) -> None:
        self._index = index
        self._limit = at_least(1, "passage_tokens", passage_tokens)
        self._texts: dict[int, str] = {}
        self._next = 0

    def add(self, text: str, time: str | None) -> None:
        """Keep the passages of a text; times are left to the text."""
        passages = pack(split_sentences(text), self._limit)
        added = list(enumerate(passages, start=self._next))
        self._next += len(added)
        self._texts.update(added)
        self._index.update((), added)

    def items(self) -> list[tuple[str, str]]:
        """All passages, in the order of the text."""
        return [(str(number), text) for number, text in self._texts.items()]

    def search(self, question: str, k: int) -> list[str]:
        """Keys of what the index finds."""
        return [str(number) for number in self._index.search(question, k)]

    def forget(self, keys: Iterable[str]) -> None:
        """Drop what was refused."""
        numbers = [int(key) for key in keys]
        self._index.update([(number, self._texts.pop(number)) for number in numbers], ())


class Bm25Store(PassageStore):
    """Passages found by the terms that they share with the question.

    Args:
        passage_tokens: longest passage.
    """

    def __init__(self, passage_tokens: int = PASSAGE_TOKENS) -> None:
        super().__init__(make_retriever({"name": "bm25"}, bm25="lucene"), passage_tokens)


class VectorStore(PassageStore):
    """Passages found by the similarity of embeddings: a plain vector store.

    Args:
        embeddings: {"name": "local", "model": "minilm-l6" or a sentence-transformers folder}, or
            {"name": "openai", "model": …, "base_url": …} for an OpenAI-compatible endpoint, whose
            key stands in the environment variable `api_key_env`.
        passage_tokens: longest passage.

    Raises:
        ConfigError: no embeddings, or ones that there are not.
    """

    def __init__(
        self,
        embeddings: Mapping[str, object] | None = None,
        passage_tokens: int = PASSAGE_TOKENS,
    ) -> None:
        self._embedder = make_embedder(embeddings, "store 'vector'")
        super().__init__(EmbeddingIndex(self._embedder), passage_tokens)

    @classmethod
    def check(cls, **arguments: Any) -> None:  # noqa: ANN401
        """Refuse embeddings that there are not, before anything is played.

        Raises:
            ConfigError: see the class.
        """
        cls(**arguments).close()

    def close(self) -> None:
        """Close the connections."""
        self._embedder.close()


class EmbeddingIndex:
    """Cosine similarity of the embeddings of an `Embedder`.

    Args:
        embedder: makes them.
    """

    version = "embeddings/1"

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[int, Matrix] = {}
        self._texts: dict[int, str] = {}

    def update(self, removed: Sequence[tuple[int, str]], added: Sequence[tuple[int, str]]) -> None:
        """Take texts out and put texts in, as (number, text)."""
        for number, _ in removed:
            del self._texts[number], self._vectors[number]
        vectors = self._embedder.embed([text for _, text in added])
        for (number, text), vector in zip(added, vectors, strict=True):
            self._texts[number], self._vectors[number] = text, vector

    def search(self, query: str, k: int) -> list[int]:
        """Numbers of the `k` texts most similar to `query`, best first."""
        if not self._texts or k <= 0:
            return []
        rows = np.stack(list(self._vectors.values()))
        scores = (rows @ self._embedder.embed([query])[0]).round(_DECIMALS).tolist()
        order = sorted(
            zip(scores, self._texts.items(), strict=True),
            key=lambda pair: (-pair[0], tie_key(query, pair[1][1])),
        )
        return [number for _, (number, _) in order[:k]]
