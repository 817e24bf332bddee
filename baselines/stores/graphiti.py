"""`graphiti`: Graphiti (graphiti-core), the engine of Zep, with its graph in this process."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

from baselines.stores.clients import Client, read_server
from baselines.stores.embedders import Embedder, make_embedder
from baselines.stores.library import Library, dated, installed

_UNDATED = datetime(1900, 1, 1, tzinfo=UTC)  # of texts without a time: they need one, in order
_GROUP = ""  # Kuzu's only one


class GraphitiStore(Library):
    """Graphiti on Kuzu in memory: facts between entities, with the time in which they held.

    Four calls of the model for a chunk or more: entities, facts, what each fact repeats or
    contradicts, summaries. A fact that a later one contradicts stays, with the day on which it
    ended. Items are facts: its `search` finds no summaries of entities.

    Args:
        backend: the model, {"name": "openai", "model": …, "base_url": …}.
        embeddings: as of the store `vector`.
        max_tokens: of a reply (the library's own default).
    """

    name, module = "graphiti", "graphiti_core"
    version = installed("graphiti-core")
    environment: ClassVar[Mapping[str, str]] = {"GRAPHITI_TELEMETRY_ENABLED": "false"}

    def __init__(
        self,
        backend: Mapping[str, object] | None = None,
        embeddings: Mapping[str, object] | None = None,
        max_tokens: int = 16384,
    ) -> None:
        self._client = Client(read_server(backend, "store 'graphiti': backend"))
        self._embedder = make_embedder(embeddings, "store 'graphiti'")
        self._max_tokens = max_tokens
        self._told = 0
        super().__init__(self._client, self._embedder)
        self._loop = asyncio.Runner()

    def add(self, text: str, time: str | None) -> None:
        """Let it extract entities and facts."""
        when = read_time(time)
        self._told += 1
        with self._watched():
            added = self._loop.run(
                self._library.add_episode(
                    name=f"chunk {self._told}",
                    episode_body=dated(text, time) if when is None else text,
                    source_description="a text that is read chunk by chunk",
                    reference_time=when or _UNDATED + timedelta(minutes=self._told),
                    source=self._text,
                )
            )
        for edge in added.edges:
            self._keys.key(edge.uuid)

    def items(self) -> list[tuple[str, str]]:
        """Its facts, those that have ended among them."""
        if self._made is None:
            return []
        held = self._loop.run(self._edges())
        return [(key, fact_text(edge)) for key, edge in self._keys.sorted(held, lambda e: e.uuid)]

    def search(self, question: str, k: int) -> list[str]:
        """What it finds."""
        with self._watched():
            hits = self._loop.run(self._library.search(question, num_results=k))
        return self._keys.found([hit.uuid for hit in hits])

    def forget(self, keys: Iterable[str]) -> None:
        """Delete what was refused."""
        from graphiti_core.edges import EntityEdge

        ids = [self._keys.own(key) for key in keys]
        self._loop.run(EntityEdge.delete_by_uuids(self._library.driver, ids))

    def close(self) -> None:
        """Close the connections, its database and the loop that it runs in."""
        if self._made is not None:
            self._made.driver.client.close()
            self._made.driver.db.close()
        super().close()
        self._loop.close()

    async def _edges(self) -> list[Any]:
        from graphiti_core.edges import EntityEdge
        from graphiti_core.errors import GroupsEdgesNotFoundError

        try:
            return list(await EntityEdge.get_by_group_ids(self._library.driver, [_GROUP]))
        except GroupsEdgesNotFoundError:
            return []

    @property
    def _text(self) -> Any:  # noqa: ANN401
        from graphiti_core.nodes import EpisodeType

        return EpisodeType.text

    def _make(self) -> Any:  # noqa: ANN401
        from graphiti_core import Graphiti
        from graphiti_core.driver.kuzu_driver import KuzuDriver
        from graphiti_core.llm_client.config import LLMConfig
        from graphiti_core.llm_client.openai_generic_client import OpenAIGenericClient

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own: Kuzu is to go
            driver = KuzuDriver()
        model = self._client.server.model
        config = LLMConfig(model=model, small_model=model)
        made = Graphiti(
            graph_driver=driver,
            llm_client=OpenAIGenericClient(
                config, client=_asked(self._client), max_tokens=self._max_tokens
            ),
            embedder=_embeddings(self._embedder),
            cross_encoder=_ranker(),
            max_coroutines=1,  # one call after the other, so that a run can be repeated
        )
        # The driver's own method does nothing, and without the indices there is no search by words.
        self._loop.run(driver.graph_ops.build_indices_and_constraints(driver))
        return made


def _asked(client: Client) -> Any:  # noqa: ANN401
    """The client in the asynchronous form that Graphiti calls."""

    async def create(**request: Any) -> Any:  # noqa: ANN401
        return client.openai.chat.completions.create(**request)

    return SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))


def _embeddings(embedder: Embedder) -> Any:  # noqa: ANN401
    """The embedder in Graphiti's form."""
    from graphiti_core.embedder.client import EmbedderClient

    class GraphitiEmbedder(EmbedderClient):  # type: ignore[misc]
        async def create(self, input_data: Any) -> list[float]:  # noqa: ANN401
            texts = [input_data] if isinstance(input_data, str) else list(input_data)
            return (await self.create_batch(texts))[0]

        async def create_batch(self, input_data_list: list[str]) -> list[list[float]]:
            rows: list[list[float]] = embedder.embed(input_data_list).tolist()
            return rows

    return GraphitiEmbedder()


def _ranker() -> Any:  # noqa: ANN401
    """Graphiti makes a client of OpenAI for a ranker that its `search` does not use."""
    from graphiti_core.cross_encoder.client import CrossEncoderClient

    class Unused(CrossEncoderClient):  # type: ignore[misc]
        async def rank(self, query: str, passages: list[str]) -> list[tuple[str, float]]:
            return [(passage, 0.0) for passage in passages]

    return Unused()


def read_time(time: str | None) -> datetime | None:
    """A time in ISO form; None for none, and for any other form."""
    try:
        when = datetime.fromisoformat(time or "")
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def fact_text(edge: Any) -> str:  # noqa: ANN401
    """A fact, and when it held where that is known."""
    since, until = (
        when.date().isoformat() if when is not None and when.year != _UNDATED.year else ""
        for when in (edge.valid_at, edge.invalid_at)
    )
    span = " ".join(f"{word} {day}" for word, day in (("from", since), ("until", until)) if day)
    return f"{edge.fact} ({span})" if span else str(edge.fact)
