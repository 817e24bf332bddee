"""A run: agents × episodes in one environment, written to a folder that can be resumed."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

import finemem_env  # noqa: F401  (registers the environments)
from baselines.agents import Agent, PrivilegedAgent, make_agent
from baselines.folder import RunFolder
from baselines.runner import Entry, episode_seeds, run_episode, session_of
from baselines.summary import AgentSummary, summarise
from finemem_env.data.schema import content_hash

__all__ = ["AgentChoice", "Progress", "RunConfig", "run"]


@dataclass(frozen=True, slots=True)
class AgentChoice:
    """An agent by name with the arguments of its constructor."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name in tables and files; arguments make it another agent."""
        if not self.arguments:
            return self.name
        return f"{self.name}{json.dumps(dict(self.arguments), sort_keys=True)}"

    def make(self) -> Agent:
        """A fresh agent."""
        return make_agent(self.name, self.arguments)


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What a run is: environment, agents, episodes. The output folder is not part of it."""

    env: str = "FineMem-AR-v0"
    env_args: Mapping[str, Any] = field(default_factory=dict)
    agents: tuple[AgentChoice, ...] = ()
    episodes: int = 20
    seed: int = 0

    def description(self) -> dict[str, Any]:
        """How to make the environment again, for traces."""
        return {"id": self.env, **self.env_args}


class Progress(Protocol):
    """Told about every finished episode."""

    def __call__(self, text: str) -> None:
        """One more episode is done; `text` says which."""
        ...


def run(
    config: RunConfig, output_dir: Path, *, resume: bool = False, progress: Progress | None = None
) -> list[AgentSummary]:
    """Run what is missing of `config` in `output_dir` and return the rows of the table.

    Raises:
        ConfigError: unknown names or keywords, a folder that holds another run.
        DataError: the source's files are missing or malformed.
    """
    env = gym.make(config.env, disable_env_checker=True, **config.env_args)
    try:
        entries = [_entry(choice, env) for choice in config.agents]
        seeds = episode_seeds(config.seed, config.episodes)
        record = _config_record(config, env, seeds)
        folder = RunFolder(output_dir)
        results = folder.start(record, resume=resume)
        done = {(result.agent, result.episode) for result in results}
        for index, seed in enumerate(seeds):
            for entry in entries:
                if (entry.label, index) not in done:
                    result, trace = run_episode(env, entry, index, seed, config.description())
                    folder.add(result, trace)
                    results.append(result)
                if progress is not None:
                    progress(f"episode {index + 1} {entry.label}")
    finally:
        env.close()
    order = {entry.label: rank for rank, entry in enumerate(entries)}
    results.sort(key=lambda result: (order[result.agent], result.episode))
    rows = summarise(results, config.seed)
    folder.finish(rows, record)
    return rows


def _entry(choice: AgentChoice, env: gym.Env[str, str]) -> Entry:
    agent = choice.make()
    if isinstance(agent, PrivilegedAgent):
        agent.attach(env)
    return Entry(choice.label, agent)


def _config_record(
    config: RunConfig, env: gym.Env[str, str], seeds: Sequence[int]
) -> dict[str, Any]:
    """config.json: everything that decides the numbers, with the episodes that will be played."""
    played, hashed = [], []
    info: dict[str, Any] = {}
    for seed in seeds:
        _, info = env.reset(seed=seed)
        episode = session_of(env).episode
        hashed.append(content_hash([episode]))
        played.append({"seed": seed, "episode_id": episode.episode_id})
    return {
        "env": config.env,
        "env_args": dict(config.env_args),
        "agents": [choice.label for choice in config.agents],
        "seed": config.seed,
        "settings": session_of(env).settings.as_dict(),
        "versions": info["versions"],
        "episodes": played,
        "data_hash": hashlib.sha256("\n".join(hashed).encode()).hexdigest(),
        "gymnasium": gym.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """Commit of the working copy that this package runs from, None outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
