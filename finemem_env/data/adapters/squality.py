"""SQuALITY: one short story an episode, five questions answered by written summaries.

One line of the publisher's train.jsonl, dev.jsonl and test.jsonl:

    {"metadata": {"passage_id": "63833", "uid": "ea00…", "license": "This eBook is …"},
     "document": "Jinx Ship To The Rescue   By ALFRED COPPEL, JR. …",
     "questions": [{"question_text": "What is the plot of the story?", "question_number": 1,
                    "responses": [{"worker_id": "7", "uid": "…", "response_text": "Noork is …"}]}]}

Every written answer is a gold, and ROUGE-L takes the closest. There are no chunk questions and no
gold evidence: each question is about the story as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finemem_env.data.files import Reading, parsed, read_jsonl
from finemem_env.data.packing import Passage
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.data.whole import WholeSource, unwrapped
from finemem_env.fields import Fields
from finemem_env.types import Episode, Question


@dataclass(frozen=True, slots=True)
class _Story:
    passages: tuple[Passage, ...]
    questions: tuple[Question, ...]
    name: str


class SqualitySource(WholeSource):
    """One story an episode; `size` is the number of stories in the split."""

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        file = "dev" if config.split == "val" else config.split
        self._stories = parsed(_parse, self.file(f"squality/{file}.jsonl"), self.reading)
        self.size = len(self._stories)

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Cut story `index`; all its questions are final."""
        story = self._stories[index]
        layout = self.cut(rng, story.passages)
        texts = [chunk.text for chunk in layout.chunks]
        return self.compose(index, texts, story.questions, metadata={"story": story.name})


def _parse(path: Path, reading: Reading) -> tuple[_Story, ...]:
    records = read_jsonl(path, reading)
    return tuple(reading.each(lambda record: _story(record, reading), records))


def _story(record: Fields, reading: Reading) -> _Story:
    text = unwrapped(record.text("document"))
    entries = enumerate(record.items("questions"))

    def question(numbered: tuple[int, object]) -> Question:
        number, entry = numbered
        where = f"{record.where}: questions[{number}]"
        return _question(Fields(entry, where, hint=record.hint), number)

    questions = reading.each(question, entries)
    if not questions:
        raise record.error("questions", "at least one question")
    about = Fields(record.mapping("metadata"), f"{record.where}: metadata", hint=record.hint)
    return _Story(
        tuple(Passage(paragraph) for paragraph in text.split("\n\n")),
        tuple(questions),
        about.text("passage_id", ""),
    )


def _question(record: Fields, number: int) -> Question:
    responses = [response.text("response_text") for response in record.children("responses")]
    if not responses:
        raise record.error("responses", "at least one response")
    return Question(
        id=f"q{number}",
        question=" ".join(record.text("question_text").split()),
        answers=tuple(dict.fromkeys(response.strip() for response in responses)),
        metric="rouge_l_content",
        type="summary",
    )
