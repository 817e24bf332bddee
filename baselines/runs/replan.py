"""Plans a run anew from what its config.json says it is, which shows what else the file should say.

The config may be a stranger's: refuse what its settings would reach (`baselines.reaching`) first.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from baselines.runs.run import RunConfig, planned_config
from baselines.suites import Task, get_suite
from finemem_env.errors import ConfigError
from finemem_env.fields import Fields

# What decides the numbers of a run; the rest says which agents played, and on what machine.
_DECIDES = (
    "env", "env_args", "budgets", "seed", "settings", "versions", "episodes", "data_hash",
    "task_hashes",
)  # fmt: skip


def described(config: Mapping[str, Any]) -> RunConfig:
    """The run, without its agents, that a config describes.

    Raises:
        ConfigError: there is no such suite.
        DataError: a part that is missing or of another type.
    """
    found = Fields(config, "config")
    budgets = tuple(map(str, found.items("budgets")))
    if config.get("suite") is not None:
        return RunConfig(suite=get_suite(found.text("suite")).name, budgets=budgets)
    seed = found.count("seed")
    counts = Counter(episode.text("task", "") for episode in found.children("episodes"))
    if isinstance(config.get("env"), str):
        keywords = found.child("env_args").mapping_of_all()
        total = counts.total()
        return RunConfig(found.text("env"), keywords, (), total, seed, budgets=budgets, repeat=True)
    envs, several = found.texts("env"), found.children("env_args")
    if not len(envs) == len(several) == len(counts):
        raise found.error("env_args", f"an object for each of {len(counts)} tasks")
    tasks = (
        Task(name, env, keywords.mapping_of_all(), counts[name], repeat=True)
        for name, env, keywords in zip(counts, envs, several, strict=True)
    )
    return RunConfig(seed=seed, budgets=budgets, own_tasks=tuple(tasks))


def wrongly_said(config: Mapping[str, Any], run: RunConfig) -> list[str]:
    """Names of what a config says otherwise than `run`, planned here, would.

    Args:
        config: what config.json holds.
        run: what it is `described` as.

    Raises:
        ConfigError: the run cannot be played.
        DataError: the same, for its data.
    """
    wrong = _wrong(config, run)
    if wrong and run.own_tasks:  # they may be the first instances of their sources
        every = tuple(replace(task, every=True) for task in run.own_tasks)
        with contextlib.suppress(ConfigError):
            wrong = min(wrong, _wrong(config, replace(run, own_tasks=every)), key=len)
    return wrong


def _wrong(config: Mapping[str, Any], run: RunConfig) -> list[str]:
    anew = planned_config(run)
    return [name for name in _DECIDES if anew[name] != config.get(name)]
