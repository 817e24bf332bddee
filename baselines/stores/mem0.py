"""`mem0`: Mem0 (mem0ai), which extracts memories with a model and keeps them in a vector store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from baselines.stores.clients import Client, read_server
from baselines.stores.embedders import Embedder, make_embedder
from baselines.stores.library import Library, dated, installed

_USER = "reader"
_ALL = 100_000  # `get_all` and `search` return 20 unless they are told


class Mem0Store(Library):
    """Mem0 with its own prompts and scoring, Qdrant in a temporary folder.

    One call of the model for a chunk, whose instructions alone are some 8,500 tokens. Memories are
    added and never rewritten (mem0ai 2). Without spaCy and fastembed, which it does not ask for, it
    searches by embeddings alone.

    Args:
        backend: the model, {"name": "openai", "model": …, "base_url": …}.
        embeddings: as of the store `vector`.
        threshold: smallest similarity that its search returns.
    """

    name, module = "mem0", "mem0"
    version = installed("mem0ai")
    # It would send what is done with it, and write to the home folder.
    environment: ClassVar[Mapping[str, str]] = {
        "MEM0_TELEMETRY": "False",
        "MEM0_DIR": f"{tempfile.gettempdir()}/mem0",
    }

    def __init__(
        self,
        backend: Mapping[str, object] | None = None,
        embeddings: Mapping[str, object] | None = None,
        threshold: float = 0.1,
    ) -> None:
        self._client = Client(read_server(backend, "store 'mem0': backend"))
        self._embedder = make_embedder(embeddings, "store 'mem0'")
        self._threshold = threshold
        super().__init__(self._client, self._embedder)
        self._folder = tempfile.TemporaryDirectory(prefix="finemem-mem0-")

    def add(self, text: str, time: str | None) -> None:
        """Let it extract what it wants to remember."""
        with self._watched():
            added = self._library.add(
                [{"role": "user", "content": dated(text, time)}], user_id=_USER
            )
        for note in added["results"]:
            self._keys.key(note["id"])

    def items(self) -> list[tuple[str, str]]:
        """Its memories."""
        held = self._library.get_all(filters={"user_id": _USER}, top_k=_ALL)["results"]
        return [(key, note["memory"]) for key, note in self._keys.sorted(held, lambda n: n["id"])]

    def search(self, question: str, k: int) -> list[str]:
        """What it finds."""
        with self._watched():
            hits = self._library.search(
                question, top_k=k, filters={"user_id": _USER}, threshold=self._threshold
            )
        return self._keys.found([hit["id"] for hit in hits["results"]])

    def forget(self, keys: Iterable[str]) -> None:
        """Delete what was refused."""
        for key in keys:
            self._library.delete(self._keys.own(key))

    def close(self) -> None:
        """Close its database, and delete it."""
        if self._made is not None:
            self._made.close()
            self._made.vector_store.client.close()
        super().close()
        self._folder.cleanup()

    def _make(self) -> Any:  # noqa: ANN401
        import mem0

        server = self._client.server
        place = {"openai_base_url": server.address.url, "api_key": server.address.key()}
        qdrant = {
            "collection_name": "memories",
            "embedding_model_dims": self._embedder.dimensions,
            "path": self._folder.name,
        }
        memory = mem0.Memory.from_config(
            {
                "llm": {"provider": "openai", "config": {"model": server.model, **place}},
                "embedder": {"provider": "openai", "config": {"model": "given", **place}},
                "vector_store": {"provider": "qdrant", "config": qdrant},
                "history_db_path": ":memory:",
            }
        )
        memory.llm.client = self._client.openai
        memory.embedding_model = _Embeddings(self._embedder)
        return memory


class _Embeddings:
    """The embedder in Mem0's form."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        """The vector of a text."""
        return self.embed_batch([text])[0]

    def embed_batch(self, texts: list[str], memory_action: str = "add") -> list[list[float]]:
        """The vectors of texts."""
        rows: list[list[float]] = self._embedder.embed(texts).tolist()
        return rows
