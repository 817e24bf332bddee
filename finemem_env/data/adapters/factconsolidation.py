"""FactConsolidation: a long numbered list of facts; of two that disagree the larger number holds.

    Here is a list of facts:
    0. Allan Peiper was born in the city of Alexandra.
    1. Hey Jude was performed by The Beatles.
    …
    57. Hey Jude was performed by Madonna.

Facts and counterfactuals are those of MQuAKE (`edits` shows a record), the rest of the list is
ParaRel's T-REx pairs (`pararel`) in MQuAKE's wording. Any length: the list grows until the chunks
are full. Names: `factconsolidation_sh` asks single facts, `factconsolidation_mh` chains of four,
`factconsolidation` both. Chunk questions ask facts of the chunk that no final question asks; their
`valid_until` ends before the chunk that replaces the fact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from finemem_env.data.adapters.edit_questions import final_questions, shuffled, split_cases
from finemem_env.data.adapters.edits import EditedFact, Selection, arrange, parse_cases
from finemem_env.data.adapters.pararel import filler_facts
from finemem_env.data.files import Reading, parsed
from finemem_env.data.packing import CHUNK_QUESTIONS, FINAL_QUESTIONS, Passage
from finemem_env.data.passages import Layout, PassageSource
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.text import normalise
from finemem_env.types import Episode, Evidence, Question

HEADER = "Here is a list of facts:"
# Shares of the chunks' room: what the cases may take, and what is shuffled together. The rest of
# the room is filled with facts that nobody edits, so that no edit falls off the end.
_CASES = 0.5
_SHUFFLED = 0.85
# Tokens of a fact's number, full stop and line break, for estimates only.
_NUMBERING = 4


class FactConsolidationSource(PassageSource):
    """Numbered facts up to the room of the chunks."""

    separator = "\n"

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        self._hops = str(spec.options["hops"])
        (cases,) = self.files("mquake/MQuAKE-hard.json")
        (clozes,) = self.files("mquake/cloze_templates.json")
        (questions,) = self.files("mquake/question_templates.json")
        pairs = self.files("pararel_trex/trex_lms_vocab/P*.jsonl")
        self._cases = split_cases(parsed(parse_cases, cases, self.reading), config.split)
        self._fillers = parsed(_fillers, (cases, clozes, questions, *pairs), self.reading)

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Merge cases and filler facts into one list, number it, and fill the chunks with it."""
        targets = self.targets(rng)
        selection = self._select(rng, _CASES * sum(targets))
        facts = [*selection.before.values(), *selection.edited]
        pool = (self._fillers[i] for i in rng.permutation(len(self._fillers)).tolist())
        left = _SHUFFLED * sum(targets) - sum(map(self._size, facts))
        while left > 0 and (filler := next(pool, None)) is not None:
            facts.append(filler)
            left -= self._size(filler)
        told: list[EditedFact] = []
        layout = self.pack(_lines(chain(arrange(rng, facts), pool), told), targets)
        listing = _Listing(told, layout)
        # Every fifth edited fact is left for the chunk questions.
        spared = frozenset(fact.key for fact in selection.edited[4::5])
        final = final_questions(rng, selection, self._hops, listing.evidence, spared)
        reserved = _chunk_questions(rng, selection, listing, final)
        return self.compose(index, [chunk.text for chunk in layout.chunks], final, reserved)

    def _size(self, fact: EditedFact) -> int:
        return self.count(fact.sentence) + _NUMBERING

    def _select(self, rng: np.random.Generator, room: float) -> Selection:
        """Cases until `room` tokens or the final questions are full; always at least one."""
        selection = Selection()
        for case in shuffled(rng, self._cases):
            count = len(selection.edited) if self._hops == "single" else len(selection.cases)
            if selection.cases and (room < 0 or count >= FINAL_QUESTIONS):
                break
            fresh = [fact for fact in case.before if fact.key not in selection.before]
            fresh += [fact for fact in case.after if fact.key not in selection.after]
            if selection.add(case):
                room -= sum(map(self._size, fresh))
        return selection


def _fillers(paths: tuple[Path, ...], reading: Reading) -> tuple[EditedFact, ...]:
    cases, clozes, questions, *pairs = paths
    taken = [
        fact for case in parsed(parse_cases, cases, reading) for fact in (*case.before, *case.after)
    ]
    return filler_facts(pairs, clozes, questions, taken, reading)


def _lines(facts: Iterable[EditedFact], told: list[EditedFact]) -> Iterator[Passage]:
    """The header, passage 0, and numbered lines: passage i + 1 tells the fact put in told[i]."""
    yield Passage(HEADER)
    for number, fact in enumerate(facts):
        told.append(fact)
        yield Passage(f"{number}. {fact.sentence}")


class _Listing:
    """Where every fact of the list was told; a line is one sentence and never cut."""

    def __init__(self, told: Sequence[EditedFact], layout: Layout) -> None:
        self.by_chunk: list[list[EditedFact]] = []
        self._places: dict[tuple[tuple[str, str], str], Evidence] = {}
        for step, chunk in enumerate(layout.chunks):
            numbers = [piece.passage for piece in chunk.pieces if piece.passage > 0]
            self.by_chunk.append([told[number - 1] for number in numbers])
            for number, fact in zip(numbers, self.by_chunk[step], strict=True):
                self._places[fact.key, fact.value] = Evidence(step, layout.texts[number])

    def evidence(self, fact: EditedFact) -> tuple[Evidence, ...]:
        """The numbered sentence that tells `fact`, () if none does."""
        place = self._places.get((fact.key, fact.value))
        return () if place is None else (place,)


def _chunk_questions(
    rng: np.random.Generator,
    selection: Selection,
    listing: _Listing,
    final: Sequence[Question],
) -> list[tuple[Question, ...]]:
    """Up to five facts a chunk that no final question asks, those of the cases first."""
    finals = {normalise(question.question) for question in final}
    edited = {fact.key: fact for fact in selection.edited}
    dealt = []
    for step, facts in enumerate(listing.by_chunk):
        shuffled_facts = [facts[i] for i in rng.permutation(len(facts)).tolist()]
        shuffled_facts.sort(key=lambda fact: fact.key not in selection.before)
        questions: list[Question] = []
        for fact in shuffled_facts:
            if len(questions) == CHUNK_QUESTIONS:
                break
            last = _last_step(fact, edited.get(fact.key), listing)
            free = fact.answers and normalise(fact.question) not in finals
            if free and (last is None or last >= step):
                questions.append(
                    Question(
                        f"c{step}-q{len(questions)}",
                        fact.question,
                        fact.answers,
                        valid_until=last,
                        evidence=listing.evidence(fact),
                        excluded=selection.others(fact, of_its_relation=False),
                    )
                )
        dealt.append(tuple(questions))
    return dealt


def _last_step(fact: EditedFact, later: EditedFact | None, listing: _Listing) -> int | None:
    """The last step at which `fact` holds; None if it holds to the end."""
    if later is None or later.value == fact.value:
        return None
    evidence = listing.evidence(later)
    return evidence[0].chunk - 1 if evidence else None
