"""Which generated sentences are worth keeping, what each is about, and how tallies are kept.

What is ever asked is recognisable by its kind, from the surface of one sentence: a person's
possessions, codes and places; events that are asked about in sum; labelled example lines. Never
asked: weather and small talk, hearsay ("Rumour has it that …"), facts about visitors, questions
wondered aloud, lines marked "Unverified:".

The canonical sentences that answer questions about several events, which `merge` maintains:

    Tally: Mara Velmor fed the goat 3 times.
    Route: Mara Velmor sailed to Tasin, Korbel, Dumat.
    Teams of Velmor: red Ilse Toran; both Mara Velmor and Dova Rintak.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from finemem_env.data.synthetic.chinese import CHINESE
from finemem_env.data.synthetic.english import ENGLISH
from finemem_env.data.synthetic.grammar import Language
from finemem_env.text import parse_example

LANGUAGES: dict[str, Language] = {"en": ENGLISH, "zh": CHINESE}
_SLOT = re.compile(r"\{(\w+)\}")
Shape = Literal["fact", "count", "order", "team"]


@dataclass(frozen=True, slots=True)
class _SentenceForm:
    """One recognisable sentence form. `name` is its relation, or "" for a form that adds up."""

    shape: Shape
    name: str
    language: Language
    pattern: re.Pattern[str]


def _any_of(options: tuple[str, ...]) -> str:
    return "(?:" + "|".join(map(re.escape, options)) + ")"


def _compile(template: str, slots: dict[str, str]) -> re.Pattern[str]:
    pattern, end = "", 0
    for match in _SLOT.finditer(template):
        pattern += re.escape(template[end : match.start()])
        pattern += f"(?P<{match[1]}>{slots[match[1]]})"
        end = match.end()
    return re.compile(pattern + re.escape(template[end:]))


def _statements(language: Language) -> list[_SentenceForm]:
    slots = {"p": language.person, "v": language.value, "tail": _any_of(language.tails)}
    deeds = slots | {"d": _any_of(language.deeds)}
    teams = slots | {"d": _any_of(language.teams)}
    return [
        *(
            _SentenceForm("fact", relation.name, language, _compile(relation.statement, slots))
            for relation in language.relations
        ),
        _SentenceForm("count", "", language, _compile(language.count.event, deeds)),
        _SentenceForm("order", "", language, _compile(language.order.event, slots)),
        _SentenceForm("team", "", language, _compile(language.team.event, teams)),
    ]


def _tallies(language: Language) -> list[_SentenceForm]:
    several = f"{language.value}(?:{re.escape(language.comma)}{language.value})*"
    slots = {"p": language.person, "d": _any_of(language.deeds), "s": ".+?"}
    count = slots | {"n": rf"\d+{_any_of(language.times)}"}
    return [
        _SentenceForm("count", "", language, _compile(language.count.tally, count)),
        _SentenceForm(
            "order", "", language, _compile(language.order.tally, slots | {"v": several})
        ),
        _SentenceForm(
            "team", "", language, _compile(language.team.tally, slots | {"v": language.value})
        ),
    ]


_ASKED = [form for language in LANGUAGES.values() for form in _statements(language)]
_TALLIES = [form for language in LANGUAGES.values() for form in _tallies(language)]
_UNVERIFIED = tuple(language.unverified.partition("{")[0] for language in LANGUAGES.values())

ASKED_PATTERNS: tuple[re.Pattern[str], ...] = tuple(form.pattern for form in _ASKED)
TALLY_PATTERNS: tuple[re.Pattern[str], ...] = tuple(form.pattern for form in _TALLIES)


def _find(forms: list[_SentenceForm], sentence: str) -> tuple[_SentenceForm, re.Match[str]] | None:
    for form in forms:
        match = form.pattern.fullmatch(sentence)
        if match:
            return form, match
    return None


def _example(sentence: str) -> tuple[str, str] | None:
    return None if sentence.startswith(_UNVERIFIED) else parse_example(sentence)


def is_asked_kind(sentence: str) -> bool:
    """Whether a generated sentence is of a kind that questions ask about."""
    return _example(sentence) is not None or _find(_ASKED, sentence) is not None


def is_tally(sentence: str) -> bool:
    """Whether `sentence` is one of the canonical sums that `merge` writes."""
    return _find(_TALLIES, sentence) is not None


def fact_key(sentence: str) -> tuple[str, str] | None:
    """(subject, relation) of a sentence of an asked kind or of a tally, None for any other.

    Two sentences with one key are about the same thing: the later one supersedes the earlier, or
    adds to it (`merge`). An event and the tally that counts it share their key.
    """
    example = _example(sentence)
    if example is not None:
        return example[0], "label"
    hit = _find(_ASKED, sentence) or _find(_TALLIES, sentence)
    if hit is None:
        return None
    form, match = hit
    if form.shape == "count":
        return match["p"], match["d"]
    if form.shape == "team":
        return match["v"], "teams"
    return match["p"], "route" if form.shape == "order" else form.name


def merge(stored: str | None, sentence: str) -> str:
    """What a memory should hold after reading `sentence`, given the sentence it held for its key.

    A fact or labelled line replaces what was stored; an event is added to its tally (a stored event
    counts as the tally of itself).

    Args:
        stored: the stored sentence with `fact_key(sentence)`, None when there is none.
        sentence: a sentence just read.
    """
    hit = _find(_ASKED, sentence)
    if hit is None or hit[0].shape == "fact":
        return sentence
    form, event = hit
    before = None if stored is None else _tally_match(form.shape, stored)
    if form.shape == "count":
        return _count(form.language, event, before)
    if form.shape == "order":
        return _order(form.language, event, before)
    return _team(form.language, event, before)


def _tally_match(shape: Shape, stored: str) -> re.Match[str] | None:
    if _find(_ASKED, stored) is not None:
        stored = merge(None, stored)
    tally = _find(_TALLIES, stored)
    return tally[1] if tally is not None and tally[0].shape == shape else None


def _count(language: Language, event: re.Match[str], before: re.Match[str] | None) -> str:
    number = 1 if before is None else 1 + int(re.sub(r"\D", "", before["n"]))
    return language.count.tally.format(
        p=event["p"], d=event["d"], n=f"{number}{language.times[number > 1]}"
    )


def _order(language: Language, event: re.Match[str], before: re.Match[str] | None) -> str:
    ports = event["v"] if before is None else before["v"] + language.comma + event["v"]
    return language.order.tally.format(p=event["p"], v=ports)


def _team(language: Language, event: re.Match[str], before: re.Match[str] | None) -> str:
    """Each member is listed once: under one team, or under both, in order of completion."""
    person = event["p"]
    lists: dict[str, list[str]] = {team: [] for team in (*language.teams, language.both)}
    if before is not None:
        for section in before["s"].split(language.semicolon):
            for name, members in lists.items():
                if section.startswith(language.section.format(d=name, s="")):
                    members.extend(re.findall(language.person, section))
    other = language.teams[event["d"] == language.teams[0]]
    if person in lists[other]:
        lists[other].remove(person)
        lists[language.both].append(person)
    elif person not in lists[language.both] + lists[event["d"]]:
        lists[event["d"]].append(person)
    return language.team.tally.format(v=event["v"], s=_sections(language, lists))


def _sections(language: Language, lists: dict[str, list[str]]) -> str:
    parts = []
    for name, members in lists.items():
        joiner = language.pair if name == language.both else language.comma
        if members:
            parts.append(language.section.format(d=name, s=joiner.join(members)))
    return language.semicolon.join(parts)
