"""HotpotQA, distractor setting: paragraphs of many questions shuffled together; two-hop questions.

One record of the publisher's file:

    {"_id": "5a77ec115542992a6e59dff7", "question": "If Gallu is a demon Lilu is what?",
     "answer": "a spirit", "type": "bridge", "level": "easy",
     "supporting_facts": [["Alû", 3], ["Lilu (mythology)", 0]],
     "context": [["Demon Dice", ["Demon Dice, originally …", " In it, each player …"]], …]}

Train is the training file; val and test are the development file, split in two by `_id`. There are
no chunk questions: none of the publisher's can be answered from one chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar

import numpy as np

from finemem_env.data.files import Reading, bucket, parsed, read_list
from finemem_env.data.packing import FINAL_QUESTIONS, Passage
from finemem_env.data.passages import Layout, PassageSource
from finemem_env.data.source import FILE_KNOB, SourceConfig, SourceSpec
from finemem_env.errors import ConfigError
from finemem_env.fields import Fields
from finemem_env.text import normalise
from finemem_env.types import Episode, Evidence, Question

# Share of the chunks' room given to whole questions; distractors of other questions fill the rest,
# so that the paragraph which no longer fits is never a supporting one.
_ROOM = 0.8


@dataclass(frozen=True, slots=True)
class _Span:
    """A supporting sentence: characters [start, end) of the paragraph `title`."""

    title: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Record:
    id: str
    question: str
    answer: str
    support: tuple[_Span, ...]
    gold: tuple[Passage, ...]
    distractors: tuple[Passage, ...]


class HotpotSource(PassageSource):
    """Questions drawn without replacement, each with its two gold paragraphs and distractors.

    Knobs: `distractors` (default 3, at most 8), paragraphs per question beside its gold ones;
    `file` (""), which of several files.
    """

    knobs: ClassVar[Mapping[str, object]] = {"distractors": 3, **FILE_KNOB}

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        self._distractors = int(str(self.difficulty["distractors"]))
        if not 0 <= self._distractors <= 8:
            raise ConfigError(
                f"difficulty['distractors']: expected 0 to 8, got {self._distractors}."
            )
        training = config.split == "train"
        pattern = "hotpot_train*.json" if training else "hotpot_dev_distractor*.json"
        self._records = [
            record
            for record in parsed(_parse, self.file(f"hotpotqa/{pattern}"), self.reading)
            if training or ("val" if bucket(record.id, 10) < 5 else "test") == config.split
        ]

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Shuffle the paragraphs of as many questions as fit, then fill up with distractors."""
        targets = self.targets(rng)
        order = rng.permutation(len(self._records)).tolist()
        chosen = self._choose((self._records[i] for i in order), _ROOM * sum(targets))
        passages = list(_unique(p for record in chosen for p in self._context(record)))
        passages = [passages[i] for i in rng.permutation(len(passages)).tolist()]
        spare = (p for i in reversed(order) for p in self._records[i].distractors)
        layout = self.pack(_unique(chain(passages, spare)), targets)
        numbers = {passage.title: i for i, passage in enumerate(passages)}
        final: list[Question] = []
        for record in chosen:
            evidence = _evidence(record, layout, numbers)
            if evidence and len(final) < FINAL_QUESTIONS:
                final.append(
                    Question(
                        record.id,
                        record.question,
                        (record.answer,),
                        type="multi_hop",
                        evidence=evidence,
                    )
                )
        return self.compose(index, [chunk.text for chunk in layout.chunks], final)

    def _context(self, record: _Record) -> tuple[Passage, ...]:
        return record.gold + record.distractors[: self._distractors]

    def _choose(self, order: Iterable[_Record], room: float) -> list[_Record]:
        """The first records, with different questions, whose paragraphs fit in `room` tokens."""
        chosen: list[_Record] = []
        questions: set[str] = set()
        for record in order:
            room -= sum(self.count(passage.block) for passage in self._context(record))
            if chosen and (room < 0 or len(chosen) == FINAL_QUESTIONS):
                break
            if normalise(record.question) not in questions:
                questions.add(normalise(record.question))
                chosen.append(record)
        return chosen


def _unique(passages: Iterable[Passage]) -> Iterator[Passage]:
    """The first passage of every title: records share paragraphs."""
    titles: set[str] = set()
    for passage in passages:
        if passage.title not in titles:
            titles.add(passage.title)
            yield passage


def _evidence(record: _Record, layout: Layout, numbers: Mapping[str, int]) -> tuple[Evidence, ...]:
    """All supporting sentences, () when one of them is in no chunk."""
    parts = [layout.evidence(numbers[span.title], span.start, span.end) for span in record.support]
    return tuple(dict.fromkeys(entry for part in parts for entry in part)) if all(parts) else ()


def _parse(path: Path, reading: Reading) -> tuple[_Record, ...]:
    return tuple(reading.each(_record, read_list(path, reading)))


def _record(fields: Fields) -> _Record:
    paragraphs: dict[str, list[str]] = {}
    for title, sentences in map(_paragraph, fields.items("context")):
        if title is None:
            raise fields.error("context", "a list of [title, [sentence, …]]")
        paragraphs.setdefault(title, sentences)
    support = []
    for entry in fields.items("supporting_facts"):
        if not (isinstance(entry, list) and len(entry) == 2 and entry[0] in paragraphs):
            raise fields.error("supporting_facts", "a list of [title in context, sentence index]")
        title, number = entry
        sentences = paragraphs[title]
        # A few of the publisher's indices point behind the last sentence; no evidence is there.
        if isinstance(number, int) and 0 <= number < len(sentences) and sentences[number].strip():
            start = len("".join(sentences[:number]))
            lead = len(sentences[number]) - len(sentences[number].lstrip())
            support.append(_Span(title, start + lead, start + len(sentences[number].rstrip())))
    passages = {
        title: Passage("".join(sentences), title)
        for title, sentences in paragraphs.items()
        if "".join(sentences).strip()
    }
    gold = {span.title for span in support}
    return _Record(
        id=fields.text("_id"),
        question=fields.text("question"),
        answer=fields.text("answer"),
        support=tuple(support),
        gold=tuple(passages[title] for title in passages if title in gold),
        distractors=tuple(passages[title] for title in passages if title not in gold),
    )


def _paragraph(entry: object) -> tuple[str | None, list[str]]:
    """(title, sentences), or (None, []) for anything else."""
    if isinstance(entry, list) and len(entry) == 2:
        title, sentences = entry
        listed = isinstance(sentences, list) and all(isinstance(s, str) for s in sentences)
        if isinstance(title, str) and listed:
            return title, sentences
    return None, []
