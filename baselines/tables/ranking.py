"""How alike two readers rank agents: rank correlation, and agreement on single questions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

# agent -> episode -> score
Scores = Mapping[str, Mapping[Any, float]]
_DRAWS = 2000


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Kendall's τ-b between two lists of scores; None where either ties all of them."""
    signs = [
        (_sign(a - c), _sign(b - d))
        for (a, b), (c, d) in combinations(zip(first, second, strict=True), 2)
    ]
    untied = [sum(pair[side] != 0 for pair in signs) for side in (0, 1)]
    if not all(untied):
        return None
    return sum(a * b for a, b in signs) / math.sqrt(untied[0] * untied[1])


def rank_interval(first: Scores, second: Scores, seed: int = 0) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of τ over the episodes that all agents share.

    An episode is drawn with all its agents and both readers, so what makes it hard stays common.
    None for fewer than two such episodes, or where a draw of the episodes mostly ties.
    """
    agents = [agent for agent in first if agent in second]
    shared = _shared([first[agent] for agent in agents] + [second[agent] for agent in agents])
    if len(shared) < 2:
        return None
    tables = [
        np.array([[scores[agent][place] for place in shared] for agent in agents])
        for scores in (first, second)
    ]
    rng = np.random.default_rng(seed)
    taus = []
    for _ in range(_DRAWS):
        drawn = rng.integers(len(shared), size=len(shared))
        means = [table[:, drawn].mean(axis=1).tolist() for table in tables]
        tau = rank_correlation(*means)
        if tau is not None:
            taus.append(tau)
    if len(taus) < _DRAWS / 2:
        return None
    low, high = np.quantile(taus, [0.025, 0.975]).tolist()
    return low, high


def agreement(first: Mapping[Any, float], second: Mapping[Any, float]) -> float | None:
    """Share of the shared questions that both score at least one half, or both less."""
    shared = first.keys() & second.keys()
    if not shared:
        return None
    return sum((first[key] >= 0.5) == (second[key] >= 0.5) for key in shared) / len(shared)


def _shared(scores: Sequence[Mapping[Any, float]]) -> list[Any]:
    return [place for place in scores[0] if all(place in own for own in scores)] if scores else []


def _sign(value: float) -> int:
    return (value > 1e-12) - (value < -1e-12)
