"""The table and the curves of an ablation, from the records of its cells.

Intervals are 95 % percentile intervals of a bootstrap over both seeds and episodes (the episodes
are the same for all seeds, so both are resampled as one block): with few seeds they are wide.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.runs.curves import mean_curve
from baselines.tables.intervals import Estimate
from finemem_env.cli.tables import markdown_table

Floats = npt.NDArray[np.float64]
Record = dict[str, Any]
REFERENCE = "outcome"  # updates are counted to its final score
RESAMPLES = 2000
_COLUMNS = (
    "task",
    "reward, credit",
    "seeds",
    "before",
    "after (95 % interval)",
    "memory / oracle",
    "4 x longer, after (95 %)",
    "updates to outcome's final score",
)


def table(records: Sequence[Record]) -> str:
    """Markdown, a line per task and method: score, memory, longer episodes, updates needed."""
    grouped = _grouped(records)
    finals = {
        task: _final(group)
        for (task, reward, credit), group in grouped.items()
        if reward == REFERENCE and "," not in credit
    }
    rows = []
    for (task, reward, credit), group in grouped.items():
        before = statistics.fmean(normalised(group, "same", "initial").mean(axis=1))
        cells = (
            f"{before:.3f}",
            _with_interval(normalised(group, "same", "best")),
            f"{_memory(group):.2f}",
            _with_interval(normalised(group, "longer", "best")),
            _updates(group, finals.get(task)),
        )
        rows.append([task, f"{reward}, {credit}", str(len(group)), *cells])
    return markdown_table(_COLUMNS, rows)


def mean_curves(records: Sequence[Record]) -> dict[str, dict[str, list[tuple[int, Estimate]]]]:
    """Held-out score by update, mean and interval over the seeds, per task and method."""
    return {
        task: {name: mean_curve(record["curve"] for record in group) for name, group in own.items()}
        for task, own in _methods(records).items()
    }


def final_scores(records: Sequence[Record]) -> dict[str, dict[str, list[Estimate]]]:
    """What `table` has of the best weights at both lengths, per task and method."""
    return {
        task: {
            name: [_estimate(normalised(group, length, "best")) for length in ("same", "longer")]
            for name, group in own.items()
        }
        for task, own in _methods(records).items()
    }


def _methods(records: Sequence[Record]) -> dict[str, dict[str, list[Record]]]:
    """The records by task and method, called by its reward where that is enough."""
    grouped = _grouped(records)
    rewards = Counter((task, reward) for task, reward, _ in grouped)
    named: dict[str, dict[str, list[Record]]] = {}
    for (task, reward, credit), group in grouped.items():
        name = reward if rewards[task, reward] == 1 else f"{reward}, {credit}"
        named.setdefault(task, {})[name] = group
    return named


def normalised(group: Sequence[Record], length: str, player: str) -> Floats:
    """(score - skip) / (oracle - skip) with the references' means, (seeds, episodes)."""
    rows = []
    for record in group:
        scores = {name: record[length][name]["scores"] for name in ("skip", "oracle", player)}
        low, high = statistics.fmean(scores["skip"]), statistics.fmean(scores["oracle"])
        rows.append((np.asarray(scores[player]) - low) / ((high - low) or 1.0))
    return np.stack(rows)


def interval(values: Floats, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of (seeds, episodes), resampling both."""
    rng = np.random.default_rng(seed)
    seeds, episodes = values.shape
    means = [
        values[
            np.ix_(rng.integers(seeds, size=seeds), rng.integers(episodes, size=episodes))
        ].mean()
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def updates_to(curve: Sequence[Sequence[float]], score: float) -> int | None:
    """The first evaluated update with at least this score, None if there is none."""
    return next((int(update) for update, value in curve if value >= score), None)


def _grouped(records: Sequence[Record]) -> Mapping[tuple[str, str, str], list[Record]]:
    groups: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        local = f", {record['compare']}" if record.get("compare", "step") != "step" else ""
        groups[record["task"], record["reward"], record["credit"] + local].append(record)
    for group in groups.values():
        group.sort(key=lambda record: record["seed"])  # the bootstrap goes by places
    return groups


def _final(group: Sequence[Record]) -> float:
    """Mean over seeds of the best evaluation during training."""
    return statistics.fmean(max(score for _, score in record["curve"]) for record in group)


def _updates(group: Sequence[Record], score: float | None) -> str:
    """Median over seeds, and how many get there."""
    if score is None:
        return "-"
    needed = [updates_to(record["curve"], score) for record in group]
    reached = [updates for updates in needed if updates is not None]
    if 2 * len(reached) <= len(group):
        return f"not reached ({len(reached)} of {len(group)})"
    ordered = sorted(float("inf") if updates is None else updates for updates in needed)
    return f"{ordered[(len(ordered) - 1) // 2]:.0f} ({len(reached)} of {len(group)})"


def _memory(group: Sequence[Record]) -> float:
    return statistics.fmean(
        statistics.fmean(record["same"]["best"]["memory"])
        / statistics.fmean(record["same"]["oracle"]["memory"])
        for record in group
    )


def _with_interval(values: Floats) -> str:
    return str(_estimate(values))


def _estimate(values: Floats) -> Estimate:
    return Estimate(float(values.mean()), *interval(values))
