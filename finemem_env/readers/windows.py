"""Cutting a sentence that is longer than an answer may be to the stretch that answers best.

Without this, deleting full stops would make one long "sentence" of a whole item, and with it an
answer that holds everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import accumulate
from typing import NamedTuple

from finemem_env.readers.candidates import Query
from finemem_env.readers.lexicon import DATE, NUMBER, STOP, Kind, stem
from finemem_env.text import TextCache, approx_tokens, words

__all__ = ["cut", "trim"]

# Scripts without spaces are cut between characters, and so are words of absurd length.
_WIDE = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_PIECE = re.compile(rf"[{_WIDE}]|[^\s{_WIDE}]{{1,40}}")
_MARKS = "\"'“”‘’()[].,;:!?"
_NEAR = 0.76  # what a matching word adds to its neighbour, to the power of the distance in words
_HEAD = 2.0  # extra weight of a match beside the question word: it is closest to the answer
_KIND = 8.0  # extra weight of a word of the asked kind
_NAMED = 1.0  # extra weight of any name or number
_AT_START, _AT_END, _AT_PAUSE = 0.05, 0.15, 0.1  # bonus for borders that cut no phrase


class _Piece(NamedTuple):
    """A word with its marks: its place in the sentence, its stems, and what it may answer."""

    start: int
    end: int
    stems: tuple[str, ...]
    kinds: frozenset[Kind]
    pause: bool


def cut(sentence: str, limit: int, query: Query, weights: Mapping[str, float]) -> str:
    """The stretch of at most `limit` tokens that holds most of what may answer the question.

    A word counts by how near it is to words of the question, not being one itself, and more when
    it is of the asked kind. Of several best stretches the first is taken.

    Args:
        sentence: any text; returned whole when it fits.
        limit: longest answer, in `approx_tokens`.
        query: the question.
        weights: idf of the question's stems.
    """
    if approx_tokens(sentence) <= limit:
        return sentence
    parts = _PARTS[sentence]
    pieces = parts.pieces
    sums = [0.0, *accumulate(_values(pieces, query, weights))]
    total = sums[-1] or 1.0
    best, span = -1.0, (0, 1)
    for start, stop in parts.spans(limit):
        value = (sums[stop] - sums[start]) / total
        value += _AT_START * (start == 0) + _AT_PAUSE * pieces[stop - 1].pause
        value += _AT_END * (stop == len(pieces))
        if value > best:
            best, span = value, (start, stop)
    return trim(sentence[pieces[span[0]].start : pieces[span[1] - 1].end], limit)


def trim(text: str, limit: int) -> str:
    """The start of `text` that fits into `limit` tokens, whole words where there are any."""
    size = approx_tokens(text)
    while size > max(limit, 0):
        stop = min(len(text) - 1, len(text) * max(limit, 0) // size)
        space = text.rfind(" ", 0, stop + 1)
        text = text[: space if space > 0 else stop].rstrip()
        size = approx_tokens(text)
    return text


def _values(pieces: tuple[_Piece, ...], query: Query, weights: Mapping[str, float]) -> list[float]:
    """How likely each piece belongs to the answer."""
    heads = query.heads
    match = [
        max([weights[s] * (1 + _HEAD * heads[s]) for s in piece.stems if s in heads], default=0.0)
        for piece in pieces
    ]
    before = list(accumulate(match, lambda near, found: near * _NEAR + found))
    after = list(accumulate(reversed(match), lambda near, found: near * _NEAR + found))[::-1]
    return [
        (before[i] + after[i] - match[i]) ** 2 * _promise(piece, query)
        for i, piece in enumerate(pieces)
    ]


def _promise(piece: _Piece, query: Query) -> float:
    """0 for words of the question and function words, more for names, numbers and what is asked."""
    if not piece.stems or all(s in query.terms or s in STOP for s in piece.stems):
        return 0.0
    return 1.0 + _NAMED * bool(piece.kinds) + _KIND * (query.kind in piece.kinds)


class _Parts:
    """The pieces of one long sentence, and the stretches of them that fit into an answer."""

    def __init__(self, sentence: str) -> None:
        self.pieces = tuple(_piece(match) for match in _PIECE.finditer(sentence))
        self._sentence = sentence
        self._spans: dict[int, tuple[tuple[int, int], ...]] = {}

    def spans(self, limit: int) -> tuple[tuple[int, int], ...]:
        """Ranges of pieces that fit into `limit` tokens and cannot be made longer at their end."""
        if limit not in self._spans:
            self._spans[limit] = tuple(self._find(limit))
        return self._spans[limit]

    def _find(self, limit: int) -> Iterator[tuple[int, int]]:
        pieces, text, stop = self.pieces, self._sentence, 0
        for start, first in enumerate(pieces):
            longest = stop
            stop = max(stop, start + 1)
            while stop < len(pieces):
                if approx_tokens(text[first.start : pieces[stop].end]) > limit:
                    break
                stop += 1
            if stop > longest:
                yield start, stop
            if stop == len(pieces):
                return


def _piece(match: re.Match[str]) -> _Piece:
    bare = match[0].strip(_MARKS)
    kinds = _kinds(
        bool(match.start() and bare[:1].isupper()),
        bool(NUMBER.search(bare)),
        bool(DATE.search(bare)),
    )
    stems = tuple(map(stem, words(bare)))
    return _Piece(match.start(), match.end(), stems, kinds, match[0][-1] in ",;:)")


@cache
def _kinds(name: bool, number: bool, date: bool) -> frozenset[Kind]:
    """One object for each combination, since pieces are many."""
    given: tuple[tuple[Kind, bool], ...] = (("name", name), ("number", number), ("date", date))
    return frozenset(kind for kind, holds in given if holds)


_PARTS: TextCache[_Parts] = TextCache(_Parts, max_chars=500_000)
