"""Score against memory: scores at several budgets, the area under them, and their table."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from baselines.suites import HEADLINE, UNLIMITED
from baselines.tables.cost import Cells, cost_columns
from baselines.tables.results import Result
from baselines.tables.summary import (
    AgentSummary,
    cell,
    competency_means,
    render_cells,
    table_cells,
)


@dataclass(frozen=True, slots=True)
class Curve:
    """Arithmetic mean scores of one agent by budget.

    `area`: area under the score over the budget's share of the input tokens, from the smallest to
    the largest share, divided by the width, so that it is a mean score too; None for fewer than two
    shares. `unlimited` is the score without a budget, and no part of the area. `competencies` are
    means at the headline budget.
    """

    agent: str
    scores: Mapping[str, float]
    area: float | None
    unlimited: float | None
    competencies: Mapping[str, float]


def curves(results: Sequence[Result]) -> list[Curve]:
    """One curve per agent, in order of first appearance; invalid episodes are left out."""
    groups: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        if result.status != "invalid":
            groups[result.agent][result.budget].append(result.score)
    lines = []
    for agent, by_budget in groups.items():
        scores = {budget: math.fsum(each) / len(each) for budget, each in by_budget.items()}
        budget = headline(scores)
        own = [result for result in results if (result.agent, result.budget) == (agent, budget)]
        lines.append(
            Curve(agent, scores, area(scores), scores.get(UNLIMITED), competency_means(own))
        )
    return lines


def headline(budgets: Iterable[str]) -> str:
    """The budget whose scores stand for a run: .4 where it is played, else the first."""
    names = list(dict.fromkeys(budgets))
    return HEADLINE if HEADLINE in names else next(iter(names), "")


def run_table(rows: Sequence[AgentSummary], results: Sequence[Result]) -> str:
    """The table of a run as text, with what belongs below it."""
    return render_cells(run_cells(rows, curves(results)), rows)


def run_cells(rows: Sequence[AgentSummary], lines: Sequence[Curve]) -> Cells:
    """Headings and rows at the headline budget.

    Where several budgets were played: scores, area, other budgets, costs of models.
    """
    budgets = list(dict.fromkeys(budget for curve in lines for budget in curve.scores))
    if len(budgets) < 2:
        return table_cells(rows)
    by_agent = {curve.agent: curve for curve in lines}
    names = list(dict.fromkeys(name for curve in lines for name in curve.competencies))
    others = [budget for budget in budgets if budget not in (HEADLINE, UNLIMITED)]
    heading = ["agent", "failed", "score", "macro", "95 % interval", "normalised", *names]
    heading += ["area", *(f"at {budget}" for budget in others), UNLIMITED]
    costs, spent = cost_columns(rows)
    cells = []
    for row, more in zip(rows, spent, strict=True):
        curve = by_agent[row.agent]
        values = [row.score, row.score_macro, row.interval, row.normalised]
        values += [curve.competencies.get(name) for name in names]
        values += [curve.area, *(curve.scores.get(budget) for budget in others), curve.unlimited]
        cells.append([row.agent, str(row.failed), *map(cell, values), *more])
    return [*heading, *costs], cells


def area(scores: Mapping[str, float]) -> float | None:
    """Area under `scores` over the budgets that are shares, divided by their range."""
    points = sorted(
        (float(budget), scores[budget]) for budget in scores if budget not in ("", UNLIMITED)
    )
    if len(points) < 2:
        return None
    total = math.fsum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))
    return total / (points[-1][0] - points[0][0])
