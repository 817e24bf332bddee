"""What must hold between agents, so that scores mean something. Few episodes, fixed seeds."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from baselines.agents import make_agent
from baselines.managers.scripted import Reactive, inserts
from baselines.runs.episodes import episode_seeds
from baselines.runs.runner import run_episode
from baselines.tables.summary import AgentSummary, summarise
from finemem_env.data.synthetic.kinds import is_asked_kind
from finemem_env.prompts import View
from finemem_env.text import split_sentences
from finemem_env.types import Operation

SYNTHETIC = ("AR", "TTL", "LRU", "CR")
# Source, episodes, and chunks where few are enough to tell the agents apart.
REAL: tuple[tuple[str, str, int, int | None], ...] = (
    ("AR", "squad", 1, 3),
    ("AR", "hotpotqa", 2, None),
    ("TTL", "banking77", 1, 3),
    ("TTL", "clinc150", 1, 3),
    ("TTL", "csabstruct", 1, 3),
    ("LRU", "fairytaleqa", 1, 3),
    ("CR", "mquake", 1, 3),
    ("CR", "mquake_sh", 1, 3),
    ("CR", "mquake_mh", 2, None),
    ("CR", "factconsolidation", 1, 3),
    ("CR", "factconsolidation_sh", 1, 6),
    ("CR", "factconsolidation_mh", 1, None),
)


@cache
def play(
    competency: str,
    agent: str,
    episodes: int,
    **keywords: Any,  # noqa: ANN401
) -> AgentSummary:
    env = gym.make(f"FineMem-{competency}-v0", disable_env_checker=True, split="test", **keywords)
    made = _Appending() if agent == "appending" else make_agent(agent)
    seeds = episode_seeds(11, episodes)
    results = [run_episode(env, agent, made, i, seed, {})[0] for i, seed in enumerate(seeds)]
    (summary,) = summarise(results)
    assert summary.failed == summary.invalid == 0
    return summary


def score(competency: str, agent: str, episodes: int, **keywords: Any) -> float:  # noqa: ANN401
    # No score needs chunk questions to be asked.
    found = play(competency, agent, episodes, **keywords, reward="outcome").score
    assert found is not None
    return found


class _Appending(Reactive):
    """Stores the same facts as `selective` and never updates one."""

    def operations(self, view: View, chunk: str) -> list[Operation]:
        return inserts(filter(is_asked_kind, split_sentences(chunk)), view)


@pytest.mark.parametrize("competency", SYNTHETIC)
def test_without_a_budget_oracle_beats_everything_beats_nothing(competency: str) -> None:
    oracle, everything, first, nothing = (
        score(competency, agent, 3, memory_budget="unlimited")
        for agent in ("oracle", "store_chunks", "first_sentence", "skip")
    )
    assert oracle > everything > nothing
    assert everything > first


@pytest.mark.parametrize("competency,source,episodes,num_chunks", REAL)
def test_the_same_on_real_data(
    competency: str, source: str, episodes: int, num_chunks: int | None, data_dir: Path
) -> None:
    keywords: dict[str, Any] = {"source": source, "data_dir": str(data_dir)}
    keywords["memory_budget"] = "unlimited"
    if num_chunks:
        keywords["num_chunks"] = num_chunks
    # Lists of short statements are stored one by one: a chunk of 80 facts is found by no question.
    storing = "store_sentences" if competency == "CR" else "store_chunks"
    oracle, everything, nothing = (
        score(competency, agent, episodes, **keywords) for agent in ("oracle", storing, "skip")
    )
    assert oracle >= everything > nothing


def test_everything_beats_first_sentences_on_squad(data_dir: Path) -> None:
    keywords: dict[str, Any] = {"source": "squad", "data_dir": str(data_dir), "num_chunks": 3}
    keywords["memory_budget"] = "unlimited"
    assert score("AR", "store_chunks", 1, **keywords) > score("AR", "first_sentence", 1, **keywords)


def test_oracle_beats_nothing_on_written_summaries(data_dir: Path) -> None:
    keywords: dict[str, Any] = {"source": "squality", "data_dir": str(data_dir), "num_chunks": 3}
    keywords["memory_budget"] = "unlimited"
    assert score("LRU", "oracle", 1, **keywords) > score("LRU", "skip", 1, **keywords)


@pytest.mark.parametrize("top_k", [2, 5])
@pytest.mark.parametrize("appender", ["appending", "store_sentences"])
def test_updating_beats_appending_where_facts_change(appender: str, top_k: int) -> None:
    keywords: dict[str, Any] = {"memory_budget": "unlimited", "top_k": top_k}
    updating = score("CR", "selective", 6, **keywords)
    assert updating > score("CR", appender, 6, **keywords) + 0.1


@pytest.mark.parametrize("top_k", [2, 5])
def test_updating_beats_appending_on_real_edits(top_k: int, data_dir: Path) -> None:
    keywords: dict[str, Any] = {"source": "mquake", "data_dir": str(data_dir), "top_k": top_k}
    keywords["memory_budget"] = "unlimited"
    updating = score("CR", "selective", 3, **keywords)
    assert updating > score("CR", "store_sentences", 3, **keywords) + 0.05


@pytest.mark.parametrize("competency", SYNTHETIC)
def test_under_managed_copying_returns_less_than_selecting_and_the_oracle_most(
    competency: str,
) -> None:
    copying, selecting, ceiling = (
        _return(competency, agent, 2) for agent in ("fifo", "selective", "oracle")
    )
    assert copying < selecting < ceiling


@pytest.mark.parametrize("competency", SYNTHETIC)
@pytest.mark.parametrize("agent", ["random", "fifo", "store_sentences", "first_sentence"])
def test_no_simple_agent_returns_more_than_the_oracle(competency: str, agent: str) -> None:
    # They are 1.6 apart at least, and a mean over two episodes moves by 0.3.
    assert _return(competency, agent, 2) < _return(competency, "oracle", 2)


def _return(competency: str, agent: str, episodes: int) -> float:
    found = play(competency, agent, episodes).episode_return
    assert found is not None
    return found
