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

from collections.abc import Iterable
from typing import ClassVar

from finemem_env.data.files import each_record, parsed, read_list
from finemem_env.data.multi_hop import MultiHopRecord, MultiHopSource
from finemem_env.data.packing import Passage
from finemem_env.fields import Fields


class HotpotSource(MultiHopSource):
    """Questions drawn without replacement, each with its two gold paragraphs and distractors.

    Knobs: `distractors` (default 3, at most 8), paragraphs per question beside its gold ones;
    `file` (""), which of several files.
    """

    most_distractors: ClassVar[int] = 8

    def parse_records(self, training: bool) -> Iterable[MultiHopRecord]:
        """The records of the publisher's file."""
        pattern = "hotpot_train*.json" if training else "hotpot_dev_distractor*.json"
        path = self.file(f"hotpotqa/{pattern}")
        return parsed(each_record(_record, read_list), path, self.reading)

    @staticmethod
    def identity(passage: Passage) -> str:
        """The title: records share paragraphs."""
        return passage.title


def _record(fields: Fields) -> MultiHopRecord:
    paragraphs: dict[str, list[str]] = {}
    for title, sentences in map(_paragraph, fields.items("context")):
        if title is None:
            raise fields.error("context", "a list of [title, [sentence, …]]")
        paragraphs.setdefault(title, sentences)
    support, gold = [], set()
    for entry in fields.items("supporting_facts"):
        if not (isinstance(entry, list) and len(entry) == 2 and entry[0] in paragraphs):
            raise fields.error("supporting_facts", "a list of [title in context, sentence index]")
        title, number = entry
        sentences = paragraphs[title]
        gold.add(title)
        # A few of the publisher's indices point behind the last sentence; no evidence is there,
        # but the paragraph is one of those that the answer needs.
        if isinstance(number, int) and 0 <= number < len(sentences) and sentences[number].strip():
            start = len("".join(sentences[:number]))
            lead = len(sentences[number]) - len(sentences[number].lstrip())
            support.append((title, start + lead, start + len(sentences[number].rstrip())))
    passages = {
        title: Passage("".join(sentences), title)
        for title, sentences in paragraphs.items()
        if "".join(sentences).strip()
    }
    return MultiHopRecord(
        id=fields.text("_id"),
        question=fields.text("question"),
        answers=(fields.text("answer"),),
        support=tuple((passages[title], start, end) for title, start, end in support),
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
