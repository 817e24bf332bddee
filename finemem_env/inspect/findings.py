"""What became of every final question: its evidence, followed from the chunk to the answer.

Of each piece of evidence the furthest place is found: never written, refused, written and lost
again, in the memory but not retrieved, or shown to the reader. A question that is not answered was
lost at the piece that got least far; where one piece is enough (a label that several examples
teach), at the one that got furthest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from finemem_env.errors import ConfigError
from finemem_env.inspect.holding import Shelf, Wanted, wanted
from finemem_env.inspect.story import DELETED, Life, Story
from finemem_env.media import stored_form
from finemem_env.retrieval import make_retriever
from finemem_env.text import split_sentences
from finemem_env.trace import Trace, TraceAnswer
from finemem_env.types import Operation, OperationResult


class Where(StrEnum):
    """How far a piece of evidence, or a question, got; in this order, and two ends."""

    NEVER_STORED = "never stored"
    REFUSED = "refused"
    OVERWRITTEN = "overwritten"
    DELETED = "deleted"
    NOT_RETRIEVED = "not retrieved"
    MISREAD = "misread"
    ANSWERED = "answered"
    FAILED = "reader failed"
    UNKNOWN = "cannot be told"


_ORDER = list(Where)


@dataclass(frozen=True, slots=True)
class Trail:
    """One piece of evidence: where it ended, and how.

    `chunk` is -1 where only the gold answer could be looked for. `where` is MISREAD when the reader
    was shown it. `step` refused it, overwrote it or deleted it; `reason` says why it was refused.
    `item` held it last, and `rank` is that item's among all that could be shown (from 1; None where
    the search does not find it, or, as `reason` says, cannot be made here).
    """

    chunk: int
    where: Where
    step: int | None = None
    reason: str = ""
    item: int | None = None
    rank: int | None = None

    @property
    def text(self) -> str:
        """As a person reads it."""
        of = "" if self.item is None else f" (item {self.item})"
        match self.where:
            case Where.REFUSED:
                return f"refused at step {self.step} ({self.reason})"
            case Where.OVERWRITTEN | Where.DELETED:
                return f"{self.where} at step {self.step}{of}"
            case Where.NOT_RETRIEVED:
                rank = self.reason or ("not found" if self.rank is None else f"rank {self.rank}")
                return f"not retrieved ({rank}, item {self.item})"
            case Where.MISREAD:
                return f"shown{of}"
        return str(self.where)


@dataclass(frozen=True, slots=True)
class Finding:
    """A final question: `where` it was lost, or ANSWERED; decided by `trail`.

    `outcome` is "answered", "partly", "lost" or "failed". `golds_only`: no evidence is recorded, so
    that the gold answer's words were looked for. `at`: the step after which it was asked.
    """

    answer: TraceAnswer
    outcome: str
    where: Where
    trails: tuple[Trail, ...]
    trail: Trail | None
    at: int
    golds_only: bool

    @property
    def text(self) -> str:
        """Where it was lost, as a person reads it; "" for an answered question."""
        if self.where in (Where.ANSWERED, Where.FAILED):
            return ""
        if self.trail is None or self.where in (Where.MISREAD, Where.UNKNOWN):
            return str(self.where)
        return self.trail.text


def find(trace: Trace, story: Story) -> tuple[Finding, ...]:
    """A finding for every final question of a trace, in order."""
    library = _Library(trace, story)
    return tuple(_find(trace, story, answer, library) for answer in trace.answers)


def _find(trace: Trace, story: Story, answer: TraceAnswer, library: _Library) -> Finding:
    at = _asked_at(trace, story, answer)
    evidence = [(piece.chunk, piece.sentence) for piece in answer.evidence or ()]
    pieces = wanted(answer.golds, evidence, lambda chunk: _chunk(trace, chunk))
    trails = () if story.problem else tuple(_trail(answer, at, p, library) for p in pieces)
    outcome = "answered" if answer.score >= 1.0 else "partly" if answer.score > 0.0 else "lost"
    trail = _decisive(trails, answer)
    if answer.failed:
        outcome, where = "failed", Where.FAILED
    elif outcome == "answered":
        where = Where.ANSWERED
    else:
        where = trail.where if trail is not None else Where.UNKNOWN
    return Finding(answer, outcome, where, trails, trail, at, golds_only=not evidence)


def _asked_at(trace: Trace, story: Story, answer: TraceAnswer) -> int:
    """The step after which it was asked; in an old trace the last one with all that was shown."""
    last = len(trace.steps) - 1
    if answer.asked_after is not None:
        return max(0, min(answer.asked_after, last))
    for step in range(last, -1, -1):
        if all(story.item(item_id, step) is not None for item_id in answer.shown):
            return step
    return last


def _chunk(trace: Trace, chunk: int) -> str | None:
    step = trace.steps[chunk] if 0 <= chunk < len(trace.steps) else None
    if step is None or step.chunk is None:
        return None
    return "\n".join([step.chunk, *map(stored_form, step.media)])


def _decisive(trails: Sequence[Trail], answer: TraceAnswer) -> Trail | None:
    """The trail that decides: one example is enough for a label, otherwise all are needed."""
    choose: Callable[..., Trail | None] = max if answer.type == "label" else min
    return choose(trails, key=lambda trail: _ORDER.index(trail.where), default=None)


class _Library:
    """Where evidence is looked for: what stood in the memory, and what was emitted."""

    def __init__(self, trace: Trace, story: Story) -> None:
        self.story, self.ranks = story, _Ranks(trace, story)
        self._stood = Shelf(
            [(sentence.text, sentence.step) for sentence in life.item.sentences]
            for life in story.lives
        )
        self._written: tuple[tuple[int, OperationResult], ...] = ()
        self._emitted: Shelf | None = None

    def holding(self, piece: Wanted, at: int) -> list[Life]:
        """What of the memory held it until step `at`, in order."""
        lives = (self.story.lives[place] for place in self._stood.holding(piece))
        return [life for life in lives if life.start <= at]

    def last_emitted(self, piece: Wanted, at: int) -> tuple[int, OperationResult] | None:
        """The last operation that had it until step `at`, with its step."""
        if self._emitted is None:
            writes = [
                (step, parsed.content, result)
                for step, pairs in enumerate(self.story.emitted)
                for parsed, result in pairs
                if isinstance(parsed, Operation) and parsed.content is not None
            ]
            self._written = tuple((step, result) for step, _, result in writes)
            self._emitted = Shelf(
                [(sentence, step) for sentence in split_sentences(content)]
                for step, content, _ in writes
            )
        found = (self._written[place] for place in self._emitted.holding(piece))
        return max((one for one in found if one[0] <= at), key=lambda one: one[0], default=None)


def _trail(answer: TraceAnswer, at: int, piece: Wanted, library: _Library) -> Trail:
    """How far one piece of evidence got until step `at`."""
    holding = library.holding(piece, at)
    standing = [life for life in holding if life.stands(at)]
    shown = set(answer.shown)
    for life in standing:
        if life.item.id in shown:
            return Trail(piece.chunk, Where.MISREAD, item=life.item.id)
    if standing:
        query = answer.query or answer.question
        hidden = [(library.ranks(query, life, at), life.item.id) for life in standing]
        rank, item = min(hidden, key=lambda entry: entry[0] or len(library.story.lives) + 1)
        unknown = "" if library.ranks.known else "rank unknown"
        return Trail(piece.chunk, Where.NOT_RETRIEVED, reason=unknown, item=item, rank=rank)
    if holding:
        last = max(holding, key=lambda life: life.end or 0)
        where = Where.DELETED if last.how == DELETED else Where.OVERWRITTEN
        return Trail(piece.chunk, where, last.end, item=last.item.id)
    emitted = library.last_emitted(piece, at)
    if emitted is None:
        return Trail(piece.chunk, Where.NEVER_STORED)
    step, result = emitted
    if result.reason is not None:
        return Trail(piece.chunk, Where.REFUSED, step, str(result.reason))
    # Written and taken back within one step.
    return Trail(piece.chunk, Where.DELETED, step, item=result.item_id)


class _Ranks:
    """Ranks of items, by the search that the trace was made with where that is our BM25.

    `known` is False where it is not: then there are no ranks.
    """

    def __init__(self, trace: Trace, story: Story) -> None:
        self._settings, self._story = trace.settings, story
        made = self._made([])
        # An agent may have put a search of its own into the place of the one that is named.
        self.known = made is not None and trace.versions.get("retriever") in (None, made.version)
        self._indices: dict[tuple[int, str], Any] = {}
        self._orders: dict[tuple[int, str, str], list[int]] = {}

    def __call__(self, query: str, life: Life, at: int) -> int | None:
        """The rank, from 1, of an item among those of its store after step `at`."""
        key = (at, life.item.store, query)
        if not self.known:
            return None
        if key not in self._orders:
            index = self._index(at, life.item.store)
            self._orders[key] = [] if index is None else index.search(query, len(self._story.lives))
        order = self._orders[key]
        return order.index(life.item.id) + 1 if life.item.id in order else None

    def _index(self, at: int, store: str) -> Any:  # noqa: ANN401
        if (at, store) not in self._indices:
            standing = [life.item for life in self._story.at(at) if life.item.store == store]
            self._indices[at, store] = self._made([(item.id, item.content) for item in standing])
        return self._indices[at, store]

    def _made(self, contents: list[tuple[int, str]]) -> Any:  # noqa: ANN401
        config = self._settings.get("retriever")
        # A trace may be a stranger's: no other name is looked up, since it could import or load.
        if not isinstance(config, dict) or config.get("name") != "bm25":
            return None
        try:
            index = make_retriever(config, bm25=str(self._settings.get("bm25")))
        except (ConfigError, ValueError, KeyError):
            return None
        index.update((), contents)
        return index
