"""What the local reader knows of a text before any question: derived once, cached by text."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise

from finemem_env.readers.lexicon import DATE, NUMBER, STOP, Kind, asked_kind, stem
from finemem_env.text import approx_tokens, parse_example, split_sentences, words
from finemem_env.textcache import TextCache

__all__ = ["CANDIDATES", "EXAMPLES", "QUERIES", "Candidate", "Example", "Query", "stems"]

_SERIAL = re.compile(r"\W*(?:fact\s+)?#?(\d{1,9})[.):]\s", re.IGNORECASE)
_ISO_DATE = re.compile(r"(?<!\d)(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d))?(?!\d)")
_NAME = re.compile(r"(?<=\s)[\"'“‘(\[]*([^\W\d_a-z]\w+)")
_ASKING = frozenset(("what", "which", "who", "whom", "whose", "when", "where", "how", "why"))
_HEAD = 0.7  # what a word of the question loses in nearness to the question word, per word between
_HEADING_WORDS = 6  # of a first line that only dates what follows: "Date: 2024-01-03."
_FUNCTION_SHARE = 0.15  # weight of a function word beside a content word


@dataclass(frozen=True, slots=True)
class Candidate:
    """One sentence of an item that may answer a question.

    `order` says whether it is newer than another: (0, serial number) or (1, year, month, day, hour,
    minute), the latter also from an item's first line that dates the rest; None: it does not say.
    `hints` are its stems by the kind of word they are.
    """

    index: int  # in split_sentences(item)
    text: str
    tokens: int
    terms: frozenset[str]
    topic: frozenset[str]  # terms but for serial number and dates
    exact: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    hints: dict[Kind, frozenset[str]]
    asks: bool  # a question answers none
    order: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Query:
    """One question: its stems in order of first use, with the weight each has beside its idf."""

    terms: frozenset[str]
    exact: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    shares: dict[str, float]  # stem → 1, less for function words
    heads: dict[str, float]  # content stem → nearness to the question word, at most 1
    kind: Kind | None


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
    return frozenset(map(stem, words(text)))


def _topic(sentence: str) -> frozenset[str]:
    serial = _SERIAL.match(sentence)
    return stems(_ISO_DATE.sub(" ", sentence[serial.end() if serial else 0 :]))


def _order(sentence: str, heading: tuple[int, ...] | None) -> tuple[int, ...] | None:
    serial = _SERIAL.match(sentence)
    if serial:
        return 0, int(serial[1])
    return _date(sentence) or heading


def _date(text: str) -> tuple[int, ...] | None:
    found = _ISO_DATE.search(text)
    return (1, *(int(part or 0) for part in found.groups())) if found else None


def _candidate(index: int, text: str, heading: tuple[int, ...] | None) -> Candidate:
    found = words(text)
    sequence = list(map(stem, found))
    return Candidate(
        index=index,
        text=text,
        tokens=approx_tokens(text),
        terms=frozenset(sequence),
        topic=_topic(text) or frozenset(sequence),
        exact=frozenset(found),
        pairs=frozenset(pairwise(sequence)),
        hints={
            "name": stems(" ".join(_NAME.findall(text))),
            "date": stems(" ".join(DATE.findall(text))),
            "number": frozenset(
                term for term, word in zip(sequence, found, strict=True) if NUMBER.search(word)
            ),
        },
        asks=text.rstrip("\"'”’)").endswith(("?", "？")),
        order=_order(text, heading),
    )


def _candidates(item: str) -> tuple[Candidate, ...]:
    sentences = split_sentences(item)
    heading = None
    if sentences and len(words(sentences[0])) <= _HEADING_WORDS:
        heading = _date(sentences[0])
    return tuple(_candidate(i, sentence, heading) for i, sentence in enumerate(sentences))


def _examples(item: str) -> tuple[Example, ...]:
    found = []
    for i, sentence in enumerate(split_sentences(item)):
        parsed = parse_example(sentence)
        if parsed:
            terms = stems(parsed[0])
            found.append(Example(i, sentence, terms, parsed[1], math.sqrt(1 + len(terms))))
    return tuple(found)


def _query(question: str) -> Query:
    found = words(question)
    sequence = list(map(stem, found))
    asked_at = next((i for i, word in enumerate(found) if word in _ASKING), 0)
    heads: dict[str, float] = {}
    for i, (word, term) in enumerate(zip(found, sequence, strict=True)):
        if word not in STOP:
            heads.setdefault(term, _HEAD ** abs(i - asked_at))
    return Query(
        terms=frozenset(sequence),
        exact=frozenset(found),
        pairs=frozenset(pairwise(sequence)),
        shares={term: 1.0 if term in heads else _FUNCTION_SHARE for term in sequence},
        heads=heads,
        kind=asked_kind(question),
    )


# About 130 bytes a character, 260 MB when full: enough for 219 chunks of 2,000 tokens.
CANDIDATES: TextCache[tuple[Candidate, ...]] = TextCache(_candidates, max_chars=2_000_000)
EXAMPLES: TextCache[tuple[Example, ...]] = TextCache(_examples, max_chars=1_000_000)
QUERIES: TextCache[Query] = TextCache(_query, max_chars=1_000_000)
