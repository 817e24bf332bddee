"""One episode while it is written: its chance, names, sentences and questions so far."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from finemem_env.data.synthetic.grammar import Language, Noise
from finemem_env.data.synthetic.words import Draw, Namer
from finemem_env.types import Evidence, Question, Task

_EPOCH = datetime.date(2024, 1, 1).toordinal()
# A question wondered aloud matches that question better than its answer does: one is enough.
_COUNTS = 21  # numbers from 0 that an answer to "how many" might list
_HEARSAY = ("visitor", "visitor", "visitor", "rumour", "rumour", "wonder")
Kind = Literal["value", "person", "count", "pair", "label"]
_ASKED: dict[str, Kind] = {"word": "value", "person": "person"}  # by what talk is about
Emitter = Callable[[int], str]  # chunk index → the sentence that stands there


class Quota(NamedTuple):
    """How many sentences of each sort a chunk holds."""

    facts: int
    distractors: int
    noise: int


class Probe(NamedTuple):
    """A question before it has an id. `kind` is what it asks for (`EpisodeDraft.alternatives`)."""

    text: str
    answers: tuple[str, ...]
    evidence: tuple[tuple[int, str], ...]
    valid_until: int | None = None
    asked_after: int | None = None
    task: Task = "fact"
    metric: str = "substring_exact_match"
    kind: Kind = "value"

    def question(self, name: str, alternatives: Mapping[Kind, tuple[str, ...]]) -> Question:
        """The finished record with id `name`; `alternatives` are the episode's values by kind."""
        return Question(
            id=name,
            question=self.text,
            answers=self.answers,
            metric=self.metric,
            type=self.task,
            asked_after=self.asked_after,
            valid_until=self.valid_until,
            evidence=tuple([Evidence(chunk, sentence) for chunk, sentence in self.evidence]),
            excluded=alternatives[self.kind],
        )


class Subject(Protocol):
    """Something that is asked about, as hearsay and visitors' facts imitate it."""

    @property
    def language(self) -> Language:
        """The language of its sentences."""
        ...

    @property
    def person(self) -> str:
        """Whom it is about."""
        ...

    @property
    def question(self) -> str:
        """The wording of its final question."""
        ...

    def claim(self, namer: Namer) -> str:
        """The same statement with a made-up value and "{p}" in place of the person."""
        ...


@dataclass
class EpisodeDraft:
    """An episode in the making. `quotas` has one entry a chunk; lists are per chunk.

    `pools[t]` are candidates for the questions on chunk t; earlier entries are preferred, here and
    in `small_talk`. `routes` and `pairs` are orders of places and pairs of people that an answer
    might list.
    """

    draw: Draw
    namer: Namer
    languages: Sequence[Language]
    quotas: list[Quota]

    def __post_init__(self) -> None:
        """Start with nothing written."""
        self.pools: list[list[Probe]] = [[] for _ in self.quotas]
        self._talk: list[list[tuple[Noise, str, str, str]]] = [[] for _ in self.quotas]
        self.sentences: list[list[str]] = [[] for _ in self.quotas]
        self.subjects: list[Subject] = []
        self.routes: list[str] = []
        self.pairs: list[str] = []
        self._told: set[tuple[str, str]] = set()

    def language(self) -> Language:
        """The language of the next fact or sentence."""
        languages = self.languages
        return languages[0] if len(languages) == 1 else self.draw.choice(languages)

    def alternatives(self) -> dict[Kind, tuple[str, ...]]:
        """What answers of each kind could name, right or wrong: one list that questions share.

        Labels are compared whole, so none is needed for them.
        """
        numbers = [
            word for one in self.languages for words in one.numerals.values() for word in words
        ]
        return {
            "value": (*self.namer.words, *self.routes),
            "person": tuple(self.namer.people),
            "count": (*map(str, range(_COUNTS)), *dict.fromkeys(numbers)),
            "pair": tuple(self.pairs),
            "label": (),
        }

    def dates(self) -> list[str]:
        """ISO dates, one a chunk, strictly later from chunk to chunk."""
        day = _EPOCH + self.draw.below(3650)
        dates = []
        for _ in self.quotas:
            day += 1 + self.draw.below(4)
            dates.append(datetime.date.fromordinal(day).isoformat())
        return dates

    def write(self, facts: Sequence[Sequence[Emitter]], distractor: Emitter) -> None:
        """Fill every chunk: `facts[t]`, then distractors and small talk, in random order.

        Emitters are called in reading order, so that one that counts its calls counts events.
        """
        for t, quota in enumerate(self.quotas):
            emitters = [*facts[t], *[distractor] * quota.distractors]
            emitters += [self._chatter] * quota.noise
            self.draw.shuffle(emitters)
            self.sentences[t] = [emit(t) for emit in emitters]

    def hearsay(self, t: int) -> str:
        """A sentence about something asked that answers nothing, or wrongly."""
        subject = self.draw.choice(self.subjects)
        language = subject.language
        shape = self.draw.choice(_HEARSAY)
        if shape == "visitor":
            person = self.namer.lookalike(subject.person, language.code)
            visitor = language.visitor.format(p=person)
            sentence = subject.claim(self.namer).format(p=visitor)
            return sentence[0].upper() + sentence[1:]
        if shape == "rumour":
            claim = subject.claim(self.namer)
            return language.rumour.format(s=_clause(claim).format(p=subject.person))
        asker = self.namer.person(language.code)
        return language.wonder.format(q=asker, s=_clause(subject.question))

    def _chatter(self, t: int) -> str:
        language = self.language()
        form = self.draw.choice(language.noise)
        a = self._somebody(form.sentence, language) if form.a == "person" else ""
        a = a or self.namer.word(language.code)
        b = (self.namer.person if form.b == "person" else self.namer.word)(language.code)
        sentence = form.sentence.format(a=a, b=b)
        self._talk[t].append((form, a, b, sentence))
        return sentence

    def small_talk(self, t: int) -> list[Probe]:
        """Candidates for the questions on what chunk `t` says that no final question asks."""
        probes = []
        for form, a, b, sentence in self._talk[t]:
            spot = ((t, sentence),)
            probes.append(Probe(form.ask_b.format(a=a), (b,), spot, kind=_ASKED[form.b]))
            probes.append(Probe(form.ask_a.format(b=b), (a,), spot, kind=_ASKED[form.a]))
        return probes

    def _somebody(self, template: str, language: Language) -> str:
        """A person that facts are about, if this talk has not had them yet; else a new one."""
        if self.subjects:
            subject = self.draw.choice(self.subjects)
            pair = (template, subject.person)
            if subject.language is language and pair not in self._told:
                self._told.add(pair)
                return subject.person
        return self.namer.person(language.code)


def _clause(sentence: str) -> str:
    """The sentence as it reads after a colon or "that": a name keeps its capital."""
    return sentence[0].lower() + sentence[1:]


def fixed(sentence: str) -> Emitter:
    """An emitter that always says `sentence`."""
    return lambda _: sentence


def allot(draw: Draw, counts: Sequence[int], room: list[int]) -> list[list[int]]:
    """For each count, so many chunks with room left, different ones where possible, in order.

    The emptiest chunks come first, ties at random: what fits at all is then found. `room` is used
    up in place.
    """
    places: list[list[int]] = []
    for count in counts:
        chosen: list[int] = []
        while len(chosen) < count:
            ranked = [t for t in range(len(room)) if room[t] > 0]
            assert ranked, "more sentences than room"
            draw.shuffle(ranked)
            ranked.sort(key=lambda t: -room[t])
            for t in ranked[: count - len(chosen)]:
                room[t] -= 1
                chosen.append(t)
        places.append(sorted(chosen))
    return places
