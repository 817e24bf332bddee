from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from baselines.agents import AGENTS, Agent, agent_name, make_agent
from baselines.managers.scripted import group, pack
from finemem_env.errors import ConfigError
from finemem_env.operations import parse
from finemem_env.prompts import render_item
from finemem_env.prompts.observation import render_observation
from finemem_env.registration import make_env
from finemem_env.session import public
from finemem_env.text import approx_tokens
from finemem_env.types import Operation

INFO: dict[str, Any] = {"episode_id": "e0"}


def observe(
    chunk: str | None,
    items: Sequence[tuple[int, str]] = (),
    budget: int | None = None,
    index: int = 0,
) -> str:
    return render_observation(
        chunk=chunk,
        chunk_index=index,
        num_chunks=4,
        time="2024-01-01",
        lines=[render_item(item_id, text) for item_id, text in items],
        memory_items=len(items),
        memory_tokens=sum(approx_tokens(text) for _, text in items),
        budget=budget,
    )


def act(agent: Agent, observation: str) -> list[tuple[str, int | None, str | None]]:
    parsed = parse(agent.act(observation, INFO))
    assert all(isinstance(one, Operation) for one in parsed)
    return [(one.op.value, one.item_id, one.content) for one in parsed]  # type: ignore[union-attr]


UNPRIVILEGED = [name for name in AGENTS if name != "oracle"]
CHUNKS = (
    "Ann met Bob in Oslo. They ate fish.\n\nIn 1912 Carl left. Nobody saw it.",
    "how do I top up label: 3\nwhere is my card label: 7",
    "x",
    "住在北京的王先生今年三十岁。他有一条狗。",
    "word " * 9000,
)


@pytest.mark.parametrize("name", UNPRIVILEGED)
@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("budget", [None, 40])
def test_every_reply_is_valid(name: str, chunk: str, budget: int | None) -> None:
    agent = make_agent(name)
    agent.reset(INFO)
    items = [(1, "Old news from Rome."), (4, "a b c label: 2")]
    for index in range(3):
        operations = act(agent, observe(chunk, items, budget, index))
        assert 1 <= len(operations) <= 64
        ids = [item_id for _, item_id, _ in operations if item_id is not None]
        assert set(ids) <= {1, 4}
        assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", UNPRIVILEGED)
def test_the_closing_observation_is_answered_with_skip(name: str) -> None:
    agent = make_agent(name)
    agent.reset(INFO)
    assert act(agent, observe(None, [(1, "Old news.")])) == [("SKIP", None, None)]


def test_skip_stores_nothing() -> None:
    assert act(make_agent("skip"), observe(CHUNKS[0])) == [("SKIP", None, None)]


def test_store_chunks_stores_the_chunk_whole_and_once() -> None:
    agent = make_agent("store_chunks")
    assert act(agent, observe(CHUNKS[0])) == [("INSERT", None, CHUNKS[0])]
    assert act(agent, observe(CHUNKS[0], [(1, CHUNKS[0])])) == [("SKIP", None, None)]


def test_a_chunk_beyond_the_item_limit_is_cut() -> None:
    operations = act(make_agent("store_chunks"), observe("Yes, it is so. " * 2000))
    assert len(operations) > 1
    assert all(approx_tokens(content or "") <= 4096 for _, _, content in operations)


def test_store_sentences_stores_each_sentence() -> None:
    contents = [content for _, _, content in act(make_agent("store-sentences"), observe(CHUNKS[0]))]
    assert contents == [
        "Ann met Bob in Oslo.",
        "They ate fish.",
        "In 1912 Carl left.",
        "Nobody saw it.",
    ]


def test_store_sentences_groups_what_would_be_too_many_operations() -> None:
    chunk = " ".join(f"Number {i} came." for i in range(150))
    operations = act(make_agent("store_sentences"), observe(chunk))
    assert len(operations) == 50
    assert "\n".join(content or "" for _, _, content in operations).split() == chunk.split()


def test_first_sentence_takes_one_of_each_paragraph() -> None:
    operations = act(make_agent("first_sentence"), observe(CHUNKS[0]))
    assert [content for _, _, content in operations] == [
        "Ann met Bob in Oslo.",
        "In 1912 Carl left.",
    ]


def test_first_sentence_passes_over_titles_and_the_date() -> None:
    chunk = "Date: 2024-01-01.\nAnn met Bob.\n\nThe fish market\nIt opens early. It is loud."
    operations = act(make_agent("first_sentence"), observe(chunk))
    assert [content for _, _, content in operations] == ["Ann met Bob.", "It opens early."]


def test_fifo_deletes_the_oldest_to_make_room() -> None:
    items = [(3, "one two three."), (5, "four five six."), (9, "seven eight nine.")]
    operations = act(make_agent("fifo"), observe("ten eleven twelve now.", items, budget=16))
    assert operations == [
        ("DELETE", 3, None),
        ("INSERT", None, "ten eleven twelve now."),
    ]


def test_fifo_keeps_everything_without_a_budget() -> None:
    operations = act(make_agent("fifo"), observe("New.", [(3, "one two three.")]))
    assert operations == [("INSERT", None, "New.")]


def test_fifo_cuts_a_chunk_that_no_budget_holds() -> None:
    items = [(3, "one two.")]
    operations = act(
        make_agent("fifo"), observe("One is here. Two is there. Three left.", items, 10)
    )
    assert operations == [("DELETE", 3, None), ("INSERT", None, "One is here.\nTwo is there.")]


def test_random_repeats_itself_for_one_seed_and_episode_only() -> None:
    def replies(seed: int, episode: str) -> list[str]:
        agent = make_agent("random", {"seed": seed})
        agent.reset({"episode_id": episode})
        return [agent.act(observe(CHUNKS[0], [(1, "Old.")]), INFO) for _ in range(8)]

    first = replies(1, "a")
    assert replies(1, "a") == first
    assert replies(2, "a") != first
    assert replies(1, "b") != first


def test_random_uses_every_operation() -> None:
    agent = make_agent("random")
    agent.reset(INFO)
    items = [(i, f"Old news {i}.") for i in range(1, 7)]
    seen = {op for _ in range(60) for op, _, _ in act(agent, observe(CHUNKS[0], items))}
    assert seen == {"INSERT", "UPDATE", "DELETE", "SKIP"}


@pytest.mark.parametrize("name", ["STORE-chunks", "storechunks", "store_chunks"])
def test_names_are_matched_loosely(name: str) -> None:
    assert agent_name(name) == "store_chunks"


class Counted:
    def __init__(self, start: int = 0) -> None:
        self.count = start

    def reset(self, info: Any) -> None:  # noqa: ANN401
        self.count = 0

    def act(self, observation: str, info: Any) -> str:  # noqa: ANN401
        return json.dumps([{"op": "SKIP"}])


class NoAgent:
    pass


def test_an_agent_of_ones_own_is_found_by_module_and_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "my_agents", sys.modules[__name__])
    agent = make_agent("my_agents:Counted", {"start": 4})
    assert isinstance(agent, Counted)
    assert agent.count == 4


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("fifi", {}, "Did you mean 'fifo'"),
        ("skip", {"speed": 1}, "speed"),
        ("no.such.module:Agent", {}, "cannot be imported"),
        ("json:Agent", {}, "has no 'Agent'"),
        ("json:JSONDecoder", {}, r"needs the methods reset\(info\) and act"),
    ],
)
def test_what_cannot_be_an_agent_is_refused(
    name: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_agent(name, arguments)


def test_pack_fills_pieces_up_to_the_limit() -> None:
    pieces = pack(["a b c", "d e f", "g h"], 8)
    assert pieces == ["a b c\nd e f", "g h"]


def test_group_leaves_at_most_so_many() -> None:
    assert group(list("abcde"), 2) == ["a\nb\nc", "d\ne"]
    assert group(list("ab"), 5) == ["a", "b"]
    assert group([], 3) == []


LIMITS: list[dict[str, Any]] = [
    {"max_operations": 1},
    {"max_operations": 3, "memory_budget": 0.2},
    {"max_item_tokens": 6},
    {"max_item_tokens": 15, "max_operations": 2, "memory_budget": "unlimited"},
    {"max_item_tokens": "unlimited", "max_operations": "unlimited"},
]


@pytest.mark.parametrize("name", UNPRIVILEGED)
@pytest.mark.parametrize("limits", LIMITS)
def test_no_reply_breaks_the_limits_that_info_names(name: str, limits: dict[str, Any]) -> None:
    env = make_env("FineMem-CR-v0", num_chunks=4, **limits)
    observation, info = env.reset(seed=3)
    agent = make_agent(name)
    agent.reset(public(info))
    over, reasons = False, set()
    while not over:
        observation, _, over, _, info = env.step(agent.act(observation, public(info)))
        reasons |= {one["reason"] for one in info["operations"]}
    assert not reasons & {"too many operations", "content too long"}
