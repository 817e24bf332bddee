"""Questions that several paragraphs answer together, packed with those and with distractors."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import numpy as np

from finemem_env.data.files import bucket
from finemem_env.data.packing import FINAL_QUESTIONS, Passage
from finemem_env.data.passages import Layout, PassageSource
from finemem_env.data.source import FILE_KNOB, SourceConfig, SourceSpec
from finemem_env.errors import ConfigError
from finemem_env.text import normalise
from finemem_env.types import Episode, Evidence, Question

# Share of the chunks' room given to whole questions; distractors of other questions fill the rest,
# so that the paragraph which no longer fits is never a supporting one.
_ROOM = 0.8


@dataclass(frozen=True, slots=True)
class MultiHopRecord:
    """A question with its paragraphs; `support` lists characters [start, end) of gold ones."""

    id: str
    question: str
    answers: tuple[str, ...]
    support: tuple[tuple[Passage, int, int], ...]
    gold: tuple[Passage, ...]
    distractors: tuple[Passage, ...]


class MultiHopSource(PassageSource):
    """Questions drawn without replacement, each with its gold paragraphs and distractors.

    Train is the training file; val and test are the development file, split in two by id. An
    adapter has `most_distractors` and `parse_records(training)`.
    """

    knobs: ClassVar[Mapping[str, object]] = {"distractors": 3, **FILE_KNOB}
    most_distractors: ClassVar[int]

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        self._distractors = int(str(self.difficulty["distractors"]))
        if not 0 <= self._distractors <= self.most_distractors:
            raise ConfigError(
                f"difficulty['distractors']: expected 0 to {self.most_distractors}, got "
                f"{self._distractors}."
            )
        training = config.split == "train"
        self._records = [
            record
            for record in self.parse_records(training)
            if training or ("val" if bucket(record.id, 10) < 5 else "test") == config.split
        ]

    def parse_records(self, training: bool) -> Iterable[MultiHopRecord]:
        """The records of the training file, or of the development file."""
        raise NotImplementedError

    @staticmethod
    def identity(passage: Passage) -> Hashable:
        """What makes two paragraphs the same one."""
        return passage

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Shuffle the paragraphs of as many questions as fit, then fill up with distractors."""
        targets = self.targets(rng)
        order = [self._records[i] for i in rng.permutation(len(self._records)).tolist()]
        chosen = self._choose(order, _ROOM * sum(targets))
        passages = list(self._unique(p for record in chosen for p in self._context(record)))
        passages = [passages[i] for i in rng.permutation(len(passages)).tolist()]
        spare = (p for record in reversed(order) for p in record.distractors)
        layout = self.pack(self._unique(chain(passages, spare)), targets)
        places = {self.identity(passage): i for i, passage in enumerate(passages)}
        final = []
        for record in chosen:
            evidence = self._evidence(record, layout, places)
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

    def _context(self, record: MultiHopRecord) -> tuple[Passage, ...]:
        return record.gold + record.distractors[: self._distractors]

    def _choose(self, order: Iterable[MultiHopRecord], room: float) -> list[MultiHopRecord]:
        """The first records, with different questions, whose paragraphs fit in `room` tokens."""
        chosen: dict[str, MultiHopRecord] = {}
        for record in order:
            room -= sum(self.count(passage.block) for passage in self._context(record))
            if chosen and (room < 0 or len(chosen) == FINAL_QUESTIONS):
                break
            chosen.setdefault(normalise(record.question), record)
        return list(chosen.values())

    def _unique(self, passages: Iterable[Passage]) -> Iterator[Passage]:
        """The first of the same paragraphs: records share them."""
        seen: set[Hashable] = set()
        for passage in passages:
            key = self.identity(passage)
            if key not in seen:
                seen.add(key)
                yield passage

    def _evidence(
        self, record: MultiHopRecord, layout: Layout, places: Mapping[Hashable, int]
    ) -> tuple[Evidence, ...]:
        """All supporting sentences, () when one of them is in no chunk."""
        parts = [
            layout.evidence(places[self.identity(passage)], start, end)
            for passage, start, end in record.support
        ]
        return tuple(dict.fromkeys(entry for part in parts for entry in part)) if all(parts) else ()
