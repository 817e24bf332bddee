"""What the local reader knows of a text before any question: derived once, cached by text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from sys import intern
from typing import Any, NamedTuple

from finemem_env.readers.lexicon import (
    ASKING,
    DATE,
    WORDS,
    asked_kind,
    asks,
    is_closed,
    is_name,
)
from finemem_env.readers.question_words import Kind
from finemem_env.text import TextCache, approx_tokens, parse_example, split_sentences
from finemem_env.text.folding import is_plain, nfc
from finemem_env.text.function_words import STOP
from finemem_env.text.search_terms import TERMS, placed_terms, search_terms
from finemem_env.text.unicode_tables import MARK, SYLLABLES, UNSPACED

_SERIAL = re.compile(r"\W*(?:fact\s+)?#?(\d{1,9})(?:[.):]\s|[、．：）])", re.IGNORECASE)
_ISO_DATE = re.compile(r"(?<!\d)(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d))?(?!\d)")
_NAME = re.compile(
    rf"\s[\"'“‘„«(\[]*([^\W\d_a-z](?=\w|{MARK})\w*(?:{MARK}+\w*)*)"  # of two letters at least
)
# Chinese and Japanese write a dot within a foreign name: the letters beside it belong to the name.
_DOTTED = re.compile(f"[{SYLLABLES}]{{1,2}}(?=[·・])|(?<=[·・])[{SYLLABLES}]{{1,2}}")
_UNSPACED = re.compile(f"[{UNSPACED}]")
_CLAUSE = 20  # fewest letters of a part of an unpunctuated text
_HEAD = 0.7  # what a word of the question loses in nearness to the question word, per word between
_HEADING_WORDS = 6  # of a first line that only dates what follows: "Date: 2024-01-03."
_NAMED = 0.5  # share of the names in a question that shown texts must hold
_TOLD = 0.25  # the same of its content words, where it tells no names
_NONE: frozenset[Any] = frozenset()
_FUNCTION_SHARE = 0.15  # weight of a function word beside a content word


@dataclass(slots=True, eq=False)  # unchanged once made; frozen ones take twice as long to make
class Candidate:
    """One sentence of an item that may answer a question.

    `hints` are its stems by the kind of word they are. What few questions ask for is derived when
    it is asked for, and nothing is held twice: a long episode has 100,000 of these.
    """

    index: int  # in split_sentences(item)
    text: str
    tokens: int
    words: tuple[str, ...]
    sequence: tuple[str, ...]  # the stem of every word
    terms: frozenset[str]
    hints: Hints
    asks: bool  # a question answers none
    heading: tuple[int, ...] | None  # of the item

    @property
    def topic(self) -> frozenset[str]:
        """Its terms but for serial number and dates."""
        return _TOPICS[self.text] or self.terms

    @property
    def order(self) -> tuple[int, ...] | None:
        """Whether it is newer than another: larger among those of one kind; None: it says nothing.

        (0, serial number) or (1, year, month, day, hour, minute), the latter also from an item's
        first line that dates the rest.
        """
        serial = _SERIAL.match(self.text)
        if serial:
            return 0, int(serial[1])
        return _date(self.text) or self.heading


class Hints(NamedTuple):
    """Stems of a sentence that may be what a question asks for, by the `Kind` of what is asked."""

    name: tuple[str, ...]
    date: tuple[str, ...]
    number: tuple[str, ...]


class Query(NamedTuple):
    """One question: its stems in order of first use, with the weight each has beside its idf."""

    closed: bool  # yes or no answers it
    terms: frozenset[str]
    exact: frozenset[str]
    after: dict[str, str]  # stem → the one behind it where it stands first
    pairs: frozenset[tuple[str, str]]  # of neighbours elsewhere
    twin: bool  # two neighbours are one stem
    shares: dict[str, float]  # stem → 1, less for function words
    heads: dict[str, float]  # content stem → nearness to the question word, at most 1
    kind: Kind | None
    subject: frozenset[str]  # stems of whom or what it asks about
    least: float  # how many of those a text must hold that says something about it


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled example line of an item."""

    index: int  # in split_sentences(item)
    line: str
    terms: frozenset[str]  # of the text, the label left out
    label: str
    root: float  # of its length, which likeness is divided by


def stems(text: str) -> frozenset[str]:
    """The distinct stems of a text."""
    return frozenset([WORDS[term][0] for term in search_terms(text)])


def _topic(sentence: str) -> frozenset[str]:
    """Empty where it is all of the terms, or nothing is left of them."""
    serial = _SERIAL.match(sentence)
    if serial is None and _date(sentence) is None:
        return _NONE
    return stems(_ISO_DATE.sub(" ", sentence[serial.end() if serial else 0 :]))


def _date(text: str) -> tuple[int, ...] | None:
    match = _ISO_DATE.search(text) if "-" in text else None
    return (1, *(int(part or 0) for part in match.groups())) if match else None


def _candidate(index: int, text: str, heading: tuple[int, ...] | None) -> Candidate:
    text = nfc(text)
    terms = tuple(map(intern, TERMS[text]))
    read = [WORDS[term] for term in terms]
    sequence = tuple([stem for stem, _, _ in read])
    if is_plain(text) and "_" not in text:  # terms are its whole words
        dates = frozenset([stem for stem, _, date in read if date])
    else:
        dates = stems(" ".join(DATE.findall(text)))
    return Candidate(
        index=index,
        text=text,
        tokens=approx_tokens(text),
        words=terms,
        sequence=sequence,
        terms=frozenset(sequence),
        hints=Hints(
            name=tuple(stems(" ".join(_capitals(text)))),
            date=tuple(dates),
            number=tuple({stem for stem, number, _ in read if number}),
        ),
        asks=asks(text),
        heading=heading,
    )


def _candidates(item: str) -> tuple[Candidate, ...]:
    sentences = split_sentences(item)
    heading = _date(sentences[0]) if sentences else None
    if heading and len(search_terms(sentences[0])) > _HEADING_WORDS:
        heading = None
    return tuple(
        _candidate(i, clause, heading)
        for i, sentence in enumerate(sentences)
        for clause in _clauses(sentence)
    )


def _clauses(sentence: str) -> Sequence[str]:
    """The parts to choose from: of a text without full stops (Thai, Lao), those between spaces.

    A space also stands in names and around numbers, so that short parts are joined, and what has no
    letter of such a text to what precedes it.
    """
    if sentence.isascii() or not _UNSPACED.search(sentence):
        return (sentence,)
    parts = [""]
    for part in sentence.split():
        if len(_UNSPACED.findall(parts[-1])) < _CLAUSE or not _UNSPACED.search(part):
            parts[-1] = f"{parts[-1]} {part}".lstrip()
        else:
            parts.append(part)
    return parts


def _examples(item: str) -> tuple[Example, ...]:
    examples = []
    for i, sentence in enumerate(map(nfc, split_sentences(item))):
        parsed = parse_example(sentence)
        if parsed:
            terms = stems(parsed[0])
            examples.append(Example(i, sentence, terms, parsed[1], math.sqrt(1 + len(terms))))
    return tuple(examples)


def _capitals(text: str) -> list[str]:
    """The words inside its sentences, in NFC, that are written with a capital."""
    found: list[str] = _NAME.findall(text)
    return found if text.isascii() else [word for word in found if is_name(word)]


def _subject(question: str, content: Iterable[str]) -> tuple[frozenset[str], float]:
    """`Query.subject` and `Query.least`: the names where capitals tell them, else content words."""
    names = _capitals(question)
    if not question.isascii():
        names += _DOTTED.findall(question)
    subject = stems(" ".join(names)) - STOP
    if subject:
        return subject, _NAMED * len(subject)
    subject = frozenset(content)
    return subject, _TOLD * len(subject)


def _query(question: str) -> Query:
    question = nfc(question)
    placed = placed_terms(question)
    read = [(word, WORDS[word][0], place) for word, place in placed]
    asked = [(term, place) for word, term, place in read if word in ASKING]
    asked_at = asked[0][1] if asked else 0.0 if question.isascii() else None
    heads: dict[str, float] = {}
    for word, term, place in read:
        if word not in STOP and term not in heads:
            heads[term] = 1.0 if asked_at is None else _HEAD ** abs(place - asked_at)
    sequence = [term for _, term, _ in read]
    after: dict[str, str] = {}
    pairs = {pair for pair in pairwise(sequence) if after.setdefault(*pair) != pair[1]}
    subject, least = _subject(question, heads.keys() - {term for term, _ in asked})
    return Query(
        closed=is_closed(question),
        terms=frozenset(sequence),
        exact=frozenset([word for word, _ in placed]),
        after=after,
        pairs=frozenset(pairs) if pairs else _NONE,
        twin=any([one == other for one, other in (*after.items(), *pairs)]),
        shares={term: 1.0 if term in heads else _FUNCTION_SHARE for term in sequence},
        heads=heads,
        kind=asked_kind(question),
        subject=subject,
        least=least,
    )


_TOPICS: TextCache[frozenset[str]] = TextCache(_topic, max_chars=1_000_000)
# 20 to 40 bytes a character, at most 280 MB when full: enough for 1.4M tokens.
CANDIDATES: TextCache[tuple[Candidate, ...]] = TextCache(_candidates, max_chars=7_000_000)
EXAMPLES: TextCache[tuple[Example, ...]] = TextCache(_examples, max_chars=1_000_000)
QUERIES: TextCache[Query] = TextCache(_query, max_chars=1_000_000)
