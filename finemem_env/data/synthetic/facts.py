"""Facts about one person: what they say, and the questions they answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from finemem_env.data.synthetic.draft import EpisodeDraft, Probe
from finemem_env.data.synthetic.grammar import Language, Relation
from finemem_env.data.synthetic.words import Draw, Namer

_MOST_RELATIONS = 3  # facts about one person


@dataclass(slots=True)
class Fact:
    """One person's value for one relation.

    `values[i]` holds from chunk `chunks[i]` on, where `sentences[i]` says so.
    """

    language: Language
    relation: Relation
    person: str
    values: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    chunks: list[int] = field(default_factory=list)

    @property
    def question(self) -> str:
        """The wording of its final question."""
        return self.relation.final.format(p=self.person)

    def claim(self, namer: Namer) -> str:
        """The statement with a made-up value and "{p}" in place of the person."""
        return self.relation.statement.format(p="{p}", v=self._value(namer))

    def place(self, chunks: list[int], namer: Namer) -> None:
        """State it in each of these chunks, with a new value each time."""
        self.chunks = chunks
        self.values = [self._value(namer) for _ in chunks]
        statement = self.relation.statement
        self.sentences = [statement.format(p=self.person, v=value) for value in self.values]

    def final(self, asked_after: int | None = None) -> Probe:
        """The final question, which its last value answers."""
        spot = ((self.chunks[-1], self.sentences[-1]),)
        return Probe(self.question, (self.values[-1],), spot, asked_after=asked_after)

    def chunk_probes(self, version: int) -> tuple[Probe, Probe]:
        """Two chunk questions on one version, good until the next one."""
        spot = ((self.chunks[version], self.sentences[version]),)
        later = self.chunks[version + 1 :]
        until = later[0] - 1 if later else None
        value = self.values[version]
        return (
            Probe(self.relation.alternate.format(p=self.person), (value,), spot, until),
            Probe(
                self.relation.inverse.format(v=value), (self.person,), spot, until, kind="person"
            ),
        )

    def _value(self, namer: Namer) -> str:
        return namer.code() if self.relation.value == "code" else namer.word(self.language.code)


def make_facts(draft: EpisodeDraft, count: int) -> list[Fact]:
    """`count` facts, one to three for a person, no person and relation twice; nothing placed."""
    facts: list[Fact] = []
    while len(facts) < count:
        language = draft.language()
        person = draft.namer.person(language.code)
        relations = draft.draw.sample(language.relations, 1 + draft.draw.below(_MOST_RELATIONS))
        facts += [Fact(language, relation, person) for relation in relations]
    draft.draw.shuffle(facts)
    return facts[:count]


def plain_probes(draft: EpisodeDraft, facts: list[Fact]) -> None:
    """Add the chunk questions of all versions of `facts` to the pools, every fact's first first."""
    second: list[tuple[int, Probe]] = []
    for fact in facts:
        for version, chunk in enumerate(fact.chunks):
            probes = list(fact.chunk_probes(version))
            draft.draw.shuffle(probes)
            draft.pools[chunk].append(probes[0])
            second.append((chunk, probes[1]))
    for chunk, probe in second:
        draft.pools[chunk].append(probe)


def choose_finals(
    draw: Draw, preferred: list[Fact], others: list[Fact], share: float, count: int
) -> list[Fact]:
    """`count` facts, `share` of them from `preferred`; one side fills in for the other."""
    wanted = min(round(share * count), len(preferred))
    wanted = max(wanted, count - len(others))
    return draw.sample(preferred, wanted) + draw.sample(others, count - wanted)
