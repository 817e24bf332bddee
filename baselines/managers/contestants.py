"""The memory systems of `systems.STORES` as agents of their own names.

    --agent mem0 --agent-args '{"backend": …, "embeddings": …}'

is `--agent store --agent-args '{"store": "mem0", "arguments": {…}}'`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from baselines.managers.store import Store


def _agent(store: str) -> Callable[..., Store]:
    def make(**arguments: Any) -> Store:  # noqa: ANN401
        return Store(store, arguments)

    return make


vector = _agent("vector")
mem0 = _agent("mem0")
langmem = _agent("langmem")
a_mem = _agent("a_mem")
llama_index = _agent("llama_index")
graphiti = _agent("graphiti")
letta = _agent("letta")
txtai = _agent("txtai")
