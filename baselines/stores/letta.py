"""`letta`: an agent of Letta, the former MemGPT, which edits its memory by tool calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from baselines.stores.clients import Client, read_server
from baselines.stores.embedders import make_embedder
from baselines.stores.letta_server import own_server
from baselines.stores.library import Library, dated, installed
from baselines.stores.relay import Relay
from finemem_env.backends.options import check_number
from finemem_env.backends.transport import Address
from finemem_env.errors import ConfigError

_BLOCK = "human"  # Letta's own name of the block about whom it talks with
# Beside its base tools, which are for blocks and the conversation. Names would be left out.
_TOOLS = ("archival_memory_insert", "archival_memory_search")
_PERSONA = (
    "I read a text piece by piece, each in a message of its own, and keep what may be asked later. "
    "Facts go into archival memory, what must always be at hand into the memory block."
)
_ALL = 100_000
_WAIT = 3600.0  # seconds for all calls of the model that one message leads to


class LettaStore(Library):
    """An agent on a Letta server, which decides itself what it keeps.

    A chunk is a message to it; every tool that it calls is a call of the model, and one more ends
    its turn. Items are its block, which it always sees and which is therefore found first, and
    the passages of its archival memory. The conversation, which it sees too, is no item.

    Args:
        backend: the model, {"name": "openai", "model": …, "base_url": …}.
        embeddings: as of the store `vector`.
        base_url: of a server that runs on this machine; None: one of this process.
        context_window: tokens that the model reads; a longer conversation is summarised.
        persona: what it is told about itself.
    """

    name, module = "letta", "letta_client"
    version = installed("letta")

    def __init__(
        self,
        backend: Mapping[str, object] | None = None,
        embeddings: Mapping[str, object] | None = None,
        base_url: str | None = None,
        context_window: int = 32_000,
        persona: str = _PERSONA,
    ) -> None:
        Address(base_url, "LETTA_API_KEY")  # where its client looks for one
        check_number("store 'letta'", "context_window", context_window, 0, above=True)
        self._client = Client(read_server(backend, "store 'letta': backend"))
        self._embedder = make_embedder(embeddings, "store 'letta'")
        self._base_url = base_url
        self._window = context_window
        self._persona = persona
        self._agent = ""
        self._relay: Relay | None = None
        self._block = self._taken = ""  # the block as it is, and as it last was at a chunk's start
        self._passages: dict[str, str] = {}  # the first id of every text
        super().__init__(self._client, self._embedder)

    def add(self, text: str, time: str | None) -> None:
        """Send it the chunk, and let it work until its turn is over."""
        self._taken = self._block
        message = {"role": "user", "content": dated(text, time)}
        with self._watched():
            agents = self._library.agents
            agents.messages.create(agent_id=self._agent, messages=[message])

    def items(self) -> list[tuple[str, str]]:
        """Its block and its passages."""
        if self._made is None:
            return []
        agents = self._made.agents
        self._block = agents.blocks.retrieve(agent_id=self._agent, block_label=_BLOCK).value
        passages = agents.passages.list(agent_id=self._agent, limit=_ALL)
        self._passages = {one.text: one.id for one in reversed(passages)}
        texts = {_BLOCK: self._block.strip()} | {one.id: one.text for one in passages}
        return [(key, texts[own]) for key, own in self._keys.sorted(texts, str) if texts[own]]

    def search(self, question: str, k: int) -> list[str]:
        """The block, which it always sees, and what its archival search finds."""
        if self._made is None:
            return []
        with self._watched():
            found = self._made.agents.passages.search(
                agent_id=self._agent, query=question, top_k=k
            ).results
        ids = [self._passages.get(one.content, "") for one in found]
        return self._keys.found([_BLOCK, *ids] if self._block else ids)[:k]

    def forget(self, keys: Iterable[str]) -> None:
        """Delete passages that were refused, and take edits of the block back."""
        agents = self._made.agents
        for own in map(self._keys.own, keys):
            if own == _BLOCK:
                self._block = self._taken
                agents.blocks.modify(agent_id=self._agent, block_label=own, value=self._block)
            else:
                agents.passages.delete(agent_id=self._agent, memory_id=own)

    def close(self) -> None:
        """Delete the agent, and close the connections."""
        try:
            if self._made is not None:
                self._made.agents.delete(self._agent)
        finally:
            if self._relay is not None:
                self._relay.close()
            super().close()

    def _make(self) -> Any:  # noqa: ANN401
        import httpx
        from letta_client import Letta

        # The server ends the connection of a request that failed, without a word.
        lines = httpx.Client(timeout=_WAIT, limits=httpx.Limits(max_keepalive_connections=0))
        made = Letta(base_url=self._base_url or own_server(), httpx_client=lines)
        runs = made.health.check().version
        if runs != self.version:
            raise ConfigError(
                f"store 'letta': expected a server of version {self.version}, as the package that "
                f"is installed here, got {runs} at {self._base_url}."
            )
        self._relay = Relay(self._client, self._embedder)
        self._agent = made.agents.create(
            memory_blocks=[
                {"label": "persona", "value": self._persona, "read_only": True},
                {"label": _BLOCK, "value": ""},
            ],
            tool_ids=[tool.id for name in _TOOLS for tool in made.tools.list(name=name)],
            llm_config={
                "model": self._client.server.model,
                "model_endpoint_type": "openai",
                "model_endpoint": self._relay.url,
                "context_window": self._window,
            },
            embedding_config={
                "embedding_model": "given",
                "embedding_endpoint_type": "openai",
                "embedding_endpoint": self._relay.url,
                "embedding_dim": self._embedder.dimensions,
            },
        ).id
        return made
