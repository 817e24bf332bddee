"""`langmem`: LangMem, whose memory manager writes, updates and deletes notes with a model."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from baselines.stores.clients import Client, read_server
from baselines.stores.embedders import make_embedder
from baselines.stores.library import Library, dated, installed

_PLACE = ("memories",)
_ALL = 100_000


class LangMemStore(Library):
    """LangMem's `create_memory_store_manager` on LangGraph's store in memory.

    The model must call tools. A note that it edits keeps its key, so its sentences keep the chunk
    that they came from.

    Args:
        backend: the model, {"name": "openai", "model": …, "base_url": …}.
        embeddings: as of the store `vector`.
        enable_deletes: whether it may delete notes (LangMem's own default: not).
        query_limit: how many old notes it sees beside a new text.
    """

    name, module = "langmem", "langmem"
    version = installed("langmem")

    def __init__(
        self,
        backend: Mapping[str, object] | None = None,
        embeddings: Mapping[str, object] | None = None,
        enable_deletes: bool = False,
        query_limit: int = 5,
    ) -> None:
        self._client = Client(read_server(backend, "store 'langmem': backend"))
        self._embedder = make_embedder(embeddings, "store 'langmem'")
        self._options = {"enable_deletes": enable_deletes, "query_limit": query_limit}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports what its own parts call deprecated
            super().__init__(self._client, self._embedder)

    def add(self, text: str, time: str | None) -> None:
        """Let its manager read the text."""
        said = {"messages": [{"role": "user", "content": dated(text, time)}]}
        with self._watched(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._library.invoke(said)

    def items(self) -> list[tuple[str, str]]:
        """Its notes."""
        held = self._library.store.search(_PLACE, limit=_ALL)
        held = sorted(held, key=_text)  # threads put those of one text in, in any order
        return [(key, _text(note)) for key, note in self._keys.sorted(held, lambda note: note.key)]

    def search(self, question: str, k: int) -> list[str]:
        """What its store finds."""
        with self._watched():
            hits = self._library.store.search(_PLACE, query=question, limit=k)
        return self._keys.found([hit.key for hit in hits])

    def forget(self, keys: Iterable[str]) -> None:
        """Delete what was refused."""
        for key in keys:
            self._library.store.delete(_PLACE, self._keys.own(key))

    def _make(self) -> Any:  # noqa: ANN401
        from langchain_openai import ChatOpenAI
        from langgraph.store.memory import InMemoryStore
        from langmem import create_memory_store_manager

        server, client = self._client.server, self._client.openai
        model = ChatOpenAI(
            model=server.model,
            api_key=server.address.key(),
            base_url=server.address.url,
            client=client.chat.completions,
            root_client=client,
        )
        index = {"dims": self._embedder.dimensions, "embed": self._vectors}
        return create_memory_store_manager(
            model, namespace=_PLACE, store=InMemoryStore(index=index), **self._options
        )

    def _vectors(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = self._embedder.embed(texts).tolist()
        return rows


def _text(item: Any) -> str:  # noqa: ANN401
    content = item.value["content"]
    return str(content.get("content", content) if isinstance(content, dict) else content)
