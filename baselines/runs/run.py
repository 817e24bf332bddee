"""A run: agents × tasks × budgets × episodes, written to a folder that can be resumed."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from baselines.runs.choice import AgentChoice
from baselines.runs.episodes import distinct_seeds, instance_seeds
from baselines.runs.folder import RunFolder
from baselines.runs.player import Job, Player
from baselines.runs.runner import session_of
from baselines.runs.workers import play_parallel
from baselines.suites import Task, check_data, get_suite
from baselines.tables.results import Result
from baselines.tables.summary import AgentSummary
from finemem_env.cli.progress import Progress, begin, tail
from finemem_env.cli.shards import Shard
from finemem_env.data.schema import content_hash
from finemem_env.disk import claimed
from finemem_env.errors import DataError
from finemem_env.trace import Trace

__all__ = [
    "EPISODES",
    "AgentChoice",
    "RunConfig",
    "SuiteData",
    "planned_config",
    "run",
    "suite_data",
]

EPISODES = 20  # of an environment, where nothing else is said and there are so many


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What a run is: a suite or one environment, agents, episodes. The folder is not part of it.

    With a `suite` the environment, episodes and seed are the suite's; `budgets` replaces its
    budgets when it is given. Without one, `budgets` () leaves the environment's own, and
    `own_tasks` are played when there are any. `episodes` None: `EPISODES`, or all there are; a
    number that finite data does not hold is an error, or with `repeat` plays them again.
    """

    env: str = "FineMem-AR-v0"
    env_args: Mapping[str, Any] = field(default_factory=dict)
    agents: tuple[AgentChoice, ...] = ()
    episodes: int | None = None
    seed: int = 0
    suite: str | None = None
    budgets: tuple[str, ...] = ()
    own_tasks: tuple[Task, ...] = ()
    repeat: bool = False

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is played."""
        if self.suite is not None:
            return get_suite(self.suite).tasks
        if self.own_tasks:
            return self.own_tasks
        count, fewer = self.episodes or EPISODES, self.episodes is None
        return (Task("", self.env, self.env_args, count, at_most=fewer, repeat=self.repeat),)

    @property
    def base_seed(self) -> int:
        """The seed of the episodes."""
        return self.seed if self.suite is None else get_suite(self.suite).seed

    @property
    def all_budgets(self) -> tuple[str, ...]:
        """The budgets that are played, "" for the environment's own."""
        if self.budgets:
            return self.budgets
        return ("",) if self.suite is None else get_suite(self.suite).budgets


def run(
    config: RunConfig,
    output_dir: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    jobs: int = 1,
    time_limit: float | None = None,
    shard: Shard | None = None,
) -> list[AgentSummary]:
    """Run what is missing of `config` in `output_dir` and return the rows of the table.

    With budgets, the rows are those of the headline budget (else the first).

    Args:
        config: what to run.
        output_dir: the folder of the run.
        resume: go on with the run that is there.
        progress: told about every episode.
        jobs: processes; the results are those of one, whatever the order they come in.
        time_limit: seconds an agent may spend in an episode. None with one job plays in this
            process, where nothing can stop an agent that hangs.
        shard: play this part alone; `runs.shards.merge` puts the parts together.

    Raises:
        ConfigError: unknown names or keywords, a folder that holds another run, or that another
            process writes to.
        DataError: the source's files are missing, malformed, or not those of the suite.
    """
    if config.suite is not None:
        check_data(config.tasks)
    with closing(Player()) as player:
        for choice in config.agents:
            player.agent(choice)  # refuses bad names and arguments before anything is written
        planned, record = _plan(config, player)
        _check_hashes(config.tasks, record["task_hashes"])
        if shard is not None:
            planned, record = shard.take(planned), {**record, "shard": str(shard)}
        with claimed(output_dir):
            folder = RunFolder(output_dir)
            results = folder.start(record, resume=resume)
            done = {result.key for result in results}
            open_ = [job for job in planned if job.key not in done]
            if progress is not None:
                progress.total = len(planned)
                progress.skip(len(planned) - len(open_))
                begin(_what(config, planned, open_), output_dir, tail(output_dir / "results.jsonl"))
            for job, result, trace in _play(open_, player, jobs, time_limit):
                folder.add(result, trace)
                results.append(result)
                if progress is not None:
                    progress(_state(job, results))
            order = {job.key: rank for rank, job in enumerate(planned)}
            results.sort(key=lambda result: order[result.key])
            folder.sort(order)
            return folder.finish(results, record)


def _what(config: RunConfig, planned: Sequence[Job], open_: Sequence[Job]) -> str:
    """The run in one line."""
    agents = ", ".join(choice.label for choice in config.agents)
    place = config.suite or ", ".join(dict.fromkeys(task.env for task in config.tasks))
    done = len(planned) - len(open_)
    kept = f", {done} of them done" if done else ""
    return f"{len(planned)} episodes{kept}: {place}, agents {agents}"


def _state(job: Job, results: Sequence[Result]) -> str:
    """What is played, and how its agent does so far: beside the bar."""
    place = job.task.name, job.budget, job.choice.label
    own = [result for result in results if (result.task, result.budget, result.agent) == place]
    score = np.mean([result.score for result in own])
    formats = [result.r_fmt for result in own if result.r_fmt is not None]
    accepted = f", accepted {np.mean(formats):.2f}" if formats else ""
    name = " ".join(part for part in place if part)
    return f"{name}: score {score:.2f}{accepted}"


def _play(
    jobs: Sequence[Job], player: Player, workers: int, time_limit: float | None
) -> Iterator[tuple[Job, Result, Trace | None]]:
    if not jobs:
        return
    if workers > 1 or time_limit is not None:
        yield from play_parallel(jobs, workers, time_limit)
        return
    for job in jobs:
        yield job, *player.play(job)


def _plan(config: RunConfig, player: Player) -> tuple[list[Job], dict[str, Any]]:
    """Every job in canonical order, and config.json: everything that decides the numbers."""
    jobs: list[Job] = []
    hashes: dict[str, str] = {}
    played: list[dict[str, Any]] = []
    settings, versions = {}, {}
    for task in config.tasks:
        env = player.env(task, config.all_budgets[0])
        hashed = []
        for index, seed in enumerate(_seeds(env, config.base_seed, task)):
            env.reset(seed=seed)
            episode = session_of(env).episode
            hashed.append(content_hash([episode]))
            name = {"task": task.name} if task.name else {}
            cut = {
                key: episode.metadata[key] for key in ("chunk_tokens",) if key in episode.metadata
            }
            played.append({**name, "seed": seed, "episode_id": episode.episode_id, **cut})
            jobs += [
                Job(task, budget, choice, index, seed, episode.episode_id, episode.competency)
                for budget in config.all_budgets
                for choice in config.agents
            ]
        hashes[task.name] = _joined(hashed)
        _, info = env.reset(seed=played[-1]["seed"])
        settings, versions = session_of(env).settings.as_dict(), info["versions"]
    return jobs, _record(config, hashes, played, settings, versions)


def _record(
    config: RunConfig,
    hashes: Mapping[str, str],
    played: Sequence[Mapping[str, object]],
    settings: Mapping[str, object],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    own = config.own_tasks
    several = bool(own) or config.suite is not None
    return {
        "suite": config.suite,
        "env": [task.env for task in config.tasks] if several else config.env,
        "env_args": [dict(task.env_args) for task in own] if own else dict(config.env_args),
        "budgets": list(config.all_budgets),
        "agents": [choice.label for choice in config.agents],
        "seed": config.base_seed,
        "settings": settings,
        "versions": versions,
        "episodes": list(played),
        "data_hash": next(iter(hashes.values()))
        if len(hashes) == 1
        else _joined(list(hashes.values())),
        "task_hashes": dict(hashes),
        "gymnasium": gym.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "git_commit": _git_commit(),
    }


@dataclass(frozen=True, slots=True)
class SuiteData:
    """The episodes of a task of a suite, as this machine has them: reset seeds and data hash."""

    seeds: tuple[int, ...]
    data_hash: str


def planned_config(config: RunConfig) -> dict[str, Any]:
    """The config.json that a run would leave here; nothing is played.

    Raises:
        ConfigError: unknown names or keywords.
        DataError: the source's files are missing or malformed.
    """
    check_data(config.tasks)
    with closing(Player()) as player:
        record = _plan(config, player)[1]
    plain: dict[str, Any] = json.loads(json.dumps(record))
    return plain


def suite_data(suite: str) -> dict[str, SuiteData]:
    """The data of every task of a suite."""
    record = planned_config(RunConfig(suite=suite))
    seeds: dict[str, list[int]] = defaultdict(list)
    for episode in record["episodes"]:
        seeds[episode["task"]].append(episode["seed"])
    return {
        task: SuiteData(tuple(seeds[task]), data_hash)
        for task, data_hash in record["task_hashes"].items()
    }


def _seeds(env: gym.Env[str, str], base: int, task: Task) -> list[int]:
    """The reset seed of every episode of a task."""
    if task.every:
        return instance_seeds(env, base, task.episodes)
    return distinct_seeds(env, base, task.episodes, at_most=task.at_most, repeat=task.repeat)


def _joined(hashes: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _check_hashes(tasks: Sequence[Task], hashes: Mapping[str, str]) -> None:
    other = [
        f"  {task.name}: expected {task.data_hash[:16]}…, found {hashes[task.name][:16]}…"
        for task in tasks
        if task.data_hash and task.data_hash != hashes[task.name]
    ]
    if other:
        raise DataError(
            "the episodes of these tasks are not those of the suite (other files, or another "
            "version of this package):\n" + "\n".join(other)
        )


def _git_commit() -> str | None:
    """Commit of the working copy that this package runs from, None outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
