"""Cells of a report's tables: headings and rows."""

from __future__ import annotations

from collections.abc import Sequence

from baselines.tables.cost import Cells
from baselines.tables.paired import Difference, Leak
from baselines.tables.summary import AgentSummary
from finemem_env.cli.tables import interval, number


def difference_cells(differences: Sequence[Difference]) -> Cells:
    """Every agent beside the reference."""
    rows = [
        [
            difference.agent,
            difference.reference,
            str(difference.episodes),
            number(difference.mean, sign=True),
            interval(difference.interval, sign=True),
            "clear" if difference.clear else "",
        ]
        for difference in differences
    ]
    return [
        "agent minus reference",
        "reference",
        "episodes",
        "difference",
        "95 % interval",
        "",
    ], rows


def half_cells(rows: Sequence[AgentSummary]) -> Cells:
    """Scores by the half of the text that the evidence lies in."""
    cells = [
        [row.agent, number(row.early), number(row.late), number(row.late_gain, sign=True)]
        for row in rows
    ]
    return ["agent", "early half", "late half", "late minus early"], cells


def leak_cells(leaks: Sequence[Leak]) -> Cells:
    """What is answered from an empty memory."""
    rows = []
    for leak in leaks:
        share = leak.answered / leak.questions if leak.questions else 0.0
        counts = [str(leak.questions), str(leak.answered)]
        rows.append([leak.task or "-", *counts, number(share), number(leak.score)])
    return ["task", "questions", "answered", "share", "mean score"], rows
