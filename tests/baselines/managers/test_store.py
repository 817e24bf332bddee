from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import finemem_env  # noqa: F401  (registers the environments)
from baselines.agents import AnsweringAgent
from baselines.managers.outages import is_outage
from baselines.managers.store import Store
from baselines.rescore import main as rescore
from baselines.runs.choice import AgentChoice
from baselines.runs.run import RunConfig, run
from baselines.runs.submission import write_submission
from baselines.verify import main as verify
from finemem_env.errors import BackendError, ConfigError
from tests.baselines.store_agents import Bad, Notes

SYSTEMS = "tests.baselines.store_agents"
SMALL: dict[str, Any] = {"split": "test", "num_chunks": 3}


def choice(name: str, **arguments: object) -> AgentChoice:
    return AgentChoice("store", {"store": f"{SYSTEMS}:{name}", "arguments": arguments})


def lines(folder: Path, name: str = "results.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def play(store: Store, **keywords: object) -> dict[str, Any]:
    """One episode; what the last step's info says, with the memory's contents."""
    env: gym.Env[str, str] = gym.make(
        "FineMem-AR-v0", disable_env_checker=True, **{**SMALL, **keywords}
    )
    store.attach(env)
    observation, info = env.reset(seed=1)
    store.reset(info)
    done = False
    while not done:
        observation, _, done, _, info = env.step(store.act(observation, info))
    found = {**info, "held": {one.id: one.content for one in env.unwrapped.session.memory.items()}}  # type: ignore[attr-defined]
    store.detach(env)
    return found


def test_what_it_holds_is_mirrored_and_what_it_finds_is_shown() -> None:
    Notes.made.clear()
    store = Store(Notes)
    assert isinstance(store, AnsweringAgent)
    info = play(store, memory_budget="unlimited")
    (notes,) = Notes.made
    assert sorted(info["held"].values()) == sorted(set(notes.texts.values()))
    assert notes.said[0].startswith("add ")
    assert notes.said[1] == "flush"
    assert notes.said[-1] == "close"
    assert info["versions"]["retriever"] == "store/1/Notes/7"
    assert notes.forgotten == []
    asked = info["answers"][0]
    texts = [info["held"][item_id] for item_id, _ in asked["shown"]]
    assert texts == [notes.texts[key] for key in notes.search(asked["question"], 5)]


def test_the_budget_holds_and_what_is_refused_is_told_and_never_found() -> None:
    Notes.made.clear()
    info = play(Store(Notes), memory_budget=60)
    (notes,) = Notes.made
    assert 40 < info["memory_tokens"] <= 60
    refused = set(notes.forgotten)
    assert refused
    assert not refused & {k for k, text in notes.texts.items() if text in info["held"].values()}
    assert len(notes.forgotten) == len(refused)  # told once
    # It keeps them all the same: its search is asked for more, and they are left out.
    assert max(notes.asked) > 5
    count = min(5, len(info["held"]))
    assert count > 2
    assert all(len(one["shown"]) == count for one in info["answers"])


def test_every_episode_has_a_store_of_its_own_and_the_retriever_comes_back(tmp_path: Path) -> None:
    Notes.made.clear()
    agents = (choice("Notes"), AgentChoice("store_sentences"))
    run(RunConfig(env_args=SMALL, agents=agents, episodes=2), tmp_path)
    assert len(Notes.made) == 2
    assert all(one.said[-1] == "close" for one in Notes.made)
    found = [one["versions"]["retriever"] for one in lines(tmp_path, "traces.jsonl")]
    assert sum(one == "store/1/Notes/7" for one in found) == 2
    assert sum(one.startswith("bm25") for one in found) == 2


def test_bm25_is_as_good_as_the_environments_own(tmp_path: Path) -> None:
    args = {**SMALL, "memory_budget": "unlimited"}
    agents = (AgentChoice("store", {"store": "bm25"}), AgentChoice("rag"), choice("Notes"))
    rows = run(RunConfig(env_args=args, agents=agents, episodes=2), tmp_path)
    bm25, rag, _ = (row.score or 0.0 for row in rows)
    assert abs(bm25 - rag) < 0.2
    assert bm25 > 0.4
    assert not any(row.failed or row.invalid or row.apart for row in rows)


@pytest.mark.parametrize("where", ["add", "items", "search"])
@pytest.mark.parametrize("how", ["outage", "error"])
def test_an_outage_is_invalid_and_an_error_is_a_failure(
    tmp_path: Path, where: str, how: str
) -> None:
    agents = (choice("Bad", where=where, how=how), AgentChoice("fifo"))
    broken, fifo = run(RunConfig(env_args=SMALL, agents=agents, episodes=1), tmp_path)
    assert (broken.failed, broken.invalid) == ((0, 1) if how == "outage" else (1, 0))
    assert (fifo.failed, fifo.invalid) == (0, 0)
    said = "RuntimeError: the client gave up" if how == "outage" else "KeyError: 'lost'"
    assert lines(tmp_path)[0]["error"] == f"{where} raised {said}"


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("numbers", "items: expected (key, text) pairs of strings, got (1, 'x')"),
        ("text", "items: expected (key, text) pairs of strings, got 'ab'"),
        ("twice", "items: the key 'a' is there twice"),
    ],
)
def test_items_that_are_none(tmp_path: Path, how: str, error: str) -> None:
    agents = (choice("Bad", where="", how=how),)
    (row,) = run(RunConfig(env_args=SMALL, agents=agents, episodes=1), tmp_path)
    assert row.failed == 1
    assert lines(tmp_path)[0]["error"] == error


def test_a_run_is_scored_again_from_what_was_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agents = (choice("Backwards"), AgentChoice("fifo"))
    rows = run(RunConfig(env_args=SMALL, agents=agents, episodes=2), tmp_path / "run")
    assert (rows[0].score or 0.0) < (rows[1].score or 0.0)
    assert rescore([str(tmp_path / "run")]) == 0
    write_submission(tmp_path / "run", tmp_path / "one.json")
    assert verify([str(tmp_path / "one.json")]) == 0
    assert "2 of them by agents that search themselves" in capsys.readouterr().out


class _HttpError(Exception):
    """A library's error with a status, under another package's name."""

    def __init__(self, status: int) -> None:
        self.status_code = status


def test_what_counts_as_an_outage() -> None:
    api_error = type("APIError", (_HttpError,), {"__module__": "openai._exceptions"})
    rate_limit = type("RateLimitError", (api_error,), {"__module__": "openai"})
    assert is_outage(rate_limit(429))
    assert is_outage(api_error(503))
    assert is_outage(api_error(401))
    assert not is_outage(api_error(400))
    assert is_outage(BackendError("no reply"))
    assert is_outage(TimeoutError())
    assert not is_outage(ValueError("429"))
    assert not is_outage(_HttpError(503))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, r"unknown store ''.*Known: .*bm25.*package.module:Class"),
        ({"store": "bm26"}, "Did you mean 'bm25'"),
        ({"store": "nowhere:Store"}, "cannot be imported"),
        ({"store": f"{SYSTEMS}:Nobody"}, "has no 'Nobody'"),
        ({"store": dict}, "store/1/dict/unversioned has no method add, search"),
        ({"store": Bad}, "missing a required argument"),
        ({"store": "bm25", "arguments": {"size": 3}}, "unexpected keyword argument 'size'"),
    ],
)
def test_what_cannot_play_is_refused_before_anything_is_played(
    arguments: dict[str, Any], error: str
) -> None:
    with pytest.raises(ConfigError, match=error):
        Store(**arguments)


def test_a_memory_of_several_stores_is_refused() -> None:
    env: gym.Env[str, str] = gym.make(
        "FineMem-AR-v0", disable_env_checker=True, memory="hierarchical", **SMALL
    )
    with pytest.raises(ConfigError, match="expected memory='flat', got 'hierarchical'"):
        Store("bm25").attach(env)


def test_the_class_of_the_documentation_plays() -> None:
    page = (Path(__file__).parents[3] / "docs" / "baselines.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(# notes\.py.*?)```", page, re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)
    info = play(Store(found["Notes"], {"keep": 12}), memory_budget=80)
    assert 0 < info["memory_items"] <= 12
    assert info["versions"]["retriever"] == "store/1/Notes/1"
    assert any(one["shown"] for one in info["answers"])
