"""Plays the episodes of a run one by one, keeping environments and agents between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym

import finemem_env  # noqa: F401  (registers the environments)
from baselines.agents import Agent, AnsweringAgent, PrivilegedAgent
from baselines.runs.choice import AgentChoice
from baselines.runs.runner import Clock, Entry, run_episode
from baselines.suites import UNLIMITED, Task
from baselines.tables.results import Result
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
    """Keywords of the environment of `task` under a named budget ("": the protocol's)."""
    if not budget:
        return dict(task.env_args)
    value = UNLIMITED if budget == UNLIMITED else float(budget)
    return {**task.env_args, "memory_budget": value}


@dataclass(slots=True)
class Player:
    """Environments by task and budget, agents by label; made when they are first needed."""

    _envs: dict[tuple[str, str], gym.Env[str, str]] = field(default_factory=dict)
    _agents: dict[str, Agent] = field(default_factory=dict)

    def env(self, task: Task, budget: str) -> gym.Env[str, str]:
        """The environment of a task under a budget."""
        key = (task.name, budget)
        if key not in self._envs:
            keywords = environment_args(task, budget)
            self._envs[key] = gym.make(task.env, disable_env_checker=True, **keywords)
        return self._envs[key]

    def agent(self, choice: AgentChoice) -> Agent:
        """The agent, built once: it must not carry anything over a reset."""
        if choice.label not in self._agents:
            self._agents[choice.label] = choice.make()
        return self._agents[choice.label]

    def play(self, job: Job, clock: Clock | None = None) -> tuple[Result, Trace | None]:
        """Play one episode."""
        env, agent = self.env(job.task, job.budget), self.agent(job.choice)
        if isinstance(agent, PrivilegedAgent):
            agent.attach(env)
        description: Mapping[str, Any] = {
            "id": job.task.env,
            **environment_args(job.task, job.budget),
        }
        try:
            return run_episode(
                env,
                Entry(job.choice.label, agent),
                job.index,
                job.seed,
                description,
                task=job.task.name,
                budget=job.budget,
                clock=clock,
            )
        finally:
            if isinstance(agent, AnsweringAgent):
                agent.detach(env)

    def close(self) -> None:
        """Close every environment."""
        for env in self._envs.values():
            env.close()
        self._envs.clear()
