"""The table of a run with budgets."""

from __future__ import annotations

from collections.abc import Sequence

from baselines.suites import HEADLINE, UNLIMITED
from baselines.tables.curves import Curve
from baselines.tables.summary import AgentSummary, aligned, cell

__all__ = ["curve_cells", "render_curves"]


def render_curves(rows: Sequence[AgentSummary], found: Sequence[Curve]) -> str:
    """The table of a run with budgets: scores at the headline budget, the area, the others."""
    return aligned(curve_cells(rows, found))


def curve_cells(rows: Sequence[AgentSummary], found: Sequence[Curve]) -> list[list[str]]:
    """Its cells, headings first."""
    by_agent = {curve.agent: curve for curve in found}
    budgets = list(dict.fromkeys(budget for curve in found for budget in curve.scores))
    names = list(dict.fromkeys(name for curve in found for name in curve.competencies))
    others = [one for one in budgets if one not in (HEADLINE, UNLIMITED)]
    heading = ["agent", "failed", "score", "macro", "95 % interval", "normalised", *names]
    heading += ["area", *(f"at {budget}" for budget in others), UNLIMITED]
    cells = [heading]
    for row in rows:
        curve = by_agent[row.agent]
        values = [row.score, row.score_macro, row.interval, row.normalised]
        values += [curve.competencies.get(name) for name in names]
        values += [curve.area, *(curve.scores.get(budget) for budget in others), curve.unlimited]
        cells.append([row.agent, str(row.failed), *(cell("", value) for value in values)])
    return cells
