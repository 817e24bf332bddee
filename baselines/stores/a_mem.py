"""`a_mem`: A-MEM (a-mem), notes with keywords, context and tags that a model writes and revises."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from baselines.managers.scripted import pack
from baselines.stores.clients import Client, read_server
from baselines.stores.embedders import Embedder, make_embedder
from baselines.stores.library import Library, installed
from baselines.stores.plain import PASSAGE_TOKENS
from finemem_env.text import split_sentences


class AMemStore(Library):
    """A-MEM with Chroma in a temporary folder; one note for a passage.

    Two calls of the model for a note: its keywords, context and tags, and what it changes in its
    neighbours. A note's text is what A-MEM hands to its own reader: content, context, keywords and
    tags. All of it is counted.

    Args:
        backend: the model, {"name": "openai", "model": …, "base_url": …}.
        embeddings: as of the store `vector`.
        passage_tokens: longest passage, unless one sentence is longer.
    """

    name, module = "a_mem", "agentic_memory.memory_system"
    version = installed("a-mem")
    # Chroma would send what is done with it, litellm load a list of prices.
    environment: ClassVar[Mapping[str, str]] = {
        "ANONYMIZED_TELEMETRY": "False",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }

    def __init__(
        self,
        backend: Mapping[str, object] | None = None,
        embeddings: Mapping[str, object] | None = None,
        passage_tokens: int = PASSAGE_TOKENS,
    ) -> None:
        self._client = Client(read_server(backend, "store 'a_mem': backend"))
        self._embedder = make_embedder(embeddings, "store 'a_mem'")
        self._limit = passage_tokens
        self._held: list[str] = []
        super().__init__(self._client, self._embedder)
        self._folder = tempfile.TemporaryDirectory(prefix="finemem-a-mem-")

    def add(self, text: str, time: str | None) -> None:
        """A note for every passage."""
        with self._watched(), contextlib.redirect_stdout(sys.stderr):
            for passage in pack(split_sentences(text), self._limit):
                self._held.append(self._library.add_note(passage, time=time))

    def items(self) -> list[tuple[str, str]]:
        """Its notes."""
        notes = [self._library.read(own) for own in self._held]
        return [(self._keys.key(note.id), _text(note)) for note in notes if note is not None]

    def search(self, question: str, k: int) -> list[str]:
        """What it finds."""
        with self._watched():
            hits = self._library.search(question, k)
        return self._keys.found([hit["id"] for hit in hits])

    def forget(self, keys: Iterable[str]) -> None:
        """Delete what was refused."""
        for key in keys:
            self._library.delete(self._keys.own(key))
            self._held.remove(self._keys.own(key))

    def close(self) -> None:
        """Close the connections and its database, and delete it."""
        if self._made is not None:
            self._made.retriever.client.close()
        super().close()
        self._folder.cleanup()

    def _make(self) -> Any:  # noqa: ANN401
        from agentic_memory import memory_system, retrievers

        server = self._client.server
        # It knows sentence-transformers alone, and takes the name of a model for it.
        plain = retrievers.SentenceTransformerEmbeddingFunction
        retrievers.SentenceTransformerEmbeddingFunction = self._function
        try:
            system = memory_system.AgenticMemorySystem(
                model_name="given",
                llm_backend="openai",
                llm_model=server.model,
                api_key=server.address.key(),
                storage_path=self._folder.name,
            )
        finally:
            retrievers.SentenceTransformerEmbeddingFunction = plain
        system.llm_controller.llm.client = self._client.openai
        return system

    def _function(self, model_name: str) -> Any:  # noqa: ANN401
        return _function(self._embedder)


def _function(embedder: Embedder) -> Any:  # noqa: ANN401
    """The embedder in Chroma's form."""
    import chromadb

    class ChromaEmbedder(chromadb.EmbeddingFunction):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

        def __call__(self, input: Any) -> Any:  # noqa: A002, ANN401
            return list(embedder.embed(input))

    return ChromaEmbedder()


def _text(note: Any) -> str:  # noqa: ANN401
    parts = [note.content]
    parts += [f"context: {note.context}"] if note.context and note.context != "General" else []
    for name in ("keywords", "tags"):
        words = [str(word) for word in getattr(note, name) or ()]
        parts += [f"{name}: {', '.join(words)}"] if words else []
    return "\n".join(parts)
