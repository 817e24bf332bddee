"""What a session reads: chunks and questions, known whole or as they arrive.

A feed grows by one chunk at a time and never looks at the memory. `EpisodeFeed` knows all of it
from the start, `StreamFeed` reads one chunk ahead of the step.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, Self

import numpy as np

from finemem_env.errors import ConfigError, DataError
from finemem_env.media import called, shown_form
from finemem_env.session.questions import ChunkQuestions, draw_chunk_questions, draw_finals
from finemem_env.settings import Settings
from finemem_env.text import normalise
from finemem_env.types import Chunk, Competency, Episode, Question

Streamed = str | Chunk | Question
"""What a stream may yield: a text is a chunk of its own."""


class Stream(NamedTuple):
    """An episode that is still to arrive."""

    episode_id: str
    competency: Competency
    items: Iterator[Streamed]


class Feed(Protocol):
    """Chunks and questions so far; lists by step have one entry per chunk."""

    episode: Episode
    chunk_tokens: tuple[int, ...]
    finals: tuple[Question, ...]
    drawn: tuple[tuple[Question, ...], ...]

    @property
    def num_chunks(self) -> int:
        """T, or -1 while it is not known."""
        ...

    def read_on(self, t: int) -> bool:
        """Take chunk t in, called before step t; whether there was something new."""
        ...

    def fork(self) -> Feed:
        """A copy that gives what this one would, whichever is read first."""
        ...


class EpisodeFeed:
    """An episode that is known whole; arguments as of `Session`."""

    def __init__(
        self,
        episode: Episode,
        settings: Settings,
        rng: np.random.Generator,
        count_tokens: Callable[[str], int],
    ) -> None:
        self.episode = _with_names(episode)
        media = bool(settings.media)
        self.chunk_tokens = tuple(
            [tokens_of(chunk, count_tokens, media) for chunk in self.episode.chunks]
        )
        self.finals = draw_finals(episode.questions, settings.question_fraction, rng)
        self.drawn = draw_chunk_questions(
            episode, settings.chunk_question_scope, settings.chunk_questions_asked, rng
        )

    @property
    def num_chunks(self) -> int:
        """T."""
        return len(self.episode.chunks)

    def read_on(self, t: int) -> bool:
        """Nothing is new."""
        return False

    def fork(self) -> Self:
        """A copy."""
        return copy.copy(self)


class StreamFeed:
    """An episode that arrives while it is read; arguments as of `Session`.

    Raises:
        ConfigError: a question_fraction, which needs to know all questions beforehand.
        DataError: no chunk at all, or something that is neither chunk, question nor text.
    """

    def __init__(
        self,
        stream: Stream,
        settings: Settings,
        rng: np.random.Generator,
        count_tokens: Callable[[str], int],
    ) -> None:
        if settings.question_fraction != 1.0:
            raise ConfigError("question_fraction: a stream scores all its questions; use 1.0.")
        self._items: Iterator[Streamed] = _Arriving(stream.items)
        self._count_tokens = count_tokens
        self._sampler = ChunkQuestions(
            settings.chunk_question_scope, settings.chunk_questions_asked, rng
        )
        self._media = bool(settings.media)
        self._waiting: list[Question] = []
        self._numbered = 0
        self.episode = Episode(stream.episode_id, stream.competency, "stream", (), ())
        self.chunk_tokens: tuple[int, ...] = ()
        self.finals: tuple[Question, ...] = ()
        self.drawn: tuple[tuple[Question, ...], ...] = ()
        self._ahead = self._next_chunk(0)
        if self._ahead is None or self._waiting:
            name = stream.episode_id
            raise DataError(f"{name}: expected a chunk first, found none before the questions.")
        self.read_on(0)

    @property
    def num_chunks(self) -> int:
        """T once the last chunk is being read, -1 before."""
        return len(self.episode.chunks) if self._ahead is None else -1

    def read_on(self, t: int) -> bool:
        """Take over the chunk that was read ahead, and read one more."""
        chunk = self._ahead
        if chunk is None:
            return False
        if chunk.media:
            before = sum(len(chunk.media) for chunk in self.episode.chunks)
            chunk = dataclasses.replace(chunk, media=called(chunk.media, before))
        self.episode = dataclasses.replace(self.episode, chunks=(*self.episode.chunks, chunk))
        tokens = tokens_of(chunk, self._count_tokens, self._media)
        self.chunk_tokens = (*self.chunk_tokens, tokens)
        self._ahead = self._next_chunk(t + 1)
        self._make_due(t)
        known = {normalise(question.question) for question in (*self.finals, *self._waiting)}
        self.drawn = (*self.drawn, self._sampler.draw(t, chunk, known))
        return True

    def fork(self) -> Self:
        """A copy; what is still to arrive is kept for the slower of both."""
        other = copy.copy(self)
        self._items, other._items = itertools.tee(self._items)
        other._waiting, other._sampler = list(self._waiting), self._sampler.fork()
        return other

    def _next_chunk(self, t: int) -> Chunk | None:
        """The next chunk, None at the end; the questions before it wait."""
        for item in self._items:
            if not isinstance(item, Question):
                return _chunk(item, t)
            number, self._numbered = self._numbered, self._numbered + 1
            self._waiting.append(item if item.id else dataclasses.replace(item, id=f"q{number}"))
        return None

    def _make_due(self, t: int) -> None:
        over = self._ahead is None
        due = [question for question in self._waiting if over or (question.asked_after or 0) <= t]
        self._waiting = [question for question in self._waiting if question not in due]
        due = [dataclasses.replace(question, asked_after=t) for question in due]
        self.finals = (*self.finals, *due)
        self.episode = dataclasses.replace(self.episode, questions=(*self.episode.questions, *due))


class _Arriving:
    """What a stream brings. Once it failed it fails again: a later look would find it at its end.

    So a copy of the episode, or one that was stepped on after the error, is not taken for a shorter
    one.
    """

    def __init__(self, items: Iterator[Streamed]) -> None:
        self._items = items
        self._error: Exception | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Streamed:
        if self._error is not None:
            raise self._error
        try:
            item = next(self._items)
            if not isinstance(item, str | Chunk | Question):
                raise DataError(
                    f"stream: expected a Chunk, a Question or a str, found {type(item).__name__}."
                )
        except StopIteration:
            raise
        except Exception as error:
            self._error = error
            raise
        return item


def make_feed(
    episode: Episode | Stream,
    settings: Settings,
    rng: np.random.Generator,
    count_tokens: Callable[[str], int],
) -> Feed:
    """The feed of an episode, whichever way it comes; arguments as of `Session`."""
    if isinstance(episode, Stream):
        return StreamFeed(episode, settings, rng, count_tokens)
    return EpisodeFeed(episode, settings, rng, count_tokens)


def tokens_of(chunk: Chunk, count_tokens: Callable[[str], int], media: bool) -> int:
    """Tokens of a chunk: of its text and the text form of its media, and of these themselves.

    Args:
        chunk: what is read, its media with their names.
        count_tokens: counts a text.
        media: whether they can be named; else their text form alone counts.
    """
    tokens = count_tokens(chunk.text)
    for medium in chunk.media:
        tokens += count_tokens(shown_form(medium, named=media)) + (medium.tokens if media else 0)
    return tokens


def _with_names(episode: Episode) -> Episode:
    """`episode` with its media named in the order in which they are read."""
    if not any(chunk.media for chunk in episode.chunks):
        return episode
    chunks: list[Chunk] = []
    before = 0
    for chunk in episode.chunks:
        chunks.append(dataclasses.replace(chunk, media=called(chunk.media, before)))
        before += len(chunk.media)
    return dataclasses.replace(episode, chunks=tuple(chunks))


def _chunk(item: str | Chunk, t: int) -> Chunk:
    return Chunk(f"c{t}", item) if isinstance(item, str) else item
