"""Cutting a sentence that is longer than an answer may be to the stretch that answers best.

Without this, deleting full stops would make one long "sentence" of a whole item, and with it an
answer that holds everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from finemem_env.readers.candidates import Query
from finemem_env.readers.pieces import LONGEST, Piece, pieces_of
from finemem_env.text import TextCache, approx_tokens
from finemem_env.text.folding import nfc
from finemem_env.text.function_words import STOP
from finemem_env.text.unicode_tables import MARK, SYLLABLES, UNSPACED

_NEAR = 0.76  # what a matching word adds to its neighbour, to the power of the distance in words
_UNPARTED = re.compile(f"[{SYLLABLES}{UNSPACED}]")
_MARK = re.compile(MARK)
_HEAD = 2.0  # extra weight of a match beside the question word: it is closest to the answer
_KIND = 8.0  # extra weight of a word of the asked kind
_NAMED = 1.0  # extra weight of any name or number
_AT_START, _AT_END, _AT_PAUSE = 0.05, 0.15, 0.1  # bonus for borders that cut no phrase


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
    """The start of `text` that fits into `limit` tokens, whole words where there are any. NFC."""
    text = nfc(text)
    size = approx_tokens(text)
    while size > max(limit, 0):
        stop = min(len(text) - 1, len(text) * max(limit, 0) // size)
        text = text[: _border(text, stop)].rstrip()
        size = approx_tokens(text)
    return text


def _border(text: str, stop: int) -> int:
    """The last place up to `stop` that is not inside a word; `stop` where there is none."""
    space = text.rfind(" ", 0, stop + 1)
    if text.isascii():
        return space if space > 0 else stop
    for place in range(stop, max(space, stop - LONGEST), -1):
        if _UNPARTED.match(text, place):
            return place
    if space > 0:
        return space
    while stop and _MARK.match(text, stop):
        stop -= 1
    return stop


def _values(pieces: tuple[Piece, ...], query: Query, weights: Mapping[str, float]) -> list[float]:
    """How likely each piece belongs to the answer."""
    heads = query.heads
    match = [
        max([weights[s] * (1 + _HEAD * heads[s]) for s in piece.stems if s in heads], default=0.0)
        for piece in pieces
    ]
    before = _spread(pieces, match)
    after = _spread(pieces[::-1], match[::-1])[::-1]
    return [
        (before[i] + after[i] - match[i]) ** 2 * _promise(piece, query)
        for i, piece in enumerate(pieces)
    ]


def _spread(pieces: Sequence[Piece], match: Sequence[float]) -> list[float]:
    """What each piece gets from the matches up to it."""
    shares, near = [], 0.0
    for piece, value in zip(pieces, match, strict=True):
        near = near * _NEAR**piece.size + value
        shares.append(near)
    return shares


def _promise(piece: Piece, query: Query) -> float:
    """0 for words of the question and function words, more for names, numbers and what is asked."""
    known = (s in query.terms or s in STOP for s in piece.stems)
    if not piece.stems or (any(known) if piece.size < 1 else all(known)):
        return 0.0
    return 1.0 + _NAMED * bool(piece.kinds) + _KIND * (query.kind in piece.kinds)


class _Parts:
    """The pieces of one long sentence, and the stretches of them that fit into an answer."""

    def __init__(self, sentence: str) -> None:
        self.pieces = tuple(pieces_of(sentence))
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


_PARTS: TextCache[_Parts] = TextCache(_Parts, max_chars=500_000)
