"""Memory libraries as they are installed, against a loopback server: `tox run -e system-mem0`, …

A library that is not installed is left out; $FINEMEM_SYSTEM names the one that must be there, and
is then the only one: some bring others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from baselines.agents import STORES
from baselines.runs.choice import AgentChoice
from baselines.runs.folder import RunFolder
from baselines.runs.run import RunConfig, run
from baselines.stores.library import Library
from baselines.tables.results import Result
from finemem_env.registry import load_reference
from finemem_env.trace import Trace
from tests.baselines.systems.server import MemoryServer
from tests.installed import needs

needs("openai", "libraries call their model through openai")

# What libraries warn about is theirs to mend.
pytestmark = pytest.mark.filterwarnings("default")

MODULES = {
    "mem0": "mem0",
    "langmem": "langmem",
    "a_mem": "agentic_memory",
    "llama_index": "llama_index",
    "txtai": "txtai",
    "graphiti": "graphiti_core",
    "letta": "letta_client",
}
ASKED = os.environ.get("FINEMEM_SYSTEM", "")
KEYWORDS: dict[str, Any] = {"split": "test", "num_chunks": 3, "chunk_questions": 0}
NAMES = [ASKED] if ASKED else [name for name, module in MODULES.items() if find_spec(module)]
if not NAMES:
    pytest.skip("needs a memory library: tox run -e system-mem0, ...", allow_module_level=True)
REVISED = {"a_mem", "letta"}  # whose notes, and whose block, change
every_system = pytest.mark.parametrize("name", NAMES)
outages = pytest.mark.parametrize(
    ("name", "path"),
    [
        (name, path)
        for name in NAMES
        for path in ("/chat/completions", "/embeddings")
        if name != "txtai" or path == "/embeddings"  # it has no model
    ],
)


@pytest.fixture
def server() -> Iterator[MemoryServer]:
    with MemoryServer() as one:
        yield one


def arguments(name: str, server: MemoryServer) -> dict[str, Any]:
    place = {"name": "openai", "base_url": server.url, "retries": 0}
    embeddings = {**place, "model": "words"}
    if name == "txtai":
        return {"search": "hybrid", "embeddings": embeddings}
    return {"backend": {**place, "model": "stub"}, "embeddings": embeddings}


def play(
    name: str, server: MemoryServer, folder: Path, **keywords: object
) -> tuple[Result, Trace | None]:
    agent = AgentChoice(name, arguments(name, server))
    run(RunConfig("FineMem-AR-v0", {**KEYWORDS, **keywords}, (agent,), episodes=1), folder)
    (result,) = RunFolder(folder).results()
    traces = [trace for _, trace in RunFolder(folder).traces()]
    return result, traces[0] if traces else None


@every_system
def test_it_plays_under_the_budget_with_its_name_version_and_cost(
    name: str, server: MemoryServer, tmp_path: Path
) -> None:
    result, trace = play(name, server, tmp_path, memory_budget=120)
    assert (result.status, result.error) == ("ok", "")
    assert trace is not None
    library = load_reference("store", STORES[name].factory)
    assert issubclass(library, Library)
    assert library.version[0].isdigit()
    assert trace.versions["retriever"] == f"store/1/{name}/{library.version}"
    assert result.memory_tokens is not None
    assert 0 < result.memory_tokens <= 120
    assert result.rejected["memory full"] > 0
    chats = [seen for seen in server.seen if seen.path.endswith("/chat/completions")]
    assert result.usage.get("manager", {"calls": 0})["calls"] == len(chats)
    assert bool(chats) is (name != "txtai")
    embedded = [seen for seen in server.seen if seen.path.endswith("/embeddings")]
    assert result.usage["embeddings"]["calls"] == len(embedded) > 0


@every_system
def test_it_finds_what_it_was_told_and_plays_the_same_twice(
    name: str, server: MemoryServer, tmp_path: Path
) -> None:
    first, trace = play(name, server, tmp_path / "a", memory_budget="unlimited")
    second, again = play(name, server, tmp_path / "b", memory_budget="unlimited")
    assert trace is not None
    assert again is not None
    assert first.score == second.score > 0.0
    assert [step.action for step in trace.steps] == [step.action for step in again.steps]
    assert [one.shown for one in trace.answers] == [one.shown for one in again.answers]
    assert any(one.shown for one in trace.answers)
    written = {one["op"] for step in trace.steps for one in json.loads(step.action)}
    assert "INSERT" in written
    assert ("UPDATE" in written) is (name in REVISED)


@outages
def test_an_outage_is_invalid_and_no_zero(
    name: str, path: str, server: MemoryServer, tmp_path: Path
) -> None:
    server.down = {path}
    result, trace = play(name, server, tmp_path)
    assert (result.status, trace) == ("invalid", None)
    assert "503" in result.error
    assert result.usage


@every_system
def test_what_was_refused_is_gone_from_it(name: str, server: MemoryServer) -> None:
    store: Any = load_reference("store", STORES[name].factory)(**arguments(name, server))
    store.add("The red key opens the cellar. Mara lives in Osta.", "2024-05-01")
    store.add("The code of the gate is 4711.", None)
    keys = [key for key, _ in store.items()]
    assert len(keys) == len(set(keys)) > 1
    store.forget(keys[:1])
    assert [key for key, _ in store.items()] == keys[1:]
    found = store.search("What is the code of the gate?", 1)
    assert len(found) == 1
    assert "4711" in dict(store.items())[found[0]]
    assert keys[0] not in store.search("The red key opens the cellar.", 10)
    store.close()


@pytest.mark.skipif("letta" not in NAMES, reason="letta is not installed")
def test_an_edit_of_lettas_block_that_was_refused_is_taken_back(server: MemoryServer) -> None:
    store: Any = load_reference("store", STORES["letta"].factory)(**arguments("letta", server))
    store.add("It rains. The red key opens the cellar.", None)
    (key, text), *passages = store.items()
    assert text == "It rains."
    store.add("It snows. Mara lives in Osta.", None)
    assert (key, "It rains.\nIt snows.") in store.items()
    store.forget([key])
    assert store.items()[0] == (key, text)
    assert len(store.items()) == len(passages) + 2
    assert store.search("Where does Mara live?", 2)[0] == key  # always seen, so always found
    store.close()
