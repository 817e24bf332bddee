"""SQuAD 1.1: paragraphs of Wikipedia articles, shuffled and packed; single-hop questions.

One record of the publisher's file (`data[i]`):

    {"title": "1973_oil_crisis",
     "paragraphs": [{"context": "The 1973 oil crisis began in October 1973 when …",
                     "qas": [{"id": "5725b33f6a3fe71400b8952d",
                              "question": "When did the 1973 oil crisis begin?",
                              "answers": [{"text": "October 1973", "answer_start": 29}]}]}]}

`squad` splits the development file by article, 80/10/10. `squad_full` trains on the training file
and keeps the development file, split in two by article, for val and test.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finemem_env.data.adapters.passages import PassageSource
from finemem_env.data.files import bucket, parsed, read_json
from finemem_env.data.packing import Passage
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.fields import Fields
from finemem_env.types import Episode, Question

__all__ = ["SquadSource"]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question with its golds and where the first of them is written: [start, end)."""

    id: str
    question: str
    answers: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Paragraph:
    article: str
    passage: Passage
    asked: tuple[_Asked, ...]


class SquadSource(PassageSource):
    """Paragraphs drawn without replacement, with every question on them."""

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        full = bool(spec.options.get("full"))
        file = "train-v1.1.json" if full and config.split == "train" else "dev-v1.1.json"
        paragraphs = parsed(_parse, self.files(f"squad/{file}")[0], self.hint)
        self._paragraphs = [
            paragraph
            for paragraph in paragraphs
            if file.startswith("train") or _split(paragraph.article, full) == config.split
        ]

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Pack shuffled paragraphs until the chunks are full."""
        targets = self.targets(rng)
        order = rng.permutation(len(self._paragraphs)).tolist()
        layout = self.pack((self._paragraphs[i].passage for i in order), targets)
        questions = [
            Question(asked.id, asked.question, asked.answers, evidence=evidence)
            for number in layout.passages
            for asked in self._paragraphs[order[number]].asked
            if (evidence := layout.evidence(number, asked.start, asked.end))
        ]
        return self.extractive(rng, index, layout, questions)


def _split(article: str, full: bool) -> str:
    part = bucket(article, 10)
    if full:
        return "val" if part < 5 else "test"
    return "train" if part < 8 else "val" if part == 8 else "test"


def _parse(path: Path, hint: str) -> tuple[_Paragraph, ...]:
    found: list[_Paragraph] = []
    articles = Fields(read_json(path, hint), str(path), hint=hint).items("data")
    for i, record in enumerate(articles):
        article = Fields(record, f"{path}: data[{i}]", hint=hint)
        title = article.text("title")
        for j, entry in enumerate(article.items("paragraphs")):
            where = f"{path}: data[{i}].paragraphs[{j}]"
            found.append(_paragraph(Fields(entry, where, hint=hint), where, title, hint))
    if not found:
        raise Fields({"data": articles}, str(path), hint=hint).error("data", "paragraphs")
    return tuple(found)


def _paragraph(fields: Fields, where: str, title: str, hint: str) -> _Paragraph:
    context = fields.text("context")
    asked = []
    for k, entry in enumerate(fields.items("qas")):
        record = Fields(entry, f"{where}.qas[{k}]", hint=hint)
        golds = [
            Fields(gold, f"{where}.qas[{k}].answers[{n}]", hint=hint)
            for n, gold in enumerate(record.items("answers"))
        ]
        if not golds:
            raise record.error("answers", "at least one answer")
        texts = tuple(dict.fromkeys(gold.text("text") for gold in golds))
        start = golds[0].index("answer_start")
        if start is None or not context.startswith(texts[0], start):
            raise golds[0].error("answer_start", f"the offset of {texts[0]!r} in the context")
        asked.append(
            _Asked(record.text("id"), record.text("question"), texts, start, start + len(texts[0]))
        )
    return _Paragraph(title, Passage(context, title.replace("_", " ")), tuple(asked))
