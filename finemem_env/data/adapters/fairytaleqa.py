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

from finemem_env.data.adapters.passages import Layout
from finemem_env.data.adapters.whole import WholeSource, unwrapped
from finemem_env.data.files import parsed, read_csv
from finemem_env.data.packing import Passage, sentence_spans
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.errors import DataError
from finemem_env.fields import Fields
from finemem_env.scoring import score
from finemem_env.text import words
from finemem_env.types import Episode, Evidence, Question

__all__ = ["FairytaleSource"]

_ROOT = "fairytaleqa/data-by-train-split"
_ANSWERS = tuple(f"answer{i}" for i in range(1, 7))


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of a questions file; `sections` are the publisher's numbers."""

    question: Question
    sections: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Gold:
    """Where an answer is: a passage, and the span of the sentence that says it word for word."""

    passage: int
    span: tuple[int, int] | None


_Linked = tuple[tuple[Question, tuple[_Gold, ...]], ...]


class FairytaleSource(WholeSource):
    """One story an episode; `size` is the number of stories in the split."""

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        self._stories = self.files(f"{_ROOT}/section-stories/{config.split}/*-story.csv")
        self._asked = [
            self.files(f"{_ROOT}/questions/{config.split}/{_name(path)}-questions.csv")[0]
            for path in self._stories
        ]
        self._linked: dict[int, _Linked] = {}
        self.size = len(self._stories)

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Cut story `index` and deal out its questions."""
        sections = parsed(_parse_story, self._stories[index], self.hint)
        if index not in self._linked:
            rows = parsed(_parse_questions, self._asked[index], self.hint)
            self._linked[index] = _link(rows, sections, self._asked[index], self.hint)
        layout = self.cut(rng, tuple(sections.values()))
        questions = [
            dataclasses.replace(question, evidence=_evidence(layout, golds))
            for question, golds in self._linked[index]
        ]
        metadata = {"story": _name(self._stories[index])}
        return self.extractive(rng, index, layout, questions, metadata)


def _name(path: Path) -> str:
    return path.name.removesuffix("-story.csv")


def _evidence(layout: Layout, golds: Sequence[_Gold]) -> tuple[Evidence, ...]:
    """The gold sentences where known, else the chunks that hold the gold sections."""
    found: list[Evidence] = []
    for gold in golds:
        if gold.span is not None:
            found += layout.evidence(gold.passage, *gold.span)
        else:
            found += [Evidence(step) for step, _, _ in layout.places[gold.passage]]
    return tuple(dict.fromkeys(found))


def _link(rows: Sequence[_Row], sections: Mapping[int, Passage], path: Path, hint: str) -> _Linked:
    """Find every gold in its sections, and settle the metric on what was found."""
    order = list(sections)
    linked = []
    for row in rows:
        for number in row.sections:
            if number not in sections:
                raise DataError(
                    f"{path}: question {row.question.id!r}: cor_section: expected sections of the "
                    f"story (1 to {order[-1]}), found {number}. {hint}"
                )
        golds = tuple(
            _Gold(order.index(number), _span(sections[number].text, row.question))
            for number in row.sections
        )
        said = any(gold.span for gold in golds)
        metric = "substring_exact_match" if said else "f1"
        linked.append((dataclasses.replace(row.question, metric=metric), golds))
    return tuple(linked)


def _span(text: str, question: Question) -> tuple[int, int] | None:
    """The sentence that holds a gold answer, of several the one closest to the question."""
    asked = set(words(question.question))
    found = [
        (len(asked.intersection(words(text[start:end]))), -start, end)
        for start, end in sentence_spans(text)
        if score(text[start:end], question) == 1.0
    ]
    if not found:
        return None
    _, start, end = max(found)
    return -start, end


def _parse_story(path: Path, hint: str) -> dict[int, Passage]:
    """Passage of every section, by number, in story order."""
    sections: dict[int, Passage] = {}
    for row in read_csv(path, ("section", "text"), hint):
        number = row.text("section").strip()
        if not number.isdecimal():
            raise row.error("section", "a section number")
        text = unwrapped(row.text("text"))
        # One story of the publisher's (remarkable-rocket) has two rows for section 5.
        before = sections.get(int(number))
        sections[int(number)] = Passage(f"{before.text}\n\n{text}" if before else text)
    return dict(sorted(sections.items()))


def _parse_questions(path: Path, hint: str) -> tuple[_Row, ...]:
    columns = ("question_id", "cor_section", "question", *_ANSWERS)
    return tuple(_row(row) for row in read_csv(path, columns, hint))


def _row(row: Fields) -> _Row:
    golds = [" ".join(str(row.get(column) or "").split()) for column in _ANSWERS]
    answers = tuple(dict.fromkeys(gold for gold in golds if gold))
    if not answers:
        raise row.error("answer1", "at least one answer in answer1 to answer6")
    numbers = [number.strip() for number in row.text("cor_section").split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise row.error("cor_section", "a section number, or several with commas")
    question = Question(
        id=f"q{row.text('question_id').strip()}",
        question=" ".join(row.text("question").split()),
        answers=answers,
        type="fact" if len(numbers) == 1 else "multi_hop",
    )
    return _Row(question, tuple(int(number) for number in numbers))
