"""One agent on one episode: drives the environment and turns what it reports into a result.

What an agent does wrong (raising, replying with something other than text) is recorded and costs
that episode; an error of the environment is not caught.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from baselines.agents import Agent, Info
from baselines.summary import Result
from finemem_env.errors import ConfigError
from finemem_env.replay import record_trace
from finemem_env.session import Session
from finemem_env.trace import Trace

__all__ = ["Entry", "episode_seeds", "run_episode", "session_of"]


class _AgentError(Exception):
    """The agent broke: what it raised, or what it returned instead of text."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An agent in the run, built once, and its label in every file."""

    label: str
    agent: Agent


def episode_seeds(seed: int, episodes: int) -> list[int]:
    """The reset seed of every episode, a function of (seed, i): the same for every agent."""
    return [
        int(np.random.SeedSequence([seed, index]).generate_state(1)[0]) for index in range(episodes)
    ]


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
) -> tuple[Result, Trace | None]:
    """Play episode `index` (reset with `seed`); there is no trace when the agent broke.

    `description` says how to make the environment, {"id": …, keyword: …}, for the trace.
    """
    observation, info = env.reset(seed=seed)
    session = session_of(env)
    clock = _Clock()
    try:
        clock.agent(_reset, entry.agent, info)
        infos = []
        while not session.terminated:
            action = clock.agent(_act, entry.agent, observation, info)
            observation, _, _, _, info = clock.env(env.step, action)
            infos.append(info)
    except _AgentError as error:
        return _result(entry, index, seed, session, status="failed", error=str(error)), None
    trace = record_trace(
        session,
        agent=entry.label,
        episode=index,
        seed=seed,
        env=description,
        versions=info["versions"],
    )
    return _finished(entry, index, seed, session, infos, clock), trace


class _Clock:
    """Seconds spent in the agent and in the environment, apart."""

    def __init__(self) -> None:
        self.agent_seconds = 0.0
        self.env_seconds = 0.0

    def agent(self, call: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        start = time.perf_counter()
        try:
            return call(*arguments)
        finally:
            self.agent_seconds += time.perf_counter() - start

    def env(self, call: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        start = time.perf_counter()
        try:
            return call(*arguments)
        finally:
            self.env_seconds += time.perf_counter() - start


def _reset(agent: Agent, info: Info) -> None:
    try:
        agent.reset(info)
    except Exception as error:
        raise _AgentError(_describe("reset", error)) from error


def _act(agent: Agent, observation: str, info: Info) -> str:
    try:
        action = agent.act(observation, info)
    except Exception as error:
        raise _AgentError(_describe("act", error)) from error
    if not isinstance(action, str):
        raise _AgentError(f"act returned {type(action).__name__}, expected str")
    return action


def _describe(method: str, error: Exception) -> str:
    return f"{method} raised {type(error).__name__}: {error}"


def _result(
    entry: Entry,
    index: int,
    seed: int,
    session: Session,
    **found: Any,  # noqa: ANN401
) -> Result:
    return Result(
        agent=entry.label,
        episode=index,
        seed=seed,
        episode_id=session.episode.episode_id,
        competency=session.episode.competency,
        **found,
    )


def _finished(
    entry: Entry,
    index: int,
    seed: int,
    session: Session,
    infos: Sequence[Info],
    clock: _Clock,
) -> Result:
    last = infos[-1]
    chunk_qa = [info["reward_terms"]["chunk_qa"] for info in infos if info["chunk_answers"]]
    formats = [info["reward_terms"]["format"] for info in infos]
    reasons = Counter(operation["reason"] for info in infos for operation in info["operations"])
    reasons.pop("", None)
    return _result(
        entry,
        index,
        seed,
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
