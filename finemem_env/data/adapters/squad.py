"""SQuAD: paragraphs of Wikipedia articles, shuffled and packed; single-hop questions.

One record of the publisher's file (`data[i]`):

    {"title": "1973_oil_crisis",
     "paragraphs": [{"context": "The 1973 oil crisis began in October 1973 when …",
                     "qas": [{"id": "5725b33f6a3fe71400b8952d",
                              "question": "When did the 1973 oil crisis begin?",
                              "answers": [{"text": "October 1973", "answer_start": 29}]}]}]}

`squad` splits the development file by article, 80/10/10. `squad_full` trains on the training file
and keeps the development file, split in two by article, for val and test; so does `squad2` with the
files of SQuAD 2.0, where `"is_impossible": true` marks a question that its paragraph does not
answer (it has no "answers"). Either form is read under every name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finemem_env.data.files import Reading, bucket, parsed, read_json, split_of
from finemem_env.data.packing import Passage
from finemem_env.data.passages import PassageSource
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.fields import Fields
from finemem_env.scoring.abstention import NO_ANSWER
from finemem_env.types import Episode, Evidence, Question


@dataclass(frozen=True, slots=True)
class _SpanQuestion:
    """A question with its golds and where the first of them is written: [start, end).

    Without golds there is no answer, and the span is the paragraph that fails to give one.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Paragraph:
    article: str
    passage: Passage
    asked: tuple[_SpanQuestion, ...]


class SquadSource(PassageSource):
    """Paragraphs drawn without replacement, with every question on them."""

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        full = bool(spec.options.get("full"))
        version = spec.options.get("version", "v1.1")
        part = "train" if full and config.split == "train" else "dev"
        file = f"{part}-{version}.json"
        paragraphs = parsed(_parse, self.file(f"squad/{file}"), self.reading)
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
            _question(question, evidence)
            for number in layout.passages
            for question in self._paragraphs[order[number]].asked
            if (evidence := layout.evidence(number, question.start, question.end))
        ]
        return self.extractive(rng, index, layout, questions)


def _question(question: _SpanQuestion, evidence: tuple[Evidence, ...]) -> Question:
    if question.answers:
        return Question(question.id, question.question, question.answers, evidence=evidence)
    return Question(question.id, question.question, (NO_ANSWER,), unanswerable=True)


def _split(article: str, full: bool) -> str:
    if full:
        return "val" if bucket(article, 10) < 5 else "test"
    return split_of(article)


def _parse(path: Path, reading: Reading) -> tuple[_Paragraph, ...]:
    content = Fields(read_json(path, reading), str(path), hint=reading.hint)

    def article(numbered: tuple[int, object]) -> list[_Paragraph]:
        where = f"{path}: data[{numbered[0]}]"
        fields = Fields(numbered[1], where, hint=reading.hint)
        title = fields.text("title")

        def paragraph(numbered: tuple[int, object]) -> _Paragraph:
            spot = f"{where}.paragraphs[{numbered[0]}]"
            return _paragraph(Fields(numbered[1], spot, hint=reading.hint), title, reading)

        return reading.each(paragraph, enumerate(fields.items("paragraphs")))

    articles = reading.each(article, enumerate(content.items("data")))
    paragraphs = tuple(paragraph for article in articles for paragraph in article)
    if not paragraphs and not reading.flaws:
        raise content.error("data", "paragraphs")
    return paragraphs


def _paragraph(fields: Fields, title: str, reading: Reading) -> _Paragraph:
    context = fields.text("context")

    def asked(numbered: tuple[int, object]) -> _SpanQuestion:
        spot = f"{fields.where}.qas[{numbered[0]}]"
        return _asked(Fields(numbered[1], spot, hint=reading.hint), context)

    questions = reading.each(asked, enumerate(fields.items("qas")))
    return _Paragraph(title, Passage(context, title.replace("_", " ")), tuple(questions))


def _asked(record: Fields, context: str) -> _SpanQuestion:
    name, question = record.text("id"), record.text("question")
    golds = [
        Fields(gold, f"{record.where}.answers[{n}]", hint=record.hint)
        for n, gold in enumerate(record.items("answers"))
    ]
    if record.flag("is_impossible"):
        return _SpanQuestion(name, question, (), 0, len(context))
    if not golds:
        raise record.error("answers", "at least one answer, or is_impossible (SQuAD 2.0)")
    texts = tuple(dict.fromkeys(gold.text("text") for gold in golds))
    start = golds[0].index("answer_start")
    if start is None or not context.startswith(texts[0], start):
        raise golds[0].error("answer_start", f"the offset of {texts[0]!r} in the context")
    return _SpanQuestion(name, question, texts, start, start + len(texts[0]))
