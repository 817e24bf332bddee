"""The shape of a language: sentence templates, with the questions that each of them answers.

Templates are format strings. Slots: {p} person, {v} value, {d} deed, {tail} circumstance, {q} a
second person, {s} a clause, {n} a number of times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Relation:
    """A fact about one person that can be asked, and that a later sentence can overwrite.

    `final` is the wording of final questions, `alternate` and `inverse` those of chunk questions
    (`inverse` gives the value and asks for the person).
    """

    name: str
    value: Literal["code", "word"]
    statement: str
    final: str
    alternate: str
    inverse: str


# What is asked about a person by a code; by an invented word everything else.
_CODES = ("locker", "badge", "account")


def relations(**wordings: tuple[str, str, str, str]) -> tuple[Relation, ...]:
    """The relations by name, each with its statement, final, alternate and inverse question."""
    return tuple(
        Relation(name, "code" if name in _CODES else "word", *texts)
        for name, texts in wordings.items()
    )


@dataclass(frozen=True, slots=True)
class EventForm:
    """An event that is asked about only in sum. `tally` is the canonical sentence that answers.

    `alternates` are the wordings of chunk questions ("so far, …").
    """

    event: str
    tally: str
    final: str
    alternates: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Noise:
    """Talk that no final question asks about: two slots {a} and {b}, each asked for by a question.

    Only `misaligned_chunk_questions` uses the questions.
    """

    sentence: str
    a: Literal["word", "person"]
    b: Literal["word", "person"]
    ask_b: str
    ask_a: str


@dataclass(frozen=True, slots=True)
class Language:
    """Everything the generators say in one language.

    `person` and `value` are the regular expressions of names and values; `times` is what follows a
    count (one, several); `numerals[n]` are the words for n. `section` lists the members of a team
    ({d}: one of `teams`, or `both`; {s}: members) in a team tally.
    """

    code: str
    person: str
    value: str
    date: str
    rumour: str
    visitor: str
    wonder: str
    unverified: str
    glue: tuple[str, ...]
    tails: tuple[str, ...]
    relations: tuple[Relation, ...]
    deeds: tuple[str, ...]
    count: EventForm
    order: EventForm
    team: EventForm
    teams: tuple[str, str]
    both: str
    section: str
    comma: str
    semicolon: str
    pair: str
    times: tuple[str, str]
    numerals: Mapping[int, tuple[str, ...]]
    noise: tuple[Noise, ...]
