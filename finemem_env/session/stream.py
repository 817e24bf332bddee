"""Episodes that arrive while they are read: chunks and questions from an iterator.

    def conversation():
        yield "Day 1. Mara moved to Osta."
        yield Question("q0", "Where does Mara live?", ("Osta",))     # asked right after that chunk
        yield Chunk("day 2", "Mara sold her boat.", time="2024-01-02")

    env = MemoryEnv(source=conversation())

One chunk is read ahead, so that the last step is known when it is taken; until then `num_chunks` is
-1. A question is asked right after the chunk before it, or after step i when it has `asked_after` =
i. Rewards and attribution are over the chunks that came. A budget that is a share is one of the
tokens read so far.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from finemem_env.errors import ConfigError, DataError
from finemem_env.memory import budget_tokens
from finemem_env.scoring import is_judged, needs_judge
from finemem_env.session.questions import ChunkQuestions
from finemem_env.session.session import Session
from finemem_env.settings import Settings
from finemem_env.text import normalise
from finemem_env.types import Chunk, Competency, Episode, Question

__all__ = ["StreamSession", "StreamSource", "Streamed"]

Streamed = str | Chunk | Question
"""What a stream may yield: a text is a chunk of its own."""


class StreamSource:
    """Makes an episode of an iterable at every reset.

    Args:
        items: chunks and questions in order; an iterator serves one episode only.
        competency: of its episodes.
    """

    def __init__(self, items: Iterable[Streamed], competency: Competency) -> None:
        self.name = "stream"
        self.competencies = frozenset({competency})
        self._items = items
        self._opened = 0

    def open(self) -> tuple[str, Iterator[Streamed]]:
        """The id of the next episode, and what it is made of.

        Raises:
            ConfigError: the iterable was an iterator and is used up.
        """
        iterator = iter(self._items)
        if iterator is self._items and self._opened:
            raise ConfigError(
                "source: an iterator serves one episode, and its episode was started already; give "
                "a list, or an object whose __iter__ starts anew."
            )
        self._opened += 1
        # A list is the same episode every time, so that several runs of it are a group.
        number = 0 if isinstance(self._items, Sequence) else self._opened - 1
        return f"stream/{number}", iterator


class StreamSession(Session):
    """A session whose chunks and questions come from an iterator; arguments as of `Session`.

    Raises:
        ConfigError: a question_fraction, which needs to know all questions beforehand.
        DataError: no chunk at all, or something that is neither chunk, question nor text.
    """

    def __init__(
        self,
        opened: tuple[str, Iterator[Streamed]],
        competency: Competency,
        settings: Settings,
        rng: np.random.Generator,
        count_tokens: Callable[[str], int],
        max_chars: int,
    ) -> None:
        if settings.question_fraction != 1.0:
            raise ConfigError("question_fraction: a stream scores all its questions; use 1.0.")
        name, self._stream = opened
        self._count_tokens = count_tokens
        self._waiting: list[Question] = []
        self._sampler = ChunkQuestions(
            settings.chunk_question_scope, settings.chunk_questions_asked, rng
        )
        self._ahead: Chunk | None = None
        self._number = 0
        self._advance(-1)
        if self._ahead is None or self._waiting:
            raise DataError(f"{name}: expected a chunk first, found none before the questions.")
        episode = Episode(name, competency, "stream", (self._ahead,), ())
        super().__init__(episode, settings, rng, count_tokens, max_chars)
        self._advance(0)

    @property
    def num_chunks(self) -> int:
        """T once the last chunk is being read, -1 before."""
        return len(self.episode.chunks) if self._ahead is None else -1

    def _draw_chunk_questions(self, rng: np.random.Generator) -> tuple[tuple[Question, ...], ...]:
        return (self._sampler.draw(0, self.episode.chunks[0], ()),)

    def _read_on(self) -> None:
        """Take over the chunk that was read ahead, and read one more."""
        if self._ahead is None:
            return
        t, chunk = self.step_index, self._ahead
        self.episode = dataclasses.replace(self.episode, chunks=(*self.episode.chunks, chunk))
        self.chunk_tokens = (*self.chunk_tokens, self._count_tokens(chunk.text))
        if isinstance(self.settings.memory_budget, float):
            self.memory.budget = budget_tokens(self.settings.memory_budget, sum(self.chunk_tokens))
        known = {normalise(question.question) for question in self.finals}
        self.drawn = (*self.drawn, self._sampler.draw(t, chunk, known))
        self._check_judge()
        self._advance(t)

    def _advance(self, t: int) -> None:
        """Read up to the chunk after step t; the questions in between become due."""
        self._ahead = None
        for item in self._stream:
            if isinstance(item, Question):
                self._waiting.append(self._numbered(item))
                continue
            self._ahead = self._chunk(item, t + 1)
            break
        if t >= 0:
            self._make_due(t)

    def _make_due(self, t: int) -> None:
        over = self._ahead is None
        due = [one for one in self._waiting if over or (one.asked_after or 0) <= t]
        self._waiting = [one for one in self._waiting if one not in due]
        due = [dataclasses.replace(question, asked_after=t) for question in due]
        for question in due:
            if is_judged(question.metric) and self.settings.judge is None:
                raise ConfigError(needs_judge(question))
        self.finals = (*self.finals, *due)
        self.episode = dataclasses.replace(self.episode, questions=(*self.episode.questions, *due))

    def _numbered(self, question: Question) -> Question:
        self._number += 1
        return question if question.id else dataclasses.replace(question, id=f"q{self._number - 1}")

    @staticmethod
    def _chunk(item: object, t: int) -> Chunk:
        if isinstance(item, Chunk):
            return item
        if isinstance(item, str):
            return Chunk(f"c{t}", item)
        raise DataError(
            f"stream: expected a Chunk, a Question or a str, found {type(item).__name__}."
        )
