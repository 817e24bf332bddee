"""`llama_index`: LlamaIndex's fact extraction memory block, its facts found by a vector index."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from baselines.stores.clients import Client, read_server
from baselines.stores.embedders import Embedder, make_embedder
from baselines.stores.library import Library, dated, installed


class LlamaIndexStore(Library):
    """`FactExtractionMemoryBlock`; `VectorStoreIndex` finds its facts.

    The block has no search of its own: its agents see all facts. When there are more than
    `max_facts` a model writes the list anew, and facts that it words differently are new items.

    Args:
        backend: the model, {"name": "openai", "model": …, "base_url": …}.
        embeddings: as of the store `vector`.
        max_facts: facts that are kept before they are condensed (the block's own default: 50).
    """

    name, module = "llama_index", "llama_index.core"
    version = installed("llama-index-core")

    def __init__(
        self,
        backend: Mapping[str, object] | None = None,
        embeddings: Mapping[str, object] | None = None,
        max_facts: int = 50,
    ) -> None:
        self._client = Client(read_server(backend, "store 'llama_index': backend"))
        self._embedder = make_embedder(embeddings, "store 'llama_index'")
        self._max = max_facts
        super().__init__(self._client, self._embedder)

    def add(self, text: str, time: str | None) -> None:
        """Let the block extract facts."""
        from llama_index.core.llms import ChatMessage

        block, _ = self._library
        with self._watched():
            asyncio.run(block.aput([ChatMessage(role="user", content=dated(text, time))]))

    def items(self) -> list[tuple[str, str]]:
        """Its facts."""
        block, _ = self._library
        return [(self._keys.key(fact), fact) for fact in block.facts]

    def search(self, question: str, k: int) -> list[str]:
        """What an index of its facts finds."""
        from llama_index.core import VectorStoreIndex
        from llama_index.core.schema import TextNode

        block, embeddings = self._library
        if not block.facts:
            return []
        nodes = [TextNode(text=fact, id_=fact) for fact in block.facts]
        with self._watched():
            index = VectorStoreIndex(nodes, embed_model=embeddings)
            hits = index.as_retriever(similarity_top_k=k).retrieve(question)
        return self._keys.found([hit.node.node_id for hit in hits])

    def forget(self, keys: Iterable[str]) -> None:
        """Drop facts that were refused."""
        block, _ = self._library
        gone = {self._keys.own(key) for key in keys}
        block.facts = [fact for fact in block.facts if fact not in gone]

    def _make(self) -> Any:  # noqa: ANN401
        from llama_index.core.memory import FactExtractionMemoryBlock

        model = _model(self._client)
        block = FactExtractionMemoryBlock(llm=model, max_facts=self._max)
        return block, _embeddings(self._embedder)


def _model(client: Client) -> Any:  # noqa: ANN401
    """The client as a model of LlamaIndex."""
    from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata
    from llama_index.core.llms import CustomLLM

    class Served(CustomLLM):  # type: ignore[misc]
        @property
        def metadata(self) -> Any:  # noqa: ANN401
            return LLMMetadata(is_chat_model=True, model_name=client.server.model)

        def chat(self, messages: Sequence[Any], **kwargs: Any) -> Any:  # noqa: ANN401
            said = [{"role": turn.role.value, "content": turn.content or ""} for turn in messages]
            reply = client.openai.chat.completions.create(
                model=client.server.model, messages=said, temperature=0.1
            )
            text = reply.choices[0].message.content or ""
            return ChatResponse(message=ChatMessage(role="assistant", content=text), raw=reply)

        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:  # noqa: ANN401
            raise NotImplementedError("the block chats")

        def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:  # noqa: ANN401
            raise NotImplementedError("the block chats")

    return Served()


def _embeddings(embedder: Embedder) -> Any:  # noqa: ANN401
    """The embedder in LlamaIndex's form."""
    from llama_index.core.embeddings import BaseEmbedding

    class LlamaIndexEmbedder(BaseEmbedding):  # type: ignore[misc]
        def _get_text_embeddings(self, texts: list[str]) -> Any:  # noqa: ANN401
            return embedder.embed(texts).tolist()

        def _get_text_embedding(self, text: str) -> Any:  # noqa: ANN401
            return self._get_text_embeddings([text])[0]

        def _get_query_embedding(self, query: str) -> Any:  # noqa: ANN401
            return self._get_text_embeddings([query])[0]

        async def _aget_query_embedding(self, query: str) -> Any:  # noqa: ANN401
            return self._get_query_embedding(query)

    return LlamaIndexEmbedder(model_name="given")
