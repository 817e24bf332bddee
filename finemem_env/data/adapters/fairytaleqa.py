"""FairytaleQA: one story an episode, questions on a section or on several.

One record of each of the publisher's two files for a story, below data-by-train-split/:

    section-stories/test/golden-goose-story.csv      section,text
                                                     1,"there was once a man who had three sons …"
    questions/test/golden-goose-questions.csv
        question_id,local-or-sum,cor_section,attribute1,attribute2,question,ex-or-im1,answer1,answer2,
        answer3,ex-or-im2,answer4,answer5,answer6
        1,local,1,character,,Who was Dummling?,explicit,the youngest,,,explicit,the youngest son,,

`cor_section` is the gold section, or "2,3" for several. Answers are short free text. A question is
scored by substring_exact_match where one of its answers is written in a gold section word for word
(about 60 %), and by f1 where all of them paraphrase, which no quotation could match.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finemem_env.data.files import Reading, parsed, read_csv
from finemem_env.data.packing import Passage, sentence_spans
from finemem_env.data.passages import Layout
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.data.whole import WholeSource, unwrapped
from finemem_env.fields import Fields
from finemem_env.scoring import score
from finemem_env.text import words
from finemem_env.types import Episode, Evidence, Question

_ROOT = "fairytaleqa/data-by-train-split"
_ANSWERS = tuple(f"answer{i}" for i in range(1, 7))


@dataclass(frozen=True, slots=True)
class _TaleQuestion:
    """One line of a questions file; `sections` are the publisher's numbers."""

    question: Question
    sections: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Gold:
    """Where an answer is: a passage, and the span of the sentence that says it word for word."""

    passage: int
    span: tuple[int, int] | None


_Linked = tuple[tuple[Question, tuple[_Gold, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Tale:
    """A story's sections by the publisher's number, and the questions on it."""

    name: str
    sections: Mapping[int, Passage]
    rows: tuple[_TaleQuestion, ...]


class FairytaleSource(WholeSource):
    """One story an episode; `size` is the number of stories in the split."""

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        stories = self.files(f"{_ROOT}/section-stories/{config.split}/*-story.csv")
        self._tales = self.sound(self._tale, stories)
        self._linked: dict[int, _Linked] = {}
        self.size = len(self._tales)

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Cut story `index` and deal out its questions."""
        tale = self._tales[index]
        if index not in self._linked:
            self._linked[index] = _link(tale)
        layout = self.cut(rng, tuple(tale.sections.values()))
        questions = [
            dataclasses.replace(question, evidence=_evidence(layout, golds))
            for question, golds in self._linked[index]
        ]
        return self.extractive(rng, index, layout, questions, {"story": tale.name})

    def _tale(self, story: Path) -> _Tale:
        name = _name(story)
        questions = self.file(f"{_ROOT}/questions/{self.config.split}/{name}-questions.csv")
        return parsed(_parse, (story, questions), self.reading)


def _name(path: Path) -> str:
    return path.name.removesuffix("-story.csv")


def _evidence(layout: Layout, golds: Sequence[_Gold]) -> tuple[Evidence, ...]:
    """The gold sentences where known, else the chunks that hold the gold sections."""
    evidence: list[Evidence] = []
    for gold in golds:
        if gold.span is not None:
            evidence += layout.evidence(gold.passage, *gold.span)
        else:
            evidence += [Evidence(step) for step, _, _ in layout.places[gold.passage]]
    return tuple(dict.fromkeys(evidence))


def _link(tale: _Tale) -> _Linked:
    """Find every gold in its sections, and settle the metric on what was found."""
    order = list(tale.sections)
    linked = []
    for row in tale.rows:
        golds = tuple(
            _Gold(order.index(number), _span(tale.sections[number].text, row.question))
            for number in row.sections
        )
        said = any(gold.span for gold in golds)
        metric = "substring_exact_match" if said else "f1"
        linked.append((dataclasses.replace(row.question, metric=metric), golds))
    return tuple(linked)


def _span(text: str, question: Question) -> tuple[int, int] | None:
    """The sentence that holds a gold answer, of several the one closest to the question."""
    wanted = set(words(question.question))
    spans = [
        (len(wanted.intersection(words(text[start:end]))), -start, end)
        for start, end in sentence_spans(text)
        if score(text[start:end], question) == 1.0
    ]
    if not spans:
        return None
    _, start, end = max(spans)
    return -start, end


def _parse(paths: tuple[Path, ...], reading: Reading) -> _Tale:
    story, questions = paths
    sections: dict[int, Passage] = {}
    for number, text in reading.each(_section, read_csv(story, ("section", "text"), reading)):
        # One story of the publisher's (remarkable-rocket) has two rows for section 5.
        before = sections.get(number)
        sections[number] = Passage(f"{before.text}\n\n{text}" if before else text)
    sections = dict(sorted(sections.items()))
    columns = ("question_id", "cor_section", "question", *_ANSWERS)
    lines = read_csv(questions, columns, reading)
    rows = reading.each(lambda row: _row(row, sections), lines)
    if not rows:
        raise lines[0].error("question", "at least one sound question in the file")
    return _Tale(_name(story), sections, tuple(rows))


def _section(row: Fields) -> tuple[int, str]:
    number = row.text("section").strip()
    if not number.isdecimal():
        raise row.error("section", "a section number")
    return int(number), unwrapped(row.text("text"))


def _row(row: Fields, sections: Mapping[int, Passage]) -> _TaleQuestion:
    golds = [" ".join(str(row.get(column) or "").split()) for column in _ANSWERS]
    answers = tuple(dict.fromkeys(gold for gold in golds if gold))
    if not answers:
        raise row.error("answer1", "at least one answer in answer1 to answer6")
    numbers = [number.strip() for number in row.text("cor_section").split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise row.error("cor_section", "a section number, or several with commas")
    if not all(int(number) in sections for number in numbers):
        raise row.error(
            "cor_section", f"sections of the story ({min(sections)} to {max(sections)})"
        )
    question = Question(
        id=f"q{row.text('question_id').strip()}",
        question=" ".join(row.text("question").split()),
        answers=answers,
        type="fact" if len(numbers) == 1 else "multi_hop",
    )
    return _TaleQuestion(question, tuple(int(number) for number in numbers))
