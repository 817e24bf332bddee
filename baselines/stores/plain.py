"""Plain stores: passages as they were read, found by terms or by the similarity of embeddings.

When the memory is full, later passages are refused and forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.managers.scripted import pack
from finemem_env.backends.transport import Address, load_openai
from finemem_env.backends.usage import EMBEDDINGS, Usage, spend
from finemem_env.errors import ConfigError, nearest
from finemem_env.retrieval import Retriever, make_retriever
from finemem_env.text import TextCache, split_sentences, tie_key

PASSAGE_TOKENS = 64
_BATCH = 64  # texts in one call
_DECIMALS = 6  # closer similarities are ties


class PassageStore:
    """Neighbouring sentences, together at most `passage_tokens` long, found by an index.

    Args:
        index: finds them; empty.
        passage_tokens: longest passage, unless one sentence is longer.
    """

    version = "1"

    def __init__(self, index: Retriever, passage_tokens: int = PASSAGE_TOKENS) -> None:
        if passage_tokens < 1:
            raise ConfigError(f"passage_tokens: expected at least 1, got {passage_tokens}.")
        self._index = index
        self._limit = passage_tokens
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
        super().__init__(_index(embeddings), passage_tokens)


def _index(embeddings: Mapping[str, object] | None) -> Retriever:
    options = dict(embeddings or {})
    name = options.pop("name", None)
    if name == "local":
        return make_retriever({"name": "dense", **options}, bm25="lucene")
    if name == "openai":
        try:
            return EndpointIndex(**options)  # type: ignore[arg-type]
        except TypeError as error:
            raise ConfigError(
                f"store 'vector', embeddings {dict(embeddings or {})}: {error}."
            ) from error
    if name is None:
        raise ConfigError(
            'store \'vector\': embeddings expects {"name": "local", "model": …} or {"name": '
            f'"openai", "model": …, "base_url": …}}, got {embeddings!r}.'
        )
    raise ConfigError(nearest("embeddings", name, ("local", "openai")))


class EndpointIndex:
    """Cosine similarity of an endpoint's embeddings, each text embedded once.

    Args:
        model: the name that the endpoint knows.
        base_url: its address; None: $OPENAI_BASE_URL, else OpenAI's.
        api_key_env: the environment variable that holds the key.
        timeout: seconds that one call may take.
        retries: of a call that failed.
    """

    version = "endpoint/1"

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 60.0,
        retries: int = 4,
    ) -> None:
        address = Address(base_url, api_key_env)
        self._client = load_openai().OpenAI(
            base_url=address.url, api_key=address.key(), timeout=timeout, max_retries=retries
        )
        self._model = model
        self._vectors: TextCache[NDArray[np.float64]] = TextCache(
            lambda text: self._embed([text])[0]
        )
        self._texts: dict[int, str] = {}

    def update(self, removed: Sequence[tuple[int, str]], added: Sequence[tuple[int, str]]) -> None:
        """Take texts out and put texts in, as (number, text)."""
        for number, _ in removed:
            del self._texts[number]
        new = list(dict.fromkeys(text for _, text in added if text not in self._vectors))
        for start in range(0, len(new), _BATCH):
            batch = new[start : start + _BATCH]
            for text, vector in zip(batch, self._embed(batch), strict=True):
                self._vectors.store(text, vector)
        self._texts.update(added)

    def search(self, query: str, k: int) -> list[int]:
        """Numbers of the `k` texts most similar to `query`, best first."""
        if not self._texts or k <= 0:
            return []
        rows = np.stack([self._vectors[text] for text in self._texts.values()])
        scores = (rows @ self._vectors[query]).round(_DECIMALS).tolist()
        order = sorted(
            zip(scores, self._texts.items(), strict=True),
            key=lambda pair: (-pair[0], tie_key(query, pair[1][1])),
        )
        return [number for _, (number, _) in order[:k]]

    def _embed(self, texts: Sequence[str]) -> list[NDArray[np.float64]]:
        """Unit vectors of `texts`, in order."""
        start = time.perf_counter()
        reply: Any = self._client.embeddings.create(
            model=self._model, input=list(texts), encoding_format="float"
        )
        tokens = getattr(reply.usage, "prompt_tokens", 0) or 0
        spend(Usage(1, tokens, 0, time.perf_counter() - start), EMBEDDINGS)
        rows = [np.asarray(one.embedding) for one in sorted(reply.data, key=lambda one: one.index)]
        return [row / (float(np.linalg.norm(row)) or 1.0) for row in rows]
