from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from baselines.tables.intervals import Play, mean_interval
from benchmarks.intervals import CASES, DRAWS, coverage, of_tables


def plays(scores: Sequence[float]) -> list[Play]:
    return [Play("", str(i), score) for i, score in enumerate(scores)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("draw", DRAWS)
def test_the_interval_covers_the_mean_in_ninety_five_of_a_hundred_runs(
    draw: str, case: str
) -> None:
    assert 0.915 <= coverage(of_tables, draw, case, runs=200) <= 0.995


def test_the_order_of_plays_does_not_matter() -> None:
    given = plays([0.1, 0.7, 0.3, 1.0, 0.2])
    found = {mean_interval(order) for order in itertools.permutations(given)}
    assert len(found) == 1


def test_tasks_of_one_episode_are_taken_together() -> None:
    given = [Play(name, "0", score) for name, score in (("a", 0.2), ("b", 0.9), ("c", 0.4))]
    assert mean_interval(given) == mean_interval(Play("", one.task, one.score) for one in given)


def test_a_task_of_one_episode_is_not_pooled_with_the_others() -> None:
    scores = {"a": [0.1, 0.2, 0.1, 0.2], "b": [0.9, 0.8, 0.9, 0.8], "c": [0.5, 0.6, 0.5, 0.6]}
    given = [Play(task, str(i), one) for task, own in scores.items() for i, one in enumerate(own)]
    low, high = mean_interval(given) or (0.0, 1.0)
    one_more = [*given, Play("d", "0", 0.5)]
    wider, higher = mean_interval(one_more) or (0.0, 1.0)
    assert wider < 0.5 < higher
    assert 0.9 * (high - low) < higher - wider < 1.1 * (high - low)
    assert mean_interval(one_more[::-1]) == (wider, higher)
    flat = [Play("a", "0", 0.5), Play("a", "1", 0.5), Play("b", "0", 0.9)]
    assert mean_interval(flat) == mean_interval(
        Play("", f"{p.task}{p.episode_id}", p.score) for p in flat
    )


def test_known_intervals() -> None:
    # Wilson's interval of 8 right of 10 at the variance of the sample, t with 9 degrees of freedom.
    low, high = mean_interval(plays([1.0] * 8 + [0.0] * 2)) or (0.0, 0.0)
    assert (low, high) == pytest.approx((0.4269, 0.9555), abs=2e-4)
    low, high = mean_interval(plays([1.0] * 10)) or (0.0, 0.0)
    assert high == 1.0
    assert low == pytest.approx(10 / (10 + 2.2627**2), abs=2e-4)
    assert mean_interval(plays([0.5] * 4)) == (0.5, 0.5)
    assert mean_interval(plays([0.5])) is None
    assert mean_interval([]) is None


def test_differences_have_bounds_of_their_own() -> None:
    gaps = plays([0.1, 0.3, -0.1, 0.2, 0.25, 0.15])
    low, high = mean_interval(gaps, -1.0, 1.0) or (0.0, 0.0)
    assert -0.1 < low < 0.15 < high < 0.4
    assert mean_interval(plays([0.0] * 6), -1.0, 1.0) == (0.0, 0.0)
