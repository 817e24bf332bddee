"""Which questions an episode asks, drawn once at reset, the same for every rollout of a group."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np

from finemem_env.text import normalise
from finemem_env.types import Chunk, Episode, Question


def draw_finals(
    questions: tuple[Question, ...], fraction: float, rng: np.random.Generator
) -> tuple[Question, ...]:
    """max(1, round(fraction·n)) of the n final questions, in order (Fine-Mem trains on .2)."""
    if fraction >= 1.0 or not questions:
        return questions
    count = max(1, round(fraction * len(questions)))
    kept = np.sort(rng.choice(len(questions), size=count, replace=False))
    return tuple(questions[i] for i in kept)


def due_finals(questions: Sequence[Question], t: int, last: int) -> tuple[Question, ...]:
    """Final questions due after step t: those asked_after it, at the `last` step all others."""
    return tuple(
        [
            question
            for question in questions
            if t == (last if question.asked_after is None else question.asked_after)
        ]
    )


def open_finals(questions: Sequence[Question], read: int) -> tuple[Question, ...]:
    """Final questions for the end that the first `read` chunks can answer.

    Those whose evidence lies in them, and those whose evidence is not known.
    """
    return tuple(
        question
        for question in questions
        if question.asked_after is None and all(piece.chunk < read for piece in question.evidence)
    )


class ChunkQuestions:
    """Draws the chunk questions of one step after the other.

    Args:
        scope: "current" draws from chunk t alone (the paper), "seen" from the questions of chunks
            0..t whose answer still holds at t.
        count: most questions a step.
        rng: decides which.
    """

    def __init__(self, scope: str, count: int, rng: np.random.Generator) -> None:
        self._scope = scope
        self._count = count
        self._rng = rng
        self._pool: list[Question] = []
        self._ends: dict[int, int] = defaultdict(int)  # step -> how many expire before it
        self._finals = 0  # texts of final questions that the pool is without

    def draw(self, t: int, chunk: Chunk, final_texts: Collection[str]) -> tuple[Question, ...]:
        """min(count, available) questions to ask right after step t, called for every t in order.

        A chunk question with the text of a final question is never drawn; in a stream there may be
        more of these texts at every call.
        """
        fresh = [q for q in chunk.questions if normalise(q.question) not in final_texts]
        if self._scope == "current":
            return _draw(fresh, self._count, self._rng)
        if len(final_texts) > self._finals:
            self._finals = len(final_texts)
            self._pool = [q for q in self._pool if normalise(q.question) not in final_texts]
        self._pool.extend(fresh)
        for question in fresh:
            if question.valid_until is not None:
                self._ends[question.valid_until + 1] += 1
        if self._ends.pop(t, 0):
            self._pool = [q for q in self._pool if q.valid_until is None or q.valid_until >= t]
        return _draw(self._pool, self._count, self._rng)

    def fork(self) -> ChunkQuestions:
        """A copy that draws what this one would."""
        other = ChunkQuestions(self._scope, self._count, copy.deepcopy(self._rng))
        other._pool, other._ends = list(self._pool), self._ends.copy()
        other._finals = self._finals
        return other


def draw_chunk_questions(
    episode: Episode, scope: str, count: int, rng: np.random.Generator
) -> tuple[tuple[Question, ...], ...]:
    """What `ChunkQuestions` draws for every step of an episode that is known whole."""
    final_texts = {normalise(question.question) for question in episode.questions}
    questions = ChunkQuestions(scope, count, rng)
    return tuple(questions.draw(t, chunk, final_texts) for t, chunk in enumerate(episode.chunks))


def _draw(pool: list[Question], count: int, rng: np.random.Generator) -> tuple[Question, ...]:
    if len(pool) <= count:
        return tuple(pool)
    chosen = rng.choice(len(pool), size=count, replace=False, shuffle=False)
    return tuple([pool[i] for i in chosen.tolist()])
