"""How alike two readers rank agents: rank correlation, and agreement on single questions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Scores = Mapping[str, Mapping[Any, float]]  # agent -> place -> score
Floats = npt.NDArray[np.float64]
_DRAWS = 2000


class Place(NamedTuple):
    """Where an agent was scored: one play of an episode."""

    task: str
    budget: str
    number: int
    episode_id: str


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

    Episodes are drawn within their tasks, which a suite fixes, and an episode with all its plays,
    agents and both readers, so what makes it hard stays common. Tasks of one episode are drawn
    together. The order of places and agents does not matter. None for fewer than two such episodes,
    or where a draw of the episodes mostly ties.
    """
    agents = sorted(agent for agent in first if agent in second)
    shared = _shared([first[agent] for agent in agents] + [second[agent] for agent in agents])
    table = np.array(
        [
            [scores[agent][place] for place in shared]
            for scores in (first, second)
            for agent in agents
        ]
    )
    tasks = _tasks(shared, table)
    sizes = [len(units) for units in tasks]
    if sum(sizes) < 2:
        return None
    sums = np.array([unit for units in tasks for unit in units])
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    rng = np.random.default_rng(seed)
    taus = []
    for _ in range(_DRAWS):
        drawn = [start + rng.integers(n, size=n) for start, n in zip(starts, sizes, strict=True)]
        means = sums[np.concatenate(drawn)].sum(axis=0).tolist()
        tau = rank_correlation(means[: len(agents)], means[len(agents) :])
        if tau is not None:
            taus.append(tau)
    if len(taus) < _DRAWS / 2:
        return None
    low, high = np.quantile(taus, [0.025, 0.975]).tolist()
    return low, high


def _tasks(places: Sequence[Any], table: Floats) -> list[list[list[float]]]:
    """By task, the sum of every row of `table` over the plays of each episode, in sorted order."""
    columns: dict[tuple[str, Any], list[int]] = defaultdict(list)
    for column, place in enumerate(places):
        columns[(place.task, place.episode_id) if isinstance(place, Place) else ("", place)].append(
            column
        )
    tasks: dict[str, list[list[float]]] = defaultdict(list)
    for (task, _), own in columns.items():
        tasks[task].append([math.fsum(row[own]) for row in table])
    alone = [units[0] for units in tasks.values() if len(units) == 1]
    strata = [units for _, units in sorted(tasks.items()) if len(units) > 1]
    return [sorted(units) for units in [*strata, alone] if units]


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
