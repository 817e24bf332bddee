"""Tables of the ablation from records made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.runs.ablation_report import (
    final_scores,
    interval,
    mean_curves,
    normalised,
    table,
    updates_to,
)


def record(reward: str, seed: int, curve: list[tuple[int, float]], best: float) -> dict[str, Any]:
    def played(score: float, tokens: float) -> dict[str, list[float]]:
        return {"scores": [score, score], "memory": [tokens, tokens]}

    length = {
        "skip": played(0.2, 0.0),
        "oracle": played(0.8, 50.0),
        "initial": played(0.2, 100.0),
        "best": played(best, 60.0),
    }
    cell = {"reward": reward, "credit": "return", "task": "few", "seed": seed}
    return {**cell, "curve": curve, "same": length, "longer": length}


RECORDS = [
    record("outcome", 0, [(0, 0.1), (10, 0.3), (20, 0.6)], 0.5),
    record("outcome", 1, [(0, 0.1), (10, 0.2), (20, 0.4)], 0.5),
    record("fine-mem", 0, [(0, 0.1), (10, 0.5), (20, 0.4)], 0.8),
    record("fine-mem", 1, [(0, 0.1), (10, 0.4), (20, 0.9)], 0.8),
]


def test_one_line_per_method_with_what_it_needs_to_reach_the_outcome_reward() -> None:
    """Outcome ends at (.6 + .4) / 2 = .5: fine-mem is there after 10 and 20 updates."""
    lines = table(RECORDS).splitlines()
    assert lines[2] == (
        "| few | outcome, return | 2 | 0.000 | 0.500 (0.500-0.500) | 1.20 | 0.500 (0.500-0.500) "
        "| not reached (1 of 2) |"
    )
    assert lines[3].startswith("| few | fine-mem, return | 2 | 0.000 | 1.000 (1.000-1.000)")
    assert lines[3].endswith("| 10 (2 of 2) |")


def test_local_re_rollouts_are_a_method_of_their_own() -> None:
    local = [one | {"compare": "state"} for one in RECORDS[:2]]
    lines = table([*RECORDS, *local]).splitlines()
    assert lines[2].endswith("| not reached (1 of 2) |")
    assert lines[4].startswith("| few | outcome, return, state | 2 |")


def test_without_the_outcome_reward_nothing_is_compared() -> None:
    assert table(RECORDS[2:]).splitlines()[2].endswith("| - |")


def test_scores_are_placed_between_skip_and_oracle() -> None:
    values = normalised(RECORDS[:2], "same", "best")
    np.testing.assert_allclose(values, np.full((2, 2), 0.5))


def test_the_interval_covers_seeds_and_episodes() -> None:
    assert interval(np.full((3, 5), 0.25)) == (0.25, 0.25)
    seeds_differ = np.repeat([[0.0], [1.0]], 6, axis=1)
    episodes_differ = seeds_differ.T
    for values in (seeds_differ, episodes_differ):
        low, high = interval(values)
        assert low < 0.5 < high
    assert interval(seeds_differ) == interval(seeds_differ)


def test_the_first_evaluation_that_reaches_a_score() -> None:
    assert updates_to([(0, 0.1), (5, 0.7), (10, 0.6)], 0.6) == 5
    assert updates_to([(0, 0.1)], 0.6) is None


def test_curves_are_means_over_seeds() -> None:
    curve = mean_curves(RECORDS)["few"]["outcome"]
    assert [update for update, _ in curve] == [0, 10, 20]
    assert [score.value for _, score in curve] == pytest.approx([0.1, 0.25, 0.5])


def test_two_methods_of_one_reward_are_told_apart_in_the_curves() -> None:
    local = [one | {"compare": "state"} for one in RECORDS[:2]]
    assert list(mean_curves([*RECORDS, *local])["few"]) == [
        "outcome, return",
        "fine-mem",
        "outcome, return, state",
    ]


def test_final_scores_are_those_of_the_table() -> None:
    scores = final_scores(RECORDS)["few"]
    assert list(map(str, scores["outcome"])) == ["0.500 (0.500-0.500)"] * 2
    assert scores["fine-mem"][0].value == pytest.approx(1.0)
