"""MuSiQue: Wikipedia paragraphs, questions of two to four hops.

One line of the publisher's musique_ans_v1.0_train.jsonl and musique_ans_v1.0_dev.jsonl (20
paragraphs each):

    {"id": "2hop__460946_294723",
     "paragraphs": [{"idx": 0, "title": "Grant's First Stand", "is_supporting": false,
                     "paragraph_text": "Grant's First Stand is the debut album by …"}, …],
     "question": "Who is the spouse of the Green performer?", "question_decomposition": […],
     "answer": "Miquette Giraudy", "answer_aliases": [], "answerable": true}

Train is the training file; val and test are the development file, split in two by `id`. Questions
that cannot be answered (the "full" files) are left out. Evidence is the supporting paragraphs;
there are no chunk questions. Aliases shorter than four letters, such as "US", are left out, since
almost any answer contains them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from finemem_env.data.aliases import telling
from finemem_env.data.files import Reading, bucket, parsed, read_jsonl
from finemem_env.data.packing import FINAL_QUESTIONS, Passage
from finemem_env.data.passages import Layout, PassageSource
from finemem_env.data.source import FILE_KNOB, SourceConfig, SourceSpec
from finemem_env.errors import ConfigError
from finemem_env.fields import Fields
from finemem_env.text import normalise
from finemem_env.types import Episode, Evidence, Question

# Share of the room given to whole questions; distractors of others fill the rest.
_ROOM = 0.8


@dataclass(frozen=True, slots=True)
class _Record:
    id: str
    question: str
    answers: tuple[str, ...]
    support: tuple[Passage, ...]
    distractors: tuple[Passage, ...]


class MusiqueSource(PassageSource):
    """Questions drawn without replacement, each with its supporting paragraphs and distractors.

    Knobs: `distractors` (default 3, at most 18), paragraphs per question beside supporting ones;
    `file` (""), which of several files, such as "ans".
    """

    knobs: ClassVar[Mapping[str, object]] = {"distractors": 3, **FILE_KNOB}

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        self._distractors = int(str(self.difficulty["distractors"]))
        if not 0 <= self._distractors <= 18:
            raise ConfigError(
                f"difficulty['distractors']: expected 0 to 18, got {self._distractors}."
            )
        training = config.split == "train"
        file = f"musique/musique_*_{'train' if training else 'dev'}.jsonl"
        self._records = [
            record
            for record in parsed(_parse, self.file(file), self.reading)
            if training or ("val" if bucket(record.id, 10) < 5 else "test") == config.split
        ]

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Shuffle the paragraphs of as many questions as fit, then fill up with distractors."""
        targets = self.targets(rng)
        order = [self._records[i] for i in rng.permutation(len(self._records)).tolist()]
        chosen = self._choose(order, _ROOM * sum(targets))
        own = list(dict.fromkeys(p for record in chosen for p in self._context(record)))
        own = [own[i] for i in rng.permutation(len(own)).tolist()]
        spare = (p for record in reversed(order) for p in record.distractors)
        layout = self.pack(_different(own, spare), targets)
        places = {passage: i for i, passage in enumerate(own)}
        final = []
        for record in chosen:
            evidence = _evidence(record, layout, places)
            if evidence:
                final.append(
                    Question(
                        record.id,
                        record.question,
                        record.answers,
                        type="multi_hop",
                        evidence=evidence,
                    )
                )
        texts = [chunk.text for chunk in layout.chunks]
        return self.compose(index, texts, final[:FINAL_QUESTIONS])

    def _context(self, record: _Record) -> tuple[Passage, ...]:
        return record.support + record.distractors[: self._distractors]

    def _choose(self, order: Iterable[_Record], room: float) -> list[_Record]:
        """The first records, with different questions, whose paragraphs fit in `room` tokens."""
        chosen: dict[str, _Record] = {}
        for record in order:
            room -= sum(self.count(passage.block) for passage in self._context(record))
            if chosen and (room < 0 or len(chosen) == FINAL_QUESTIONS):
                break
            chosen.setdefault(normalise(record.question), record)
        return list(chosen.values())


def _different(own: Iterable[Passage], spare: Iterable[Passage]) -> Iterator[Passage]:
    seen = set()
    for passages in (own, spare):
        for passage in passages:
            if passage not in seen:
                seen.add(passage)
                yield passage


def _evidence(
    record: _Record, layout: Layout, places: Mapping[Passage, int]
) -> tuple[Evidence, ...]:
    """The sentences of all supporting paragraphs, () when one of them is in no chunk."""
    parts = [layout.evidence(places[one], 0, len(one.text)) for one in record.support]
    return tuple(dict.fromkeys(entry for part in parts for entry in part)) if all(parts) else ()


def _parse(path: Path, reading: Reading) -> tuple[_Record, ...]:
    records = reading.each(_record, read_jsonl(path, reading))
    return tuple(record for record in records if record is not None)


def _record(fields: Fields) -> _Record | None:
    support: list[Passage] = []
    distractors: list[Passage] = []
    for entry in fields.children("paragraphs"):
        text = " ".join(entry.text("paragraph_text").split())
        passage = Passage(text, " ".join(entry.text("title").split()))
        (support if entry.get("is_supporting") else distractors).append(passage)
    if fields.get("answerable") is False:
        return None
    if not support:
        raise fields.error("paragraphs", "at least one that is_supporting")
    golds = (fields.text("answer"), *fields.texts("answer_aliases", []))
    return _Record(
        fields.text("id"),
        fields.text("question"),
        telling(golds),
        tuple(dict.fromkeys(support)),
        tuple(dict.fromkeys(distractors)),
    )
