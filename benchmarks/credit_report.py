"""Tables and findings of the credit study, from the records of its cells."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.credit_run import CREDITS
from benchmarks.credit_tasks import TASKS
from finemem_env.cli.tables import markdown_table

Record = Mapping[str, Any]
Group = tuple[str, str, str]  # task, reward, credit
Summary = Mapping[str, float]

TARGET = 0.9  # of the best final score of the task
_TAIL = 3  # evaluations that make the final score


def final_score(record: Record) -> float:
    """Mean score of the last three evaluations."""
    return statistics.fmean(point["score"] for point in record["curve"][-_TAIL:])


def updates_to(curve: Sequence[Mapping[str, float]], threshold: float) -> float:
    """Updates until the score reaches `threshold`, infinite if it never does."""
    reached = (point["update"] for point in curve if point["score"] >= threshold)
    return next(reached, math.inf)


def summarise(records: Sequence[Record]) -> dict[Group, Summary]:
    """Over the seeds of each (task, reward, credit): median updates; means of the rest.

    The threshold is TARGET of the task's best mean final score. `updates` is infinite unless
    more than half of the seeds get there.
    """
    groups: dict[Group, list[Record]] = {}
    for record in records:
        cell = record["cell"]
        groups.setdefault((cell["task"], cell["reward"], cell["credit"]), []).append(record)
    scores = {group: statistics.fmean(map(final_score, runs)) for group, runs in groups.items()}
    best: dict[str, float] = {}
    for (task, _, _), score in scores.items():
        best[task] = max(best.get(task, 0.0), score)
    summaries: dict[Group, Summary] = {}
    for group, runs in groups.items():
        needed = [updates_to(run["curve"], TARGET * best[group[0]]) for run in runs]
        last = [run["curve"][-1] for run in runs]
        right = [point["gold"] for point in last if point["gold"] >= 0]
        summaries[group] = {
            "updates": statistics.median(needed),
            "score": scores[group],
            "memory": statistics.fmean(point["memory"] for point in last),
            "gold": statistics.fmean(right) if right else math.nan,
            "samples": statistics.fmean(run.get("samples", math.nan) for run in runs),
            "reads": statistics.fmean(run.get("reads", math.nan) for run in runs),
        }
    return summaries


def table(records: Sequence[Record]) -> str:
    """Four matrices, task by reward and form of credit: speed and score, memory, gold, cost."""
    summaries = summarise(records)
    tasks = [task for task in TASKS if any(group[0] == task for group in summaries)]
    columns = [
        (reward, credit)
        for credit, rewards in CREDITS.items()
        for reward in rewards
        if any(group[1:] == (reward, credit) for group in summaries)
    ]
    header = ["task", *(f"{reward}, {credit}" for reward, credit in columns)]
    parts = []
    for title, show in _MATRICES.items():
        rows = []
        for task in tasks:
            entries = [summaries.get((task, *column)) for column in columns]
            rows.append([task, *("" if entry is None else show(entry) for entry in entries)])
        parts.append(f"{title}\n\n{markdown_table(header, rows, padded=True)}")
    return "\n\n".join(parts)


def paired(records: Sequence[Record]) -> str:
    """Local re-rollouts against the same reward and credit at one step: seeds faster, slower.

    Faster is fewer updates to the threshold of `summarise`; "" where no seed has both.
    """
    summaries = summarise(records)
    runs = {tuple(record["cell"].values()): record["curve"] for record in records}
    counts: dict[str, dict[str, list[int]]] = {}
    for (task, reward, credit, seed), curve in runs.items():
        step, _, local = credit.partition(", ")
        if not local or (task, reward, step, seed) not in runs:
            continue
        best = max(row["score"] for group, row in summaries.items() if group[0] == task)
        before = updates_to(runs[task, reward, step, seed], TARGET * best)
        after = updates_to(curve, TARGET * best)
        place = counts.setdefault(f"{reward}, {credit}", {}).setdefault(task, [0, 0, 0])
        for i, counted in enumerate((after < before, after > before, True)):
            place[i] += counted
    if not counts:
        return ""
    rows = [
        [task, *(_counted(column.get(task)) for column in counts.values())]
        for task in TASKS
        if any(task in column for column in counts.values())
    ]
    title = "Seeds in which local re-rollouts need fewer updates than the same at one step / more:"
    return f"{title}\n\n{markdown_table(['task', *counts], rows, padded=True)}"


def _counted(counts: Sequence[int] | None) -> str:
    return "" if counts is None else f"{counts[0]} / {counts[1]} of {counts[2]}"


def findings(records: Sequence[Record]) -> list[str]:
    """One line a task: who gets to 90 % of its best score, fastest first, and who does not."""
    summaries = summarise(records)
    lines = []
    for task in TASKS:
        own = [
            (row, f"{group[1]}/{group[2]}") for group, row in summaries.items() if group[0] == task
        ]
        arrived = sorted((row["updates"], name) for row, name in own if row["updates"] < math.inf)
        late = sorted(((row["score"], name) for row, name in own if row["updates"] == math.inf))
        if own:
            first = ", ".join(f"{name} {updates:.0f}" for updates, name in arrived)
            rest = ", ".join(f"{name} {score:.2f}" for score, name in reversed(late))
            lines.append(
                f"{task}: updates needed: {first or 'none'}; not there, score: {rest or 'none'}"
            )
    return lines


def _speed(summary: Summary) -> str:
    updates = "-" if summary["updates"] == math.inf else f"{summary['updates']:.0f}"
    return f"{updates} ({summary['score']:.2f})"


_MATRICES: dict[str, Callable[[Summary], str]] = {
    "Median updates to 90 % of the task's best final score, - unless more than half of the "
    "seeds get there (mean final score):": _speed,
    "Memory at the end, share of the input:": lambda summary: f"{summary['memory']:.2f}",
    "Share of the credit on gold steps at the end, - without a right answer:": lambda summary: (
        "-" if math.isnan(summary["gold"]) else f"{summary['gold']:.2f}"
    ),
    "Cost of training: actions of the policy / questions to the reader, in thousands, - where an "
    "earlier version did not count:": lambda summary: (
        "-"
        if math.isnan(summary["samples"])
        else f"{summary['samples'] / 1000:.1f} / {summary['reads'] / 1000:.1f}"
    ),
}
