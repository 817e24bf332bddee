"""95 % intervals of a mean score over episodes.

The unit is an episode: plays of the same one are one unit. Where several tasks were played, the
variance is that within tasks, because a suite fixes its tasks; a task of one episode, which has
none, is given that of the others. The interval is Wilson's score interval (1927) at the effective
number of episodes, p(1 - p) / variance of the mean, as survey statistics use it for stratified
samples (Korn and Graubard 1998), with Student's t at Satterthwaite's degrees of freedom. It stays
within the bounds of the score and keeps its level with few episodes and scores near a bound, where
the percentile bootstrap covers far less. It depends on the plays alone: neither on their order nor
on random numbers.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# 97.5 % quantiles of Student's t by 1 / degrees of freedom; between them, lines are a little wide.
_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 8: 2.306, 10: 2.228, 15: 2.131}
_T |= {20: 2.086, 30: 2.042, 60: 2.000, 10**9: 1.960}
_INVERSE = [1 / freedom for freedom in reversed(_T)]
_QUANTILES = list(reversed(_T.values()))

_Groups = Sequence[Sequence[Sequence[float]]]  # tasks of episodes of plays


@dataclass(frozen=True, slots=True)
class Play:
    """One score: of which task ("" where there is one), of which episode of it."""

    task: str
    episode_id: str
    score: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its 95 % interval, where there is one: what a chart shows."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f}-{self.high:.3f})"


def mean_interval(
    plays: Iterable[Play], low: float = 0.0, high: float = 1.0
) -> tuple[float, float] | None:
    """95 % interval of the mean score of `plays`; None for fewer than two different episodes.

    Args:
        plays: in any order.
        low: the least score there can be.
        high: the largest.
    """
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for play in plays:
        value = min(1.0, max(0.0, (play.score - low) / (high - low)))
        scores[play.task][play.episode_id].append(value)
    groups = [list(by_episode.values()) for by_episode in scores.values()]
    known = _known(groups)
    if len(known) < len(groups) and not any(map(_sum_variance, known)):
        groups = [[each for group in groups for each in group]]  # no variance within tasks to take
    if not groups or max(map(len, groups)) < 2:
        return None
    values = [score for group in groups for each in group for score in each]
    mean = math.fsum(values) / len(values)
    variance, freedom = _variance(groups, len(values))
    units = sum(map(len, groups))
    if variance == 0.0:
        if any(0.0 < value < 1.0 for value in values):
            return low + (high - low) * mean, low + (high - low) * mean
        variance, freedom = mean * (1 - mean) / units, float(units - len(groups))
    bottom, top = _wilson(mean, variance, units, _t(freedom))
    return low + (high - low) * bottom, low + (high - low) * top


def estimate(plays: Sequence[Play]) -> Estimate | None:
    """The arithmetic mean score of `plays` with its interval; None for none."""
    if not plays:
        return None
    mean = math.fsum(play.score for play in plays) / len(plays)
    return Estimate(mean, *(mean_interval(plays) or (None, None)))


def over_seeds(values: Sequence[float]) -> Estimate:
    """Mean of one number of several runs, with Student's 95 % interval for two or more.

    Args:
        values: one for every run, at least one.
    """
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Estimate(mean)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = _t(count - 1) * math.sqrt(variance / count)
    return Estimate(mean, mean - half, mean + half)


def _known(groups: _Groups) -> _Groups:
    """The tasks of two episodes or more, whose variance is known."""
    return [group for group in groups if len(group) > 1]


def _variance(groups: _Groups, count: int) -> tuple[float, float]:
    """Variance of the mean of `count` scores, and its degrees of freedom.

    At least one group has two episodes or more. What is not known of the others is scaled up.
    """
    known = _known(groups)
    parts = [(_sum_variance(group), len(group) - 1) for group in known]
    total = math.fsum(variance for variance, _ in parts)
    if total <= 0.0:
        return 0.0, 0.0
    spread = math.fsum(variance * variance / freedom for variance, freedom in parts)
    scale = sum(map(len, groups)) / sum(map(len, known))
    return total * scale / count**2, total * total / spread


def _sum_variance(group: Sequence[Sequence[float]]) -> float:
    """Variance of the sum of a task's scores, from how its episodes deviate from its mean."""
    mean = math.fsum(score for each in group for score in each) / sum(map(len, group))
    deviations = [math.fsum(score - mean for score in each) for each in group]
    squares = math.fsum(deviation * deviation for deviation in deviations)
    return squares * len(group) / (len(group) - 1)


def _wilson(mean: float, variance: float, units: int, t: float) -> tuple[float, float]:
    """Score interval of a share `mean` of an effective number of trials."""
    trials = mean * (1 - mean) / variance if variance > 0.0 else float(units)
    middle = mean + t * t / (2 * trials)
    half = t * math.sqrt(mean * (1 - mean) / trials + (t / (2 * trials)) ** 2)
    scale = 1 + t * t / trials
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def _t(freedom: float) -> float:
    return float(np.interp(1 / freedom, _INVERSE, _QUANTILES))
