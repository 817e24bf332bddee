"""Score against memory: an agent's scores at several budgets, and the area under them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from baselines.suites import HEADLINE, UNLIMITED
from baselines.tables.summary import Result

__all__ = ["Curve", "area", "competency_means", "curves"]


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
    found = []
    for agent, by_budget in groups.items():
        scores = {budget: math.fsum(one) / len(one) for budget, one in by_budget.items()}
        headline = HEADLINE if HEADLINE in scores else next(iter(scores))
        own = [one for one in results if one.agent == agent and one.budget == headline]
        found.append(
            Curve(agent, scores, area(scores), scores.get(UNLIMITED), competency_means(own))
        )
    return found


def area(scores: Mapping[str, float]) -> float | None:
    """Area under `scores` over the budgets that are shares, divided by their range."""
    points = sorted((float(one), scores[one]) for one in scores if one not in ("", UNLIMITED))
    if len(points) < 2:
        return None
    total = math.fsum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(points))
    return total / (points[-1][0] - points[0][0])


def competency_means(results: Sequence[Result]) -> dict[str, float]:
    """Mean score of each competency that was played, in the order AR, TTL, LRU, CR."""
    groups: dict[str, list[float]] = defaultdict(list)
    for result in results:
        if result.status != "invalid":
            groups[result.competency].append(result.score)
    return {
        name: math.fsum(groups[name]) / len(groups[name])
        for name in ("AR", "TTL", "LRU", "CR")
        if name in groups
    }
