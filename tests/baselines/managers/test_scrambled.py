from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import finemem_env  # noqa: F401  (registers the environments)
from baselines.agents import AGENTS, CONFIGURED, Info, PrivilegedAgent, make_agent
from baselines.managers.scrambled import Scrambled
from baselines.runs.choice import AgentChoice
from baselines.runs.run import RunConfig, run
from finemem_env import Chunk, Episode, Evidence, Question
from finemem_env.data.schema import write_episodes
from finemem_env.errors import ConfigError

SMALL: dict[str, Any] = {"split": "test", "num_chunks": 4, "memory_budget": "unlimited"}


def play(agent: PrivilegedAgent, seed: int = 3, **keywords: object) -> tuple[list[str], set[str]]:
    """The actions of one episode, and what the memory holds at its end."""
    env: Any = gym.make("FineMem-AR-v0", disable_env_checker=True, **{**SMALL, **keywords})
    agent.attach(env)
    observation, info = env.reset(seed=seed)
    agent.reset(info)
    actions, done = [], False
    while not done:
        actions.append(agent.act(observation, info))
        observation, _, done, _, info = env.step(actions[-1])
    return actions, {item.content for item in env.unwrapped.session.memory.items()}


def test_it_plays_only_when_it_is_asked_for() -> None:
    assert "scrambled" in CONFIGURED
    assert "scrambled" not in AGENTS
    assert isinstance(make_agent("scrambled"), PrivilegedAgent)


def test_it_holds_another_episodes_items_and_the_same_ones_every_time() -> None:
    first, held = play(Scrambled())
    again, _ = play(Scrambled())
    other, _ = play(Scrambled(seed=1))
    assert first == again
    assert first != other
    assert held
    env: Any = gym.make("FineMem-AR-v0", disable_env_checker=True, **SMALL)
    env.reset(seed=3)
    read = " ".join(chunk.text for chunk in env.unwrapped.session.episode.chunks)
    assert not any(text in read for text in held)


def test_the_memory_grows_with_the_share_of_the_way() -> None:
    class Numbered:
        """Writes which chunk it reads."""

        def reset(self, info: Info) -> None:
            pass

        def act(self, observation: str, info: Info) -> str:
            return f'[{{"op": "INSERT", "content": "Chunk {info["chunk_index"]}."}}]'

    agent = Scrambled()
    agent._agent = Numbered()
    actions, held = play(agent)
    assert held == {f"Chunk {t}." for t in range(4)}
    assert [f"Chunk {t}." in action for t, action in enumerate(actions)] == [True] * 4


def test_it_scores_no_more_than_an_empty_memory_would(tmp_path: Path) -> None:
    agents = (AgentChoice("skip"), AgentChoice("scrambled"), AgentChoice("salience"))
    args = {"split": "test", "num_chunks": 4}
    skip, scrambled, salience = run(RunConfig(env_args=args, agents=agents, episodes=3), tmp_path)
    assert skip.score == 0.0
    assert (scrambled.score or 0.0) < 0.25 * (salience.score or 0.0)


def source(path: Path, *colours: str) -> str:
    """A file with one episode per colour."""
    episodes = []
    for colour in colours:
        fact = f"The {colour} key opens the cellar."
        asked = Question("q", "What opens it?", (colour,), evidence=(Evidence(0, fact),))
        episodes.append(Episode(colour, "AR", "own", (Chunk("c", fact),), (asked,)))
    write_episodes(path, episodes)
    return str(path)


def test_of_two_episodes_it_is_always_the_other_one(tmp_path: Path) -> None:
    env: Any = gym.make(
        "FineMem-AR-v0",
        disable_env_checker=True,
        source=source(tmp_path / "two.jsonl", "red", "blue"),
        memory_budget="unlimited",
    )
    agent = Scrambled("store_chunks")
    agent.attach(env)
    for seed in range(6):
        observation, info = env.reset(seed=seed)
        agent.reset(info)
        other = "blue" if info["episode_id"] == "red" else "red"
        assert f"The {other} key" in agent.act(observation, info)


def test_a_source_of_one_episode_is_refused(tmp_path: Path) -> None:
    env: Any = gym.make(
        "FineMem-AR-v0", disable_env_checker=True, source=source(tmp_path / "one.jsonl", "red")
    )
    with pytest.raises(ConfigError, match=r"source '.*' has only one in this split"):
        Scrambled().attach(env)


@pytest.mark.parametrize("agent", ["oracle", "scrambled"])
def test_an_agent_that_looks_inside_is_refused(agent: str) -> None:
    with pytest.raises(ConfigError, match=f"agent '{agent}' looks inside"):
        Scrambled(agent)
