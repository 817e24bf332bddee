"""Dated conversations in chunks: every chunk opens with the header of the session that it tells.

[Dialogue between User and Assistant on 2023/04/10 (Mon) 17:50]
<User> I …
<Assistant> …
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from finemem_env.data.packing import Packed, Passage, PassagePiece
from finemem_env.data.passages import Layout
from finemem_env.data.whole import WholeSource
from finemem_env.types import Chunk, Evidence, Question

Place = tuple[int, int]  # (session, turn)


@dataclass(frozen=True, slots=True)
class TalkSession:
    """One conversation: its header line, its date as the publisher writes it, its turns."""

    header: str
    date: str
    turns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TalkQuestion:
    """A question about a talk, and the turns that answer it."""

    question: Question
    evidence: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Shared:
    """An image that a turn shares: where, under which name its file may lie, and what it shows."""

    place: Place
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Talk:
    """A publisher's conversation: its sessions, what is asked about them, and shared images."""

    name: str
    sessions: tuple[TalkSession, ...]
    asked: tuple[TalkQuestion, ...]
    shared: tuple[Shared, ...] = ()


@dataclass(frozen=True, slots=True)
class Transcript:
    """Where the turns went: turn j of session i is passage `first[i]` + j of the layout."""

    layout: Layout
    sessions: tuple[TalkSession, ...]
    first: tuple[int, ...]

    def chunks(self) -> tuple[Chunk, ...]:
        """The chunks, with the date of the session that each opens with."""
        return tuple(Chunk(f"c{i}", *self._opened(i)) for i in range(len(self.layout.chunks)))

    def evidence(self, turns: Iterable[tuple[int, int]]) -> tuple[Evidence, ...]:
        """The chunks that tell these turns, given as (session, turn), in order."""
        numbers = {self.first[session] + turn for session, turn in turns}
        steps = {step for number in numbers for step, _, _ in self.layout.places.get(number, ())}
        return tuple(Evidence(step) for step in sorted(steps))

    def question(self, entry: TalkQuestion, **fields: Any) -> Question:  # noqa: ANN401
        """A question with the chunks that answer it, and other `fields` changed."""
        return dataclasses.replace(entry.question, evidence=self.evidence(entry.evidence), **fields)

    def _opened(self, step: int) -> tuple[str, str | None]:
        chunk = self.layout.chunks[step]
        number = chunk.pieces[0].passage
        session = self.sessions[max(i for i, first in enumerate(self.first) if first <= number)]
        begun = chunk.text.startswith(session.header)
        text = chunk.text if begun else f"{session.header}\n{chunk.text}"
        return text, session.date or None


def tell(sessions: Iterable[TalkSession], cut: Callable[[Sequence[Passage]], Layout]) -> Transcript:
    """Lay out `sessions` in order, each turn a passage; those without a turn have no place."""
    ordered = tuple(sessions)
    passages: list[Passage] = []
    first: list[int] = []
    for session in ordered:
        first.append(len(passages))
        titles = (session.header, *[""] * len(session.turns))
        passages += [
            Passage(turn, title) for turn, title in zip(session.turns, titles, strict=False)
        ]
    return Transcript(cut(passages), ordered, tuple(first))


class TalkSource(WholeSource):
    """A source of conversations told whole: a chunk a session unless packing is asked for."""

    separator = "\n"

    def tell(self, rng: np.random.Generator, sessions: Sequence[TalkSession]) -> Transcript:
        """`sessions` in chunks."""
        return tell(sessions, lambda passages: self.cut_talk(rng, passages))

    def cut_talk(self, rng: np.random.Generator, passages: Sequence[Passage]) -> Layout:
        """The layout of turns; a session's first one has its header for a title."""
        if self.config.num_chunks is not None or self.config.chunk_tokens is not None:
            return self.cut(rng, passages)
        groups: list[list[int]] = []
        for number, passage in enumerate(passages):
            if passage.title or not groups:
                groups.append([])
            groups[-1].append(number)
        return Layout.of(passages, tuple(self._packed(passages, group) for group in groups))

    def _packed(self, passages: Sequence[Passage], numbers: Sequence[int]) -> Packed:
        text = self.separator.join(passages[number].block for number in numbers)
        return Packed(text, tuple(PassagePiece(i, 0, len(passages[i].text)) for i in numbers))


def date_prefix(date: str) -> str:
    """What comes before a question that is asked on `date`: answers such as "last week" need it."""
    return f"Current date: {date}\n" if date else ""
