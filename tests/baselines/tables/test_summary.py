from __future__ import annotations

from dataclasses import replace

import pytest

from baselines.tables.results import Result
from baselines.tables.summary import render_table, summarise


def result(agent: str, episode: int, score: float, **more: object) -> Result:
    values: dict[str, object] = {"competency": "AR", "r_fmt": 1.0, "steps": 10}
    values |= {"episode_id": f"e{episode}", **more}
    return Result(agent, episode, 7, score=score, **values)  # type: ignore[arg-type]


# Two tasks, an easy and a hard one: (task, episode, score).
PLAYED = [("easy", 0, 0.9), ("easy", 1, 0.8), ("hard", 2, 0.1), ("hard", 3, 0.2)]


def test_normalised_is_nought_at_skip_and_one_at_oracle() -> None:
    results = [
        result(agent, episode, score + 0.1 * episode)
        for agent, score in (("skip", 0.1), ("mine", 0.3), ("oracle", 0.9))
        for episode in range(3)
    ]
    found = {row.agent: row.normalised for row in summarise(results)}
    assert found["skip"] == 0.0
    assert found["oracle"] == 1.0
    assert found["mine"] == pytest.approx(0.25)


def test_normalised_compares_the_episodes_that_all_three_played() -> None:
    results = [
        result("skip", 0, 0.0),
        result("oracle", 0, 1.0),
        result("mine", 0, 0.5),
        result("mine", 1, 1.0),
    ]
    (mine,) = (row for row in summarise(results) if row.agent == "mine")
    assert mine.normalised == 0.5
    assert mine.score == 0.75


@pytest.mark.parametrize("present", [("mine",), ("mine", "skip"), ("mine", "oracle")])
def test_no_normalised_score_without_both_references(present: tuple[str, ...]) -> None:
    found = summarise([result(agent, 0, 0.5) for agent in present])
    assert all(row.normalised is None for row in found)
    assert " - " in render_table(found)


def test_a_failed_episode_scores_nothing_and_is_left_out_of_the_other_columns() -> None:
    failed = result("mine", 1, 0.0, status="failed", r_fmt=0.0, error="act raised")
    (row,) = summarise([result("mine", 0, 0.8, r_fmt=0.9), failed])
    assert (row.episodes, row.failed, row.invalid) == (2, 1, 0)
    assert row.score == pytest.approx(0.4)
    assert row.r_fmt == 0.9
    assert "failed" in render_table([row])


def test_an_invalid_episode_counts_in_no_mean() -> None:
    (row,) = summarise([result("mine", 0, 0.8), result("mine", 1, 0.0, status="invalid")])
    assert (row.score, row.invalid, row.failed) == (0.8, 1, 0)


def test_chunk_reward_is_averaged_over_episodes_that_asked() -> None:
    (row,) = summarise([result("a", 0, 1.0, r_chunk=0.5), result("a", 1, 1.0)])
    assert row.r_chunk == 0.5
    (none,) = summarise([result("a", 0, 1.0)])
    assert none.r_chunk is None


def test_macro_mean_stands_beside_the_arithmetic_one_when_they_differ() -> None:
    results = [
        result("a", 0, 1.0),
        result("a", 1, 1.0),
        result("a", 2, 0.0, competency="CR"),
    ]
    (row,) = summarise(results)
    assert row.score == pytest.approx(2 / 3)
    assert row.score_macro == 0.5
    assert "macro" in render_table([row])
    assert "macro" not in render_table(summarise(results[:2]))


def test_rejections_are_added_up() -> None:
    results = [
        result("a", 0, 1.0, rejected={"memory full": 2}),
        result("a", 1, 1.0, rejected={"memory full": 1, "malformed": 1}),
    ]
    (row,) = summarise(results)
    assert row.rejected == {"malformed": 1, "memory full": 3}


def test_the_interval_is_over_different_episodes_within_tasks() -> None:
    once = [result("a", i, score, task=task) for task, i, score in PLAYED]
    again = [result("a", i + 4, score, task=task, episode_id=f"e{i}") for task, i, score in PLAYED]
    (row,), (twice,) = summarise(once), summarise([*once, *again])
    assert twice.interval == row.interval
    (backwards,) = summarise(once[::-1])
    assert backwards.interval == row.interval
    (pooled,) = summarise([replace(one, task="") for one in once])
    low, high = row.interval or (0.0, 0.0)
    wide, wider = pooled.interval or (0.0, 0.0)
    assert wide < low < 0.5 < high < wider


def test_table_has_one_line_per_agent_and_aligned_columns() -> None:
    table = render_table(summarise([result("a", 0, 1.0), result("longer", 0, 0.5)]))
    lines = table.splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1


def test_the_late_half_minus_the_early_half() -> None:
    results = [
        result("mine", 0, 0.5, early=0.2, late=0.8),
        result("mine", 1, 0.5, early=0.4),
        result("other", 0, 0.5, late=0.8),
    ]
    mine, other = summarise(results)
    assert mine.early == pytest.approx(0.3)
    assert mine.late == 0.8
    assert mine.late_gain == pytest.approx(0.5)
    assert other.late_gain is None
    assert mine.as_dict()["late_gain"] == mine.late_gain
