"""The words and letters between which a long sentence may be cut, and what each may answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from finemem_env.readers.lexicon import DATE, NUMBER, stem
from finemem_env.readers.question_words import Kind
from finemem_env.text.search_terms import LETTER, SYLLABLE, neighbours, search_terms, unvaried
from finemem_env.text.unicode_tables import MARK, SYLLABLES, UNSPACED

# Scripts without spaces are cut between letters, and so are words of absurd length.
LONGEST = 40
_PIECE = re.compile(
    rf"([{SYLLABLES}]{MARK}*)|([{UNSPACED}]{MARK}*)|[^\s{SYLLABLES}{UNSPACED}]{{1,{LONGEST}}}"
)
_MARKS = "\"'“”‘’()[].,;:!?"
_PAUSES = ",;:)，；：）、،؛"


class Piece(NamedTuple):
    """A word with its punctuation, or a letter of a script without spaces.

    Its place in the sentence, its stems, what it may answer, whether a pause follows, and its size
    in words: 1, or less for a letter.
    """

    start: int
    end: int
    stems: tuple[str, ...]
    kinds: frozenset[Kind]
    pause: bool
    size: float


def pieces_of(sentence: str) -> Iterator[Piece]:
    """All pieces of a sentence, in order; white space is in none."""
    run: list[re.Match[str]] = []
    for match in _PIECE.finditer(sentence):
        if run and (match.lastindex != run[0].lastindex or match.start() != run[-1].end()):
            yield from _letters(run)
            run = []
        if match.lastindex:
            run.append(match)
        else:
            yield _word(match)
    yield from _letters(run)


def _letters(run: Sequence[re.Match[str]]) -> Iterator[Piece]:
    """Neighbouring letters, each with the search terms that it is part of."""
    parts = [unvaried(match[0]) for match in run]
    syllables = bool(run) and run[0].lastindex == 1
    sizes = (1,) if len(parts) == 1 else (1, 2) if syllables else (2, 3)
    terms = [(size, neighbours(parts, size)) for size in sizes]
    share = SYLLABLE if syllables else LETTER
    for i, match in enumerate(run):
        own = [term for size, texts in terms for term in texts[max(0, i - size + 1) : i + 1]]
        yield Piece(match.start(), match.end(), tuple(own), frozenset(), False, share)


def _word(match: re.Match[str]) -> Piece:
    bare = match[0].strip(_MARKS)
    kinds = _kinds(
        bool(match.start() and bare[:1].isupper()),
        bool(NUMBER.search(bare)),
        bool(DATE.search(bare)),
    )
    stems = tuple(map(stem, search_terms(bare)))
    return Piece(match.start(), match.end(), stems, kinds, match[0][-1] in _PAUSES, 1.0)


@cache
def _kinds(name: bool, number: bool, date: bool) -> frozenset[Kind]:
    """One object for each combination, since pieces are many."""
    holding: tuple[tuple[Kind, bool], ...] = (("name", name), ("number", number), ("date", date))
    return frozenset(kind for kind, holds in holding if holds)
