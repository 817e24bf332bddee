"""Which questions an episode asks, drawn once at reset, the same for every rollout of a group."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from finemem_env.text import normalise
from finemem_env.types import Episode, Question

__all__ = ["draw_chunk_questions", "draw_finals"]


def draw_finals(
    questions: tuple[Question, ...], fraction: float, rng: np.random.Generator
) -> tuple[Question, ...]:
    """max(1, round(fraction·n)) of the n final questions, in order (Fine-Mem trains on .2)."""
    if fraction >= 1.0 or not questions:
        return questions
    count = max(1, round(fraction * len(questions)))
    kept = np.sort(rng.choice(len(questions), size=count, replace=False))
    return tuple(questions[i] for i in kept)


def draw_chunk_questions(
    episode: Episode, scope: str, count: int, rng: np.random.Generator
) -> tuple[tuple[Question, ...], ...]:
    """For each step t, min(count, available) chunk questions to ask right after it.

    `current` draws from chunk t alone (the paper), `seen` from the questions of chunks 0..t whose
    answer still holds at t. A chunk question with the text of a final question is never drawn.
    """
    final_texts = {normalise(question.question) for question in episode.questions}
    pool: list[Question] = []
    ends: dict[int, int] = defaultdict(int)  # step -> how many of the pool expire before it
    drawn = []
    for t, chunk in enumerate(episode.chunks):
        fresh = [q for q in chunk.questions if normalise(q.question) not in final_texts]
        if scope == "current":
            pool = fresh
        else:
            pool.extend(fresh)
            for question in fresh:
                if question.valid_until is not None:
                    ends[question.valid_until + 1] += 1
            if ends.pop(t, 0):
                pool = [q for q in pool if q.valid_until is None or q.valid_until >= t]
        drawn.append(_draw(pool, count, rng))
    return tuple(drawn)


def _draw(pool: list[Question], count: int, rng: np.random.Generator) -> tuple[Question, ...]:
    if len(pool) <= count:
        return tuple(pool)
    return tuple(pool[i] for i in rng.choice(len(pool), size=count, replace=False, shuffle=False))
