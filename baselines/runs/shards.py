"""Puts the shards of a run together: the folder that one run without shards would have left.

Nothing is played and no data is read: config.json of a shard says what the whole run is.
"""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from baselines.runs.folder import Key, RunFolder
from baselines.tables.summary import AgentSummary
from finemem_env.cli.shards import Shard, check_shards, shard
from finemem_env.errors import ConfigError, DataError
from finemem_env.fields import Fields


def merge(shards: Sequence[Path], output_dir: Path) -> list[AgentSummary]:
    """Write the whole run to `output_dir`; returns the rows of its table, as `run` does.

    Raises:
        ConfigError: not every shard of one run once, a shard that is not done, or an `output_dir`
            that is there.
        DataError: a folder without a run.
    """
    if output_dir.exists():
        raise ConfigError(f"{output_dir} is there already: choose another folder.")
    folders = {str(path): RunFolder(path) for path in shards}
    configs = {name: folder.config() for name, folder in folders.items()}
    parts = {name: _part(name, config) for name, config in configs.items()}
    check_shards(parts)
    whole = {key: value for key, value in next(iter(configs.values())).items() if key != "shard"}
    order = planned(whole)
    for name, folder in folders.items():
        folder.check_same(
            {**whole, "shard": configs[name]["shard"]},
            "Shards of one run have the same settings: play it again with those of the others.",
        )
        _check_done(name, folder, parts[name].take(order))
    aside = output_dir.with_name(f".{output_dir.name}.merging")
    shutil.rmtree(aside, ignore_errors=True)
    merged = RunFolder(aside)
    merged.start(whole, resume=False)
    merged.fill(list(folders.values()), order)
    rows = merged.finish(merged.results(), whole)
    aside.rename(output_dir)
    return rows


def planned(config: Mapping[str, Any]) -> list[Key]:
    """The keys of all results of a run, in the order of a serial run.

    Raises:
        DataError: a config without budgets, agents and episodes.
    """
    run = Fields(config, "config.json")
    budgets = [str(budget) for budget in run.items("budgets")]  # "" for the environment's own
    agents = run.texts("agents")
    played: Counter[str] = Counter()
    keys = []
    for episode in run.children("episodes"):
        task = episode.text("task", "")
        keys += [(task, budget, agent, played[task]) for budget in budgets for agent in agents]
        played[task] += 1
    return keys


def _part(name: str, config: Mapping[str, Any]) -> Shard:
    if config.get("shard") is None:
        raise ConfigError(f"{name} is a whole run, not a shard: it needs no merging.")
    try:
        return shard(str(config["shard"]))
    except argparse.ArgumentTypeError as error:
        raise DataError(f"{name}: config.json: shard: {error}") from error


def _check_done(name: str, folder: RunFolder, own: Sequence[Key]) -> None:
    results, traced = folder.results(), folder.traced()
    there = {result.key for result in results}
    # Resuming plays a result again whose trace was lost.
    lost = {result.key for result in results if result.status == "ok"} - traced
    if missing := len(set(own) - (there - lost)):
        raise ConfigError(
            f"{name} is not done: {missing} of its {len(own)} episodes are missing. Go on with it: "
            "the command that began it, with --resume."
        )
    if strange := len(there - set(own)):
        raise ConfigError(
            f"{name} holds {strange} results that are not of its shard: play it again in a new "
            "folder."
        )
