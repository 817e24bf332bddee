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

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from finemem_env.data.aliases import telling
from finemem_env.data.files import Reading, parsed, read_jsonl
from finemem_env.data.multi_hop import MultiHopRecord, MultiHopSource
from finemem_env.data.packing import Passage
from finemem_env.fields import Fields


class MusiqueSource(MultiHopSource):
    """Questions drawn without replacement, each with its supporting paragraphs and distractors.

    Knobs: `distractors` (default 3, at most 18), paragraphs per question beside supporting ones;
    `file` (""), which of several files, such as "ans".
    """

    most_distractors: ClassVar[int] = 18

    def parse_records(self, training: bool) -> Iterable[MultiHopRecord]:
        """The records of the publisher's file."""
        file = f"musique/musique_*_{'train' if training else 'dev'}.jsonl"
        return parsed(_parse, self.file(file), self.reading)


def _parse(path: Path, reading: Reading) -> tuple[MultiHopRecord, ...]:
    records = reading.each(_record, read_jsonl(path, reading))
    return tuple(record for record in records if record is not None)


def _record(fields: Fields) -> MultiHopRecord | None:
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
    gold = tuple(dict.fromkeys(support))
    return MultiHopRecord(
        fields.text("id"),
        fields.text("question"),
        telling(golds),
        tuple((passage, 0, len(passage.text)) for passage in gold),
        gold,
        tuple(dict.fromkeys(distractors)),
    )
