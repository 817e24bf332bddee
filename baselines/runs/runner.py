"""One agent on one episode: drives the environment and turns what it reports into a result.

What an agent does wrong (raising, replying with something other than text) is recorded and costs
that episode; a model that cannot be reached makes it invalid; an error of the environment is not
caught.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.seeding import np_random

from baselines.agents import Agent, AgentError, AnsweringAgent, Info
from baselines.tables.summary import Result
from finemem_env.data.source import BaseSource
from finemem_env.errors import BackendError, ConfigError
from finemem_env.session import Session, public
from finemem_env.trace import Trace, record_trace

__all__ = [
    "Clock",
    "Entry",
    "Place",
    "episode_seeds",
    "instance_seeds",
    "run_episode",
    "session_of",
]


class _ModelError(Exception):
    """A model behind the agent could not be reached, which says nothing about the agent."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An agent in the run, built once, and its label in every file."""

    label: str
    agent: Agent


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a run an episode belongs: `task` and `budget` are "" in a run without them."""

    index: int
    seed: int
    task: str = ""
    budget: str = ""


def episode_seeds(seed: int, episodes: int) -> list[int]:
    """The reset seed of every episode, a function of (seed, i): the same for every agent."""
    return [
        int(np.random.SeedSequence([seed, index]).generate_state(1)[0]) for index in range(episodes)
    ]


def instance_seeds(env: gym.Env[str, str], seed: int, episodes: int) -> list[int]:
    """Reset seeds that draw instances 0, 1, … of the environment's source, in order.

    Raises:
        ConfigError: a source that does not draw from a list of instances, or holds fewer.
    """
    source = getattr(getattr(env.unwrapped, "factory", None), "source", None)
    if not isinstance(source, BaseSource) or source.size is None or source.size < episodes:
        raise ConfigError(f"{env}: expected a source of at least {episodes} instances.")
    found: dict[int, int] = {}
    draws = itertools.count()
    while len(found) < episodes:
        one = int(np.random.SeedSequence([seed, next(draws)]).generate_state(1)[0])
        index = source.choose(np_random(one)[0])
        if index < episodes:
            found.setdefault(index, one)
    return [found[index] for index in range(episodes)]


def session_of(env: gym.Env[str, str]) -> Session:
    """The session inside an environment of this suite.

    Raises:
        ConfigError: an environment without one.
    """
    session = getattr(env.unwrapped, "session", None)
    if not isinstance(session, Session):
        raise ConfigError(f"{env}: expected an environment of this suite, with a session.")
    return session


def run_episode(
    env: gym.Env[str, str],
    entry: Entry,
    index: int,
    seed: int,
    description: Mapping[str, Any],
    *,
    task: str = "",
    budget: str = "",
    clock: Clock | None = None,
) -> tuple[Result, Trace | None]:
    """Play episode `index` (reset with `seed`); there is no trace when the agent broke.

    Args:
        env: the environment.
        entry: the agent.
        index: which episode of the run.
        seed: of its reset.
        description: how to make the environment, {"id": …, keyword: …}, for the trace.
        task: name of the task in a suite.
        budget: name of the memory budget.
        clock: measures the agent's time; a fresh one when None.
    """
    observation, info = env.reset(seed=seed)
    session = session_of(env)
    clock = clock or Clock()
    # An agent that answers the questions itself spends its time in the environment's step.
    stepping = clock.agent if isinstance(entry.agent, AnsweringAgent) else clock.env
    place = Place(index, seed, task, budget)
    infos = []
    try:
        clock.agent(_reset, entry.agent, public(info))
        while not session.terminated:
            action = clock.agent(_act, entry.agent, observation, public(info))
            observation, _, _, _, info = stepping(env.step, action)
            infos.append(info)
    except (AgentError, _ModelError) as error:
        status = "failed" if isinstance(error, AgentError) else "invalid"
        return _result(entry, place, session, status=status, error=str(error)), None
    trace = record_trace(
        session,
        agent=entry.label,
        episode=index,
        seed=seed,
        env=description,
        versions=info["versions"],
    )
    return _finished(entry, place, session, infos, clock), trace


class Clock:
    """Seconds spent in the agent and in the environment, apart."""

    def __init__(self) -> None:
        self.agent_seconds = 0.0
        self.env_seconds = 0.0

    def agent(self, call: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        """Call the agent."""
        start = time.perf_counter()
        try:
            return call(*arguments)
        finally:
            self.agent_seconds += time.perf_counter() - start

    def env(self, call: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        """Call the environment."""
        start = time.perf_counter()
        try:
            return call(*arguments)
        finally:
            self.env_seconds += time.perf_counter() - start


def _reset(agent: Agent, info: Info) -> None:
    try:
        agent.reset(info)
    except BackendError as error:
        raise _ModelError(_describe("reset", error)) from error
    except (Exception, SystemExit) as error:
        raise AgentError(_describe("reset", error)) from error


def _act(agent: Agent, observation: str, info: Info) -> str:
    try:
        action = agent.act(observation, info)
    except BackendError as error:
        raise _ModelError(_describe("act", error)) from error
    except (Exception, SystemExit) as error:
        raise AgentError(_describe("act", error)) from error
    if not isinstance(action, str):
        raise AgentError(f"act returned {type(action).__name__}, expected str")
    return action


def _describe(method: str, error: BaseException) -> str:
    return f"{method} raised {type(error).__name__}: {error}"


def _result(
    entry: Entry,
    place: Place,
    session: Session,
    **found: Any,  # noqa: ANN401
) -> Result:
    return Result(
        agent=entry.label,
        task=place.task,
        budget=place.budget,
        episode=place.index,
        seed=place.seed,
        episode_id=session.episode.episode_id,
        competency=session.episode.competency,
        **found,
    )


def _finished(
    entry: Entry, place: Place, session: Session, infos: Sequence[Info], clock: Clock
) -> Result:
    last = infos[-1]
    chunk_qa = [info["reward_terms"]["chunk_qa"] for info in infos if info["chunk_answers"]]
    formats = [info["reward_terms"]["format"] for info in infos]
    reasons = Counter(operation["reason"] for info in infos for operation in info["operations"])
    reasons.pop("", None)
    return _result(
        entry,
        place,
        session,
        status="ok" if any(last["step_reward_valid"]) else "invalid",
        score=float(last["reward_terms"]["global"]),
        r_chunk=float(np.mean(chunk_qa)) if chunk_qa else None,
        r_fmt=float(np.mean(formats)),
        compression=float(last["reward_terms"]["compression"]),
        episode_return=sum(result.reward for result in session.record.results),
        memory_tokens=last["memory_tokens"],
        memory_items=last["memory_items"],
        steps=len(infos),
        agent_seconds=round(clock.agent_seconds, 6),
        env_seconds=round(clock.env_seconds, 6),
        rejected=dict(sorted(reasons.items())),
    )
