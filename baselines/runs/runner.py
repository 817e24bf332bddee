"""One agent on one episode: drives the environment and turns what it reports into a result.

What an agent does wrong (raising, replying with something other than text) is recorded and costs
that episode; a model that cannot be reached makes it invalid; an error of the environment is not
caught.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import gymnasium as gym

from baselines.agents import (
    Agent,
    AgentError,
    AnsweringAgent,
    Info,
    ModelError,
    PrivilegedAgent,
    answers_itself,
)
from baselines.tables.results import Result, Status, measured
from finemem_env.backends.usage import Ledger
from finemem_env.errors import BackendError, ConfigError
from finemem_env.session import Session, public
from finemem_env.trace import Trace, record_trace


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
    label: str,
    agent: Agent,
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
        env: the environment; a privileged agent is attached to it.
        label: the agent in every file.
        agent: who plays; it may have played before.
        index: which episode of the run.
        seed: of its reset.
        description: how to make the environment, {"id": …, keyword: …}, for the trace.
        task: name of the task in a suite.
        budget: name of the memory budget.
        clock: measures the agent's time; a fresh one when None.
    """
    clock = clock or Clock()
    with _attached(agent, env):
        observation, info = env.reset(seed=seed)
        session = session_of(env)
        place: dict[str, Any] = {
            "agent": label,
            "episode": index,
            "seed": seed,
            "episode_id": session.episode.episode_id,
            "competency": session.episode.competency,
            "task": task,
            "budget": budget,
        }
        # An agent that answers or searches itself spends its time in the environment's step.
        stepping = clock.agent if isinstance(agent, AnsweringAgent) else clock.env
        try:
            clock.agent(_reset, agent, public(info))
            while not session.terminated:
                action = clock.agent(_act, agent, observation, public(info))
                observation, _, _, _, info = stepping(env.step, action)
        except (AgentError, ModelError) as error:
            status: Status = "failed" if isinstance(error, AgentError) else "invalid"
            return Result(**place, status=status, error=str(error), usage=clock.usage()), None
        versions = info["versions"]
        trace = record_trace(
            session, agent=label, episode=index, seed=seed, env=description, versions=versions
        )
        fields = measured(session, hidden=answers_itself(versions))
        return Result(**place, **fields, **clock.seconds(), usage=clock.usage()), trace


@contextlib.contextmanager
def _attached(agent: Agent, env: gym.Env[str, str]) -> Iterator[None]:
    """The agent in its environment, where it wants to be in one."""
    if isinstance(agent, PrivilegedAgent):
        agent.attach(env)
    try:
        yield
    finally:
        if isinstance(agent, AnsweringAgent):
            agent.detach(env)


class Clock:
    """Seconds spent in the agent and in the environment, apart, and what models cost in both."""

    def __init__(self) -> None:
        self._seconds = {"agent": 0.0, "env": 0.0}
        self._ledger = Ledger()

    def seconds(self) -> dict[str, Any]:
        """Both, as fields of `Result`."""
        return {f"{who}_seconds": round(spent, 6) for who, spent in self._seconds.items()}

    def usage(self) -> dict[str, dict[str, float]]:
        """The field `usage` of `Result`."""
        spent = {role: asdict(use) for role, use in sorted(self._ledger.spent().items())}
        return {role: {**use, "seconds": round(use["seconds"], 6)} for role, use in spent.items()}

    def agent(self, call: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        """Call the agent."""
        return self._timed("agent", call, *arguments)

    def env(self, call: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        """Call the environment."""
        return self._timed("env", call, *arguments)

    def _timed(self, who: str, call: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        start = time.perf_counter()
        try:
            with self._ledger.open():
                return call(*arguments)
        finally:
            self._seconds[who] += time.perf_counter() - start


def _reset(agent: Agent, info: Info) -> None:
    with _broken("reset"):
        agent.reset(info)


def _act(agent: Agent, observation: str, info: Info) -> str:
    with _broken("act"):
        action = agent.act(observation, info)
    if not isinstance(action, str):
        raise AgentError(f"act returned {type(action).__name__}, expected str")
    return action


@contextlib.contextmanager
def _broken(method: str) -> Iterator[None]:
    """What the agent raises is its failure, but for a model that cannot be reached."""
    try:
        yield
    except (AgentError, ModelError):
        raise
    except (Exception, SystemExit) as error:
        kind = ModelError if isinstance(error, BackendError) else AgentError
        raise kind(f"{method} raised {type(error).__name__}: {error}") from error
