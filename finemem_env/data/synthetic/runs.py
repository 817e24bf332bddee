"""Runs of events that are asked about in sum: repeated deeds, voyages, members of two teams."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from finemem_env.data.synthetic.draft import EpisodeDraft, Kind, Probe
from finemem_env.data.synthetic.grammar import EventForm, Language
from finemem_env.data.synthetic.words import Namer

_PORTS = 3
_EVENTS_OF_TEAMS = 5  # two people in both teams, one in one


@dataclass(slots=True)
class EventRun:
    """Events of one sum. `answers[k]` are the golds after k + 1 events, () where none is fair.

    `claims` is one event with "{p}" for the person; `history` the (chunk, sentence) of the events
    that were emitted so far.
    """

    language: Language
    person: str
    question: str
    alternates: tuple[str, str]
    lines: list[str]
    answers: list[tuple[str, ...]]
    claims: str
    kind: Kind
    history: list[tuple[int, str]] = field(default_factory=list)

    def emit(self, t: int) -> str:
        """The next event, which happens in chunk `t`."""
        sentence = self.lines[len(self.history)]
        self.history.append((t, sentence))
        return sentence

    def claim(self, namer: Namer) -> str:
        """One event of the run with "{p}" in place of the person."""
        return self.claims

    def final(self) -> Probe:
        """The final question, with all events as evidence."""
        return Probe(self.question, self.answers[-1], tuple(self.history), kind=self.kind)

    def chunk_probes(self) -> list[tuple[int, Probe, Probe]]:
        """(chunk, question, the same in other words) for each chunk that changes the answer."""
        probes = []
        for k, (t, _) in enumerate(self.history):
            golds = self.answers[k]
            later = [
                at for j, (at, _) in enumerate(self.history) if j > k and self.answers[j] != golds
            ]
            if not golds or (k and golds == self.answers[k - 1]) or t in later:
                continue
            until = later[0] - 1 if later else None
            evidence = tuple(self.history[: k + 1])
            first, second = (
                Probe(text, golds, evidence, until, kind=self.kind) for text in self.alternates
            )
            probes.append((t, first, second))
        return probes


def run_probes(draft: EpisodeDraft, runs: list[EventRun]) -> None:
    """Add the chunk questions on all runs to the pools, every run's first wording first."""
    probes = [entry for run in runs for entry in run.chunk_probes()]
    draft.draw.shuffle(probes)
    for t, first, _ in probes:
        draft.pools[t].append(first)
    for t, _, second in probes:
        draft.pools[t].append(second)


def _tails(draft: EpisodeDraft, language: Language, count: int) -> list[str]:
    """`count` circumstances, different as long as there are enough."""
    tails = draft.draw.sample(language.tails, count)
    return [tails[i % len(tails)] for i in range(count)]


def _texts(form: EventForm, **slots: str) -> tuple[str, tuple[str, str]]:
    first, second = form.alternates
    return form.final.format(**slots), (first.format(**slots), second.format(**slots))


def count_run(draft: EpisodeDraft, count: int) -> EventRun:
    """One person does one thing `count` times."""
    language = draft.language()
    form = language.count
    person, deed = draft.namer.person(language.code), draft.draw.choice(language.deeds)
    question, alternates = _texts(form, p=person, d=deed)
    tails = _tails(draft, language, count)
    return EventRun(
        language,
        person,
        question,
        alternates,
        [form.event.format(p=person, d=deed, tail=tail) for tail in tails],
        [(str(k), *language.numerals[k]) for k in range(1, count + 1)],
        form.event.format(p="{p}", d=deed, tail=""),
        "count",
    )


def order_run(draft: EpisodeDraft) -> EventRun:
    """One person sails to several ports; their order is asked."""
    language = draft.language()
    form = language.order
    person = draft.namer.person(language.code)
    ports = [draft.namer.word(language.code) for _ in range(_PORTS)]
    question, alternates = _texts(form, p=person)
    draft.routes += map(language.comma.join, itertools.permutations(ports))
    tails = _tails(draft, language, _PORTS)
    return EventRun(
        language,
        person,
        question,
        alternates,
        [form.event.format(p=person, v=v, tail=w) for v, w in zip(ports, tails, strict=True)],
        [(), *((language.comma.join(ports[:k]),) for k in range(2, _PORTS + 1))],
        form.event.format(p="{p}", v=draft.namer.word(language.code), tail=""),
        "value",
    )


def team_run(draft: EpisodeDraft) -> EventRun:
    """Three people join the two teams of a place; two of them join both."""
    language = draft.language()
    form = language.team
    place = draft.namer.word(language.code)
    one, two, single = (draft.namer.person(language.code) for _ in range(3))
    joins = [(person, team) for person in (one, two) for team in language.teams]
    joins.append((single, draft.draw.choice(language.teams)))
    draft.pairs += map(language.pair.join, itertools.permutations((one, two, single), 2))
    draft.draw.shuffle(joins)
    question, alternates = _texts(form, v=place)
    tails = _tails(draft, language, len(joins))
    complete = _completed(joins)
    pair = (language.pair.join(complete), language.pair.join(reversed(complete)))
    done = max(k for k, (person, _) in enumerate(joins) if person != single)
    return EventRun(
        language,
        one,
        question,
        alternates,
        [
            form.event.format(p=person, d=team, v=place, tail=tail)
            for (person, team), tail in zip(joins, tails, strict=True)
        ],
        [pair if k >= done else () for k in range(len(joins))],
        form.event.format(p="{p}", d=joins[0][1], v=place, tail=""),
        "pair",
    )


def _completed(joins: list[tuple[str, str]]) -> list[str]:
    """Who joined both teams, in the order in which each got there."""
    seen: set[str] = set()
    complete = []
    for person, _ in joins:
        if person in seen:
            complete.append(person)
        seen.add(person)
    return complete
