"""The share of credit on gold steps, worked out by hand."""

from __future__ import annotations

import pytest

from benchmarks.gold import gold_share
from finemem_env.rewards import FinalOutcome, ShownItem
from finemem_env.types import Evidence, Question

# A: two sentences of step 0, one of step 2. B: step 1. The reader cites A's first sentence.
A = ShownItem(step=2, writers=(0, 2), sentence_steps=(0, 0, 2))
B = ShownItem(step=1, writers=(1,), sentence_steps=(1,))
FINAL = FinalOutcome(score=0.5, shown=(A, B), used=((0, 0),), without=(0.0, 0.5))


def question(*chunks: int, asked_after: int | None = None) -> Question:
    evidence = tuple(Evidence(chunk, "It is so.") for chunk in chunks)
    return Question("q", "Is it so?", ("so",), evidence=evidence, asked_after=asked_after)


@pytest.mark.parametrize(
    ("attribution", "share"),
    [
        (None, 1 / 4),
        ("last_write", 0.0),  # A's half is at step 2, B's at step 1
        ("all_writes", 1 / 4),  # half of A's half
        ("leave_one_out", 1 / 2),  # only A matters; its sentences come from steps 0 and 2
        ("cited", 1.0),
    ],
)
def test_share_on_one_gold_step(attribution: str | None, share: float) -> None:
    assert gold_share(question(0), FINAL, attribution, 4) == pytest.approx(share)


def test_shares_of_several_gold_steps_add_up_and_a_step_counts_once() -> None:
    assert gold_share(question(0, 1, 1), FINAL, None, 4) == pytest.approx(2 / 4)
    assert gold_share(question(1, 2), FINAL, "last_write", 4) == pytest.approx(1.0)


def test_an_early_question_shares_over_the_steps_before_it() -> None:
    early = FinalOutcome(score=1.0, shown=(B,), asked_after=1)
    assert gold_share(question(1, 3, asked_after=1), early, None, 4) == pytest.approx(1 / 2)
    assert gold_share(question(1, 3, asked_after=1), early, "last_write", 4) == 1.0


@pytest.mark.parametrize(
    ("asked", "final"),
    [
        (question(0), FinalOutcome(score=0.0, shown=(A,))),
        (question(0), FinalOutcome(score=0.0, shown=(A,), failed=True)),
        (question(), FINAL),
    ],
)
def test_nothing_to_measure(asked: Question, final: FinalOutcome) -> None:
    assert gold_share(asked, final, "cited", 4) is None
