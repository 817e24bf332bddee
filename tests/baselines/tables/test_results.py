from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from baselines.tables.results import measured
from finemem_env.session import Session, run_step
from finemem_env.settings import resolve
from finemem_env.text import approx_tokens
from finemem_env.types import Answer, Chunk, Episode, Evidence, Question, ReadRequest


class Parrot:
    """Answers with the last item that it is shown; does not answer what it is not to."""

    version = "parrot/1"

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        return [Answer(" ".join(one.items), failed="failed" in one.question) for one in requests]


def played(evidence: list[tuple[int, ...]], chunks: int = 4, fails: int = -1) -> Session:
    """An episode of an agent that keeps only what the last chunk says."""
    questions = tuple(
        Question(
            f"q{i}",
            f"Which number has fact {i}{' failed' if i == fails else ''}?",
            (f"n{max(places, default=0)}",),
            evidence=tuple(Evidence(place) for place in places),
        )
        for i, places in enumerate(evidence)
    )
    told = tuple(Chunk(f"c{t}", f"Fact has number n{t}.") for t in range(chunks))
    episode = Episode("e", "AR", "own", told, questions)
    settings = resolve(memory_budget="unlimited")
    session = Session(episode, settings, np.random.default_rng(5), approx_tokens)
    for t in range(chunks):
        action = f'[{{"op": "INSERT", "content": "Fact has number n{t}."}}]'
        run_step([session], [action if t == chunks - 1 else "[]"], Parrot())
    return session


def test_questions_count_in_the_half_of_their_last_evidence() -> None:
    found = measured(played([(0,), (1,), (0, 3), (3,)]))
    assert (found["early"], found["late"]) == (0.0, 1.0)
    found = measured(played([(1,), (2,), (3,)]))
    assert (found["early"], found["late"]) == (0.0, 0.5)


def test_the_middle_chunk_is_neither_and_what_is_not_known_is_none() -> None:
    found = measured(played([(1,), (2,)], chunks=3))
    assert (found["early"], found["late"]) == (None, 1.0)
    found = measured(played([(), ()]))
    assert (found["early"], found["late"]) == (None, None)


def test_a_question_that_was_not_read_counts_in_no_half() -> None:
    found = measured(played([(0,), (3,), (3,)], fails=1))
    assert (found["early"], found["late"]) == (0.0, 1.0)


def test_nothing_is_measured_of_a_memory_that_is_not_used() -> None:
    session = played([(0,), (3,)])
    seen, hidden = measured(session), measured(session, hidden=True)
    assert hidden["score"] == seen["score"] == pytest.approx(0.5)
    unseen = ("r_fmt", "compression", "episode_return", "memory_tokens", "memory_items")
    assert all(hidden[name] is None and seen[name] is not None for name in unseen)
