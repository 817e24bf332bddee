"""Plays the episodes of a run one by one, keeping environments and agents between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym

import finemem_env  # noqa: F401  (registers the environments)
from baselines.agents import Agent
from baselines.runs.choice import AgentChoice
from baselines.runs.runner import Clock, run_episode
from baselines.suites import UNLIMITED, Task
from baselines.tables.results import Result
from finemem_env.errors import ConfigError
from finemem_env.testing import canonical
from finemem_env.trace import Trace


@dataclass(frozen=True, slots=True)
class Job:
    """One episode of one agent: everything a process needs to play it."""

    task: Task
    budget: str
    choice: AgentChoice
    index: int
    seed: int
    episode_id: str
    competency: str

    @property
    def key(self) -> tuple[str, str, str, int]:
        """As `Result.key`."""
        return self.task.name, self.budget, self.choice.label, self.index


def environment_args(task: Task, budget: str) -> dict[str, Any]:
    """Keywords of the environment of `task` under a named budget ("": the protocol's).

    Raises:
        ConfigError: a budget that is no share.
    """
    if not budget:
        return dict(task.env_args)
    try:
        value = UNLIMITED if budget == UNLIMITED else float(budget)
    except ValueError as error:
        raise ConfigError(f"budget: expected a share or {UNLIMITED!r}, got {budget!r}.") from error
    return {**task.env_args, "memory_budget": value}


@dataclass(slots=True)
class Player:
    """Environments by id and keywords, agents by label; made when they are first needed."""

    _envs: dict[str, gym.Env[str, str]] = field(default_factory=dict)
    _agents: dict[str, Agent] = field(default_factory=dict)

    def made(self, env_id: str, keywords: Mapping[str, Any]) -> gym.Env[str, str]:
        """The environment of an id and its keywords."""
        key = canonical({"id": env_id, **keywords})
        if key not in self._envs:
            self._envs[key] = gym.make(env_id, disable_env_checker=True, **keywords)
        return self._envs[key]

    def env(self, task: Task, budget: str) -> gym.Env[str, str]:
        """The environment of a task under a budget."""
        return self.made(task.env, environment_args(task, budget))

    def agent(self, choice: AgentChoice) -> Agent:
        """The agent, built once: it must not carry anything over a reset."""
        if choice.label not in self._agents:
            self._agents[choice.label] = choice.make()
        return self._agents[choice.label]

    def play(self, job: Job, clock: Clock | None = None) -> tuple[Result, Trace | None]:
        """Play one episode."""
        return run_episode(
            self.env(job.task, job.budget),
            job.choice.label,
            self.agent(job.choice),
            job.index,
            job.seed,
            {"id": job.task.env, **environment_args(job.task, job.budget)},
            task=job.task.name,
            budget=job.budget,
            clock=clock,
        )

    def close(self) -> None:
        """Close every environment."""
        for env in self._envs.values():
            env.close()
        self._envs.clear()
