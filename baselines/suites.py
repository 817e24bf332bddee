"""Named, versioned sets of tasks on which agents are compared.

A suite fixes environments, sources, splits, seeds and episodes, and the hash of the data that they
give. A suite whose files are not there, or are other files, refuses to run: an average over fewer
tasks is another number under the same name. Any change makes a new version.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from baselines.suite_hashes import DATA_HASHES
from finemem_env.data.catalogue import SOURCES
from finemem_env.data.source import DATA_VARIABLE
from finemem_env.errors import ConfigError, DataError, nearest

UNLIMITED = "unlimited"
HEADLINE = "0.4"
BUDGETS = ("0.1", "0.2", HEADLINE, "1.0", UNLIMITED)


@dataclass(frozen=True, slots=True)
class Task:
    """One environment and how many episodes of it are played.

    `data_hash` is the SHA-256 that the episodes must have; "" where it is not pinned. With `every`
    the source's first `episodes` instances are played, and not as many that it draws. No episode is
    played twice: a source that holds fewer is an error, or with `at_most` gives all it has, or with
    `repeat` plays all before any again.
    """

    name: str
    env: str
    env_args: Mapping[str, Any] = field(default_factory=dict)
    episodes: int = 20
    data_hash: str = ""
    every: bool = False
    at_most: bool = False
    repeat: bool = False


@dataclass(frozen=True, slots=True)
class Suite:
    """Tasks with the seed of their episodes and the memory budgets they are played under."""

    name: str
    description: str
    tasks: tuple[Task, ...]
    seed: int
    budgets: tuple[str, ...] = BUDGETS


def _task(competency: str, source: str, episodes: int, **keywords: object) -> Task:
    env_args = {"source": source, "split": "test", **keywords}
    name = f"{competency}-{source}" if source == "synthetic" else source
    return Task(name, f"FineMem-{competency}-v0", env_args, episodes)


_LONG: dict[str, object] = {"chunk_tokens": [1000, 3400]}

SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            "suite-cpu-v1",
            "every competency, generated and real, in minutes on two cores",
            (
                _task("AR", "synthetic", 8),
                _task("TTL", "synthetic", 8),
                _task("LRU", "synthetic", 8),
                _task("CR", "synthetic", 8),
                _task("AR", "squad", 4),
                _task("AR", "hotpotqa", 4),
                _task("TTL", "banking77", 4),
                _task("LRU", "fairytaleqa", 4),
                _task("CR", "mquake", 4),
            ),
            seed=2601,
        ),
        Suite(
            "suite-long-v1",
            "38 to 219 chunks of 1,000 to 3,400 tokens",
            (
                _task("AR", "synthetic", 2, num_chunks=219, **_LONG),
                _task("TTL", "synthetic", 2, num_chunks=111, **_LONG),
                _task("LRU", "synthetic", 2, num_chunks=64, **_LONG),
                _task("CR", "synthetic", 2, num_chunks=111, **_LONG),
                _task("CR", "factconsolidation", 2, num_chunks=38, **_LONG),
            ),
            seed=8435,
        ),
        Suite(
            "suite-ood-v1",
            "longer episodes, from sources that the training mixture does not hold",
            (
                _task("AR", "squad", 4, num_chunks=20),
                _task("TTL", "clinc150", 4, num_chunks=20),
                _task("TTL", "csabstruct", 4, num_chunks=20),
                _task("LRU", "squality", 4, num_chunks=20),
                _task("CR", "factconsolidation", 4, num_chunks=20),
            ),
            seed=1508,
        ),
    )
}


def get_suite(name: str) -> Suite:
    """The suite called `name`, with the data hash of every task.

    Raises:
        ConfigError: there is no such suite.
    """
    if name not in SUITES:
        raise ConfigError(nearest("suite", name, SUITES))
    suite = SUITES[name]
    pinned = DATA_HASHES.get(name, {})
    tasks = tuple(replace(task, data_hash=pinned.get(task.name, "")) for task in suite.tasks)
    return replace(suite, tasks=tasks)


def absent_files(source: str, split: str, data_dir: object = None) -> list[str]:
    """The files of a source that are not there; $FINEMEM_DATA is looked into without a folder."""
    root = data_dir or os.environ.get(DATA_VARIABLE)
    patterns = [named.replace("{split}", split) for named in SOURCES[source].files]
    return [
        pattern for pattern in patterns if root is None or not any(Path(str(root)).glob(pattern))
    ]


def check_data(tasks: Sequence[Task]) -> None:
    """Refuse when a file of a task's source is missing.

    Raises:
        DataError: with every missing file and where to get it.
    """
    missing: dict[str, str] = {}
    for task in tasks:
        source = str(task.env_args.get("source", "synthetic"))
        if source in SOURCES:
            split = str(task.env_args.get("split", "train"))
            absent = absent_files(source, split, task.env_args.get("data_dir"))
            missing |= dict.fromkeys(absent, SOURCES[source].where)
    if missing:
        root = os.environ.get(DATA_VARIABLE) or f"(${DATA_VARIABLE} is not set)"
        lines = "\n".join(f"  {name}   from {where}" for name, where in sorted(missing.items()))
        raise DataError(f"{len(missing)} data files are missing under {root}:\n{lines}")
