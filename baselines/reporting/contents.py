"""What a report says, read from the folders of runs."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baselines.runs.folder import RunFolder, check_config
from baselines.tables.curves import Curve, curves, headline
from baselines.tables.intervals import Estimate, Play, estimate
from baselines.tables.paired import Difference, Leak, closed_book, paired_differences
from baselines.tables.results import Result
from baselines.tables.summary import CEILING, FLOOR, AgentSummary, summarise
from finemem_env.errors import ConfigError, DataError
from finemem_env.fields import Fields
from finemem_env.trace import Trace


@dataclass(frozen=True, slots=True)
class Report:
    """What a page shows: numbers at the headline budget, curves over all of them.

    `results` are those of every budget, under the names that the page gives the agents; `names`
    are these names by the number of the folder and the agent's own name, without what is left out.
    """

    folders: tuple[RunFolder, ...]
    configs: tuple[Mapping[str, Any], ...]
    names: Mapping[tuple[int, str], str]
    results: tuple[Result, ...]
    budget: str
    rows: tuple[AgentSummary, ...]
    curves: tuple[Curve, ...]
    differences: tuple[Difference, ...]
    leaks: tuple[Leak, ...]
    step_rewards: Mapping[str, tuple[float, ...]]

    @property
    def shown(self) -> list[Result]:
        """The results at the headline budget."""
        return [result for result in self.results if result.budget == self.budget]


def load(runs: Sequence[Path], reference: str | None = None) -> Report:
    """Read runs of the same episodes; `reference` is what the others are compared with.

    Without one it is the agent with the highest score that is not privileged or ranked apart.

    Raises:
        ConfigError: runs of different episodes, or a reference that is not among the agents.
        DataError: a folder without a run, or without results.
    """
    folders = [RunFolder(path) for path in runs]
    configs = [folder.whole_config() for folder in folders]
    for folder, config in zip(folders, configs, strict=True):
        check_config(Fields(config, f"{folder.path}: config.json"))
    for config in configs[1:]:
        if config["task_hashes"] != configs[0]["task_hashes"]:
            played = "; ".join(map(_played, runs, configs))
            raise ConfigError(
                f"the runs are of different episodes: {played}. Play them with the same --suite, "
                "or the same environment, keywords, --episodes and --seed, or report them alone."
            )
    results, names = _merged(folders)
    if not results:
        raise DataError(f"{runs[0]}: no results yet.")
    budget = headline(result.budget for result in results)
    shown = [result for result in results if result.budget == budget]
    rows = summarise(shown)
    traces = _traces(folders, names, budget)
    return Report(
        folders=tuple(folders),
        configs=tuple(configs),
        names=names,
        results=tuple(results),
        budget=budget,
        rows=tuple(rows),
        curves=tuple(curves(results)),
        differences=tuple(paired_differences(shown, _reference(rows, reference))),
        leaks=tuple(closed_book(traces)),
        step_rewards=_step_rewards([trace for _, trace in traces]),
    )


def grouped(
    results: Sequence[Result], key: Callable[[Result], str]
) -> dict[str, dict[str, Estimate]]:
    """Mean scores by agent and `key`; an episode whose reader failed says nothing."""
    plays: dict[str, dict[str, list[Play]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        if result.status != "invalid":
            play = Play(result.task, result.episode_id, result.score)
            plays[result.agent][key(result)].append(play)
    return {
        agent: {name: mean for name, own in groups.items() if (mean := estimate(own))}
        for agent, groups in plays.items()
    }


def _merged(
    folders: Sequence[RunFolder],
) -> tuple[list[Result], dict[tuple[int, str], str]]:
    """All results and the names in them; an agent that an earlier run has too gets its folder's.

    The references (floor and ceiling) are taken from the first run only.
    """
    results: list[Result] = []
    names: dict[tuple[int, str], str] = {}
    for number, folder in enumerate(folders):
        seen = {result.agent for result in results}
        for result in folder.results():
            agent = result.agent
            if agent in seen and agent in (FLOOR, CEILING):
                continue
            name = f"{agent} ({folder.path.name})" if agent in seen else agent
            names[number, agent] = name
            results.append(replace(result, agent=name))
    return results, names


def _traces(
    folders: Sequence[RunFolder], names: Mapping[tuple[int, str], str], budget: str
) -> list[tuple[str, Trace]]:
    """(task, trace) of one budget, by the names of the page."""
    return [
        (task, replace(trace, agent=names[number, agent]))
        for number, folder in enumerate(folders)
        for (task, _, agent, _), trace in folder.traces(budget)
        if (number, agent) in names
    ]


def _played(run: Path, config: Mapping[str, Any]) -> str:
    what = config["suite"] or f"{config['env']} {json.dumps(config['env_args'])}"
    return f"{run} has {len(config['episodes'])} of {what}, seed {config['seed']}"


def _reference(rows: Sequence[AgentSummary], name: str | None) -> str:
    names = [row.agent for row in rows]
    if name is not None:
        if name not in names:
            raise ConfigError(f"--reference {name!r} is not among the agents: {', '.join(names)}.")
        return name
    open_ = [row for row in rows if row.agent != CEILING and not row.apart] or list(rows)
    return max(open_, key=lambda row: row.score or 0.0).agent


def _step_rewards(traces: Sequence[Trace]) -> dict[str, tuple[float, ...]]:
    """Mean attributed reward by step index; an index counts the episodes that reach it."""
    rows: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for trace in traces:
        for step, (reward, valid) in enumerate(
            zip(trace.step_rewards, trace.step_valid, strict=True)
        ):
            if valid:
                rows[trace.agent][step].append(reward)
    return {
        agent: tuple(math.fsum(by_step[t]) / len(by_step[t]) for t in sorted(by_step))
        for agent, by_step in rows.items()
    }
