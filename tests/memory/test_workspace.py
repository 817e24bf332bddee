"""Memory, retriever and view move in step, whatever was done and wherever it was copied."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
import pytest

from finemem_env.errors import ConfigError, DataError
from finemem_env.memory import Workspace
from finemem_env.operations import Parsed
from finemem_env.prompts import INSTRUCTIONS, parse_observation
from finemem_env.retrieval import BM25
from finemem_env.settings import resolve
from finemem_env.text import approx_tokens
from finemem_env.types import Chunk, Op, Operation

KINDS: dict[str, dict[str, Any]] = {
    "flat": {"memory_budget": "unlimited"},
    "recent": {"memory_view": "recent:3", "memory_budget": 60},
    "relevant": {"memory_view": "relevant:3", "bm25": "okapi"},
    "small": {"max_observation_tokens": 150},
    "stores": {"memory": "hierarchical", "memory_view": "recent:2"},
    "mem-alpha": {"protocol": "mem-alpha"},
}
NAMES = ("Mara", "Osta", "gate", "key", "cellar", "boat", "tea")


def _workspace(kind: str) -> Workspace:
    return Workspace(resolve(**KINDS[kind]), approx_tokens, input_tokens=400)


def _operations(kind: str, rng: np.random.Generator) -> list[Parsed]:
    found: list[Parsed] = []
    for _ in range(rng.integers(1, 5)):
        words = " ".join(rng.choice(NAMES, size=rng.integers(2, 6)))
        store = None
        if "stores" in kind or kind == "mem-alpha":
            store = str(rng.choice(["core", "semantic", "episodic"]))
        item_id = int(rng.integers(12))
        found.append(
            [
                Operation(Op.INSERT, content=f"{words}.", store=store),
                Operation(Op.UPDATE, content=f"{words}.", item_id=item_id, store=store),
                Operation(Op.DELETE, item_id=item_id, store=store),
            ][rng.choice(3, p=[0.6, 0.25, 0.15])]
        )
    return found


def _seen(workspace: Workspace, step: int) -> tuple[object, ...]:
    chunk = Chunk(f"c{step}", "Where is Mara and the key of the gate?")
    memory = workspace.memory
    return (
        workspace.render(chunk, 12, step, 50),
        [workspace.search(name, 3) for name in NAMES],
        memory.snapshot(),
        (memory.tokens, memory.budget, len(memory), memory.items()),
    )


def _play(workspace: Workspace, kind: str, rng: np.random.Generator, steps: range) -> list[object]:
    seen: list[object] = []
    for step in steps:
        change = workspace.apply(step, _operations(kind, rng))
        seen.append((change, _seen(workspace, step)))
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_a_fork_goes_on_as_the_original_and_apart_from_it(kind: str) -> None:
    workspace = _workspace(kind)
    _play(workspace, kind, np.random.default_rng(0), range(20))
    before = _seen(workspace, 20)
    fork, other = workspace.fork(), workspace.fork()
    _play(other, kind, np.random.default_rng(9), range(20, 40))
    assert _seen(workspace, 20) == before
    expected = _play(workspace, kind, np.random.default_rng(1), range(20, 40))
    assert _play(fork, kind, np.random.default_rng(1), range(20, 40)) == expected


class _Connected:
    """A retriever that cannot be copied."""

    version = "connected/1"

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def update(self, removed: object, added: object) -> None: ...

    def search(self, query: str, k: int) -> list[int]:
        return []


def test_a_retriever_that_cannot_be_copied_is_named() -> None:
    workspace = Workspace(_workspace("flat").settings, approx_tokens, retriever=_Connected())
    with pytest.raises(ConfigError, match=r"its _Connected, which cannot be copied .*__deepcopy__"):
        workspace.fork()


@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_workspace_finds_and_shows_what_it_did(kind: str) -> None:
    workspace = _workspace(kind)
    _play(workspace, kind, np.random.default_rng(2), range(20))
    snapshot = json.loads(json.dumps(workspace.memory.snapshot()))
    expected = _seen(workspace, 20)
    fresh, used = _workspace(kind), workspace.fork()
    _play(used, kind, np.random.default_rng(3), range(20, 40))
    for other in (fresh, used):
        other.restore(snapshot)
        assert _seen(other, 20) == expected
    with pytest.raises(DataError):
        used.restore({})  # type: ignore[typeddict-item]
    assert _seen(used, 20) == expected


def test_every_item_is_shown_and_found_as_it_is_now() -> None:
    workspace = _workspace("flat")
    workspace.apply(0, [Operation(Op.INSERT, content="Mara lives in Osta.")])
    workspace.apply(1, [Operation(Op.UPDATE, content="Mara lives in Triton.", item_id=1)])
    assert parse_observation(workspace.render(None, 0, 2, 2)).items == (
        (1, "Mara lives in Triton."),
    )
    assert [item.content for item in workspace.search("Mara", 5)] == ["Mara lives in Triton."]
    assert workspace.search("Osta", 5) == ()


def test_a_budget_that_is_a_share_follows_what_is_read() -> None:
    workspace = Workspace(resolve(memory_budget=0.5), approx_tokens, input_tokens=40)
    assert workspace.memory.budget == 20
    workspace.set_input(100)
    assert workspace.memory.budget == 50


def test_instructions_stand_in_front_where_the_settings_say_so() -> None:
    workspace = Workspace(resolve(include_instructions=True), approx_tokens)
    assert workspace.render(None, 0, 1, 1).startswith(f"{INSTRUCTIONS}\n\nAll 1 chunks")


def test_a_retriever_object_serves_one_store_only() -> None:
    own = BM25()
    assert Workspace(resolve(), approx_tokens, retriever=own).retriever is own
    with pytest.raises(ConfigError, match="name the retriever"):
        Workspace(resolve(memory="hierarchical"), approx_tokens, retriever=own)
