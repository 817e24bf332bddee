"""`MemoryManager`: what an application sees."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from finemem_env import MemoryManager, manager
from finemem_env.env import MemoryEnv
from finemem_env.errors import ConfigError, DataError
from finemem_env.operations import render
from finemem_env.prompts import INSTRUCTIONS, instructions_for, parse_observation
from finemem_env.retrieval import BM25
from finemem_env.session import public
from finemem_env.types import Op, Operation


def _store(observation: str) -> str:
    return render([Operation(Op.INSERT, content=parse_observation(observation).chunk)])


class _Agent:
    """Stores every chunk and keeps what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Mapping[str, Any]]] = []

    def reset(self, info: Mapping[str, Any]) -> None:
        raise AssertionError("an application has no episodes")

    def act(self, observation: str, info: Mapping[str, Any]) -> str:
        self.seen.append((observation, info))
        return _store(observation)


def _contents(memory: MemoryManager, query: str, k: int = 5) -> list[str]:
    return [item.content for item in memory.search(query, k)]


def test_observe_search_and_what_the_policy_sees() -> None:
    agent = _Agent()
    memory = MemoryManager(agent, memory_budget=500)
    (result,) = memory.observe("My sister Mara lives in Osta.", time="2024-05-03")
    assert result.accepted
    memory.observe("The code of the gate is 4711.")
    assert _contents(memory, "Where does Mara live?") == ["My sister Mara lives in Osta."]
    assert _contents(memory, "gate", k=1) == ["The code of the gate is 4711."]
    assert _contents(memory, "nothing shared") == []
    view = parse_observation(agent.seen[1][0])
    assert (view.chunk_index, view.num_chunks, view.budget) == (1, -1, 500)
    assert view.items == ((1, "My sister Mara lives in Osta."),)
    assert parse_observation(agent.seen[0][0]).time == "2024-05-03"
    assert agent.seen[0][1]["instructions"] == INSTRUCTIONS


def _trained(**settings: Any) -> tuple[list[tuple[str, dict[str, Any]]], MemoryEnv]:  # noqa: ANN401
    """What an agent saw in an episode, and the environment after it."""
    env = MemoryEnv(source="synthetic", **settings)
    trained: list[tuple[str, dict[str, Any]]] = []
    observation, info = env.reset(seed=3)
    over = False
    while not over:
        trained.append((observation, info))
        observation, _, over, _, info = env.step(_store(observation))
    return trained, env


def test_the_policy_sees_what_it_saw_in_training() -> None:
    trained, env = _trained(memory_budget=300)
    agent = _Agent()
    memory = MemoryManager(agent, memory_budget=300, chunk_tokens=10_000)
    for chunk in env.session.episode.chunks:
        memory.observe(chunk.text, time=chunk.time)
    total = f'of="{len(trained)}"'
    unknown = [one.replace(total, 'of="?"') for one, _ in trained]
    assert [seen for seen, _ in agent.seen] == unknown
    assert memory.memory.snapshot() == env.session.memory.snapshot()


@pytest.mark.parametrize(
    "settings",
    [
        {"memory_budget": 300},
        {"memory_budget": 300, "line_numbers": True},
        {"memory_budget": 0.3, "memory_view": "recent:3"},
        {"memory_budget": 0.6, "max_observation_tokens": 300, "include_instructions": True},
        {"memory_budget": 400, "memory_view": "relevant:2", "bm25": "okapi"},
        {"memory_budget": 200, "max_item_tokens": 40, "max_operations": 2},
        {"memory_budget": 500, "memory": "hierarchical", "memory_view": "recent:5"},
        {
            "memory_budget": 900,
            "memory": "hierarchical",
            "max_observation_tokens": 600,
            "retriever": {"name": "bm25", "tokens": "lower", "fill": True},
            "bm25": "okapi",
            "max_item_tokens": "unlimited",
            "max_operations": "unlimited",
        },
    ],
)
def test_with_the_same_settings_it_sees_the_same_bytes(settings: dict[str, Any]) -> None:
    trained, env = _trained(**settings)
    agent = _Agent()
    memory = MemoryManager(
        agent,
        chunk_tokens=10_000,
        num_chunks=env.session.num_chunks,
        input_tokens=sum(env.session.chunk_tokens),
        **settings,
    )
    for chunk in env.session.episode.chunks:
        memory.observe(chunk.text, time=chunk.time)
    assert [seen for seen, _ in agent.seen] == [seen for seen, _ in trained]
    assert memory.memory.snapshot() == env.session.memory.snapshot()
    for (_, seen), (_, info) in zip(agent.seen, trained, strict=True):
        told = public(info)
        named = {"anchor", "episode_id", "versions"}
        assert {key: told[key] for key in told.keys() - named} == {
            key: seen[key] for key in seen.keys() - named
        }
        assert seen["versions"] == told["versions"] | {"reader": ""}
        assert seen.keys() == told.keys()


def test_past_the_texts_that_were_announced_their_number_is_unknown() -> None:
    agent = _Agent()
    memory = MemoryManager(agent, num_chunks=1)
    memory.observe("Mara lives in Osta.")
    memory.observe("The gate is red.")
    assert [parse_observation(seen).num_chunks for seen, _ in agent.seen] == [1, -1]


def _stores(observation: str) -> str:
    """Keeps the chunk in each store, and the first word of it in the core."""
    chunk = parse_observation(observation).chunk or ""
    return render(
        [
            Operation(Op.UPDATE, content=chunk.split()[0], store="core"),
            Operation(Op.INSERT, content=chunk, store="semantic"),
            Operation(Op.INSERT, content=f"Today: {chunk}", store="episodic"),
        ]
    )


def test_a_hierarchical_memory_is_kept_searched_saved_and_gone_on_with(tmp_path: Path) -> None:
    texts = [f"Person{i} lives in City{i % 3}, and likes tea." for i in range(9)]
    settings: dict[str, Any] = {"memory": "hierarchical", "memory_view": "recent:2"}
    whole, part = MemoryManager(_stores, **settings), MemoryManager(_stores, **settings)
    for text in texts[:5]:
        assert [one.accepted for one in whole.observe(text)] == [True] * 3
        part.observe(text)
    found = whole.search("Person3 likes tea.", k=2)
    assert [item.store for item in found] == ["semantic"] * 2 + ["episodic"] * 2
    assert found[0].content == texts[3]
    assert found[2].content == f"Today: {texts[3]}"
    assert whole.memory.core is not None
    assert whole.memory.core.content == "Person4"
    part.save(tmp_path / "m.json")
    loaded = MemoryManager.load(tmp_path / "m.json", _stores)
    assert loaded.search("City1", k=3) == whole.search("City1", k=3)
    assert loaded.workspace.instructions == instructions_for("hierarchical")
    seen: list[list[str]] = [[], []]
    for one, shown in zip((whole, loaded), seen, strict=True):

        def watched(observation: str, shown: list[str] = shown) -> str:
            shown.append(observation)
            return _stores(observation)

        one.policy = watched
    for text in texts[5:]:
        assert whole.observe(text) == loaded.observe(text)
    assert seen[0] == seen[1]
    assert "<core>" in seen[0][0]


def test_an_error_leaves_a_hierarchical_memory_as_it_was() -> None:
    memory = MemoryManager(_stores, memory="hierarchical", chunk_tokens=12)
    memory.observe("Mara lives in Osta.")
    before, found = memory.memory.snapshot(), memory.search("Mara Osta", 5)
    calls = iter([_stores, _stores, None])
    memory.policy = lambda observation: next(calls)(observation)  # type: ignore[misc]
    with pytest.raises(TypeError):
        memory.observe("Mara sold a boat today. Nobody knows why it was. The gate is still red.")
    assert (memory.memory.snapshot(), memory.search("Mara Osta", 5)) == (before, found)


def test_save_and_load_go_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    texts = [f"Person{i} lives in City{i % 3}, and likes tea." for i in range(9)]
    whole = MemoryManager(_store, memory_budget=0.5, memory_view="recent:3")
    part = MemoryManager(_store, memory_budget=0.5, memory_view="recent:3")
    for text in texts[:5]:
        whole.observe(text)
        part.observe(text)
    path = tmp_path / "memory.json"
    part.save(path)
    agent, other = _Agent(), _Agent()
    loaded = MemoryManager.load(path, agent)
    whole.policy = other
    for text in texts[5:]:
        assert whole.observe(text) == loaded.observe(text)
    assert agent.seen == other.seen
    assert _contents(loaded, "Who lives in City1?") == _contents(whole, "Who lives in City1?")
    assert [path.name for path in tmp_path.iterdir()] == ["memory.json"]


def test_a_share_of_what_was_read_is_a_budget() -> None:
    memory = MemoryManager(_store, memory_budget=0.5)
    results = [memory.observe(f"Fact number {i} about town{i} and river{i}.")[0] for i in range(10)]
    assert memory.memory.tokens <= 0.5 * memory.tokens_read
    assert 4 <= sum(result.accepted for result in results) <= 5


def test_long_texts_are_read_in_parts_of_whole_sentences() -> None:
    agent = _Agent()
    memory = MemoryManager(agent, chunk_tokens=60)
    sentences = [f"Sentence number {i} tells that thing{i} is in place{i}." for i in range(20)]
    results = memory.observe(" ".join(sentences))
    assert len(results) == len(agent.seen) > 3
    read = [parse_observation(one).chunk or "" for one, _ in agent.seen]
    assert " ".join(" ".join(read).split()) == " ".join(sentences)
    assert memory.steps == len(read)


def test_an_error_of_the_policy_leaves_the_memory_as_it_was() -> None:
    calls = 0

    def policy(observation: str) -> str:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise RuntimeError("model is away")
        return _store(observation)

    memory = MemoryManager(policy, chunk_tokens=20)
    memory.observe("Mara lives in Osta.")
    before = memory.memory.snapshot(), memory.steps, memory.tokens_read
    text = " ".join(f"Sentence {i} tells that thing{i} is in place{i}." for i in range(6))
    with pytest.raises(RuntimeError, match="away"):
        memory.observe(text)
    assert (memory.memory.snapshot(), memory.steps, memory.tokens_read) == before
    assert _contents(memory, "thing0 place0") == []
    memory.observe(text)
    assert len(_contents(memory, "place0 thing0")) == 1
    assert _contents(memory, "Mara Osta") == ["Mara lives in Osta."]


def test_updates_and_deletes_reach_search() -> None:
    said = iter(
        [
            [Operation(Op.INSERT, content="Mara lives in Osta.")],
            [Operation(Op.UPDATE, content="Mara lives in Triton.", item_id=1)],
            [Operation(Op.DELETE, item_id=1)],
        ]
    )
    memory = MemoryManager(lambda _: render(next(said)))
    found = []
    for _ in range(3):
        memory.observe("news")
        found.append(_contents(memory, "Where does Mara live?"))
    assert found == [["Mara lives in Osta."], ["Mara lives in Triton."], []]


def test_a_retriever_object_of_ones_own(tmp_path: Path) -> None:
    class _Counted(BM25):
        def __init__(self) -> None:
            super().__init__()
            self.size = 0

        def update(
            self, removed: Sequence[tuple[int, str]], added: Sequence[tuple[int, str]]
        ) -> None:
            super().update(removed, added)
            self.size += len(added) - len(removed)

    memory = MemoryManager(_store, _Counted())
    memory.observe("Mara lives in Osta.")
    memory.save(tmp_path / "m.json")
    with pytest.raises(DataError, match="saved with a retriever object"):
        MemoryManager.load(tmp_path / "m.json", _store)
    fresh = _Counted()
    loaded = MemoryManager.load(tmp_path / "m.json", _store, fresh)
    assert (fresh.size, _contents(loaded, "Mara")) == (1, ["Mara lives in Osta."])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": 3}, "policy: expected act"),
        ({"retriever": "bm52"}, "Did you mean 'bm25'"),
        ({"chunk_tokens": 0}, "chunk_tokens"),
        ({"chunk_tokens": "9"}, "chunk_tokens: expected an integer ≥ 1, got '9'"),
        ({"num_chunks": 2.5}, "num_chunks: expected an integer ≥ 1, got 2.5"),
        ({"memory_budget": 0}, "memory_budget"),
        ({"memory_view": "some"}, "memory_view"),
        ({"tokenizer": "gpt"}, "tokenizer"),
        ({"memory": "tree"}, "memory"),
        ({"num_chunks": 0}, "num_chunks"),
        ({"input_tokens": -5}, "input_tokens"),
        ({"max_operations": 0}, "max_operations"),
        ({"memory": "hierarchical", "retriever": BM25()}, "name the retriever"),
    ],
)
def test_bad_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MemoryManager(**({"policy": _store} | options))


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"schema": "finemem-memory/9"}', '{"schema": "finemem-memory/1"}'],
)
def test_files_that_are_no_memory(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"m\.json"):
        MemoryManager.load(path, _store)
    with pytest.raises(DataError, match="cannot be read"):
        MemoryManager.load(tmp_path / "absent.json", _store)


def test_a_damaged_memory_is_refused(tmp_path: Path) -> None:
    memory = MemoryManager(_store)
    memory.observe("Mara lives in Osta.")
    memory.save(tmp_path / "m.json")
    record = json.loads((tmp_path / "m.json").read_text())
    for key in ("memory", "settings", "steps", "retriever"):
        damaged = tmp_path / "d.json"
        damaged.write_text(json.dumps({name: one for name, one in record.items() if name != key}))
        with pytest.raises(DataError):
            MemoryManager.load(damaged, _store)


def test_the_example_of_the_module_is_fifteen_lines_at_most() -> None:
    lines = [line for line in (manager.__doc__ or "").splitlines() if line.startswith("    ")]
    assert 5 <= len(lines) <= 15
