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

from finemem_env.data.adapters.whole import WholeSource, unwrapped
from finemem_env.data.files import parsed, read_jsonl
from finemem_env.data.packing import Passage
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.fields import Fields
from finemem_env.types import Episode, Question

__all__ = ["SqualitySource"]


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
        self._stories = parsed(_parse, self.files(f"squality/{file}.jsonl")[0], self.hint)
        self.size = len(self._stories)

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Cut story `index`; all its questions are final."""
        story = self._stories[index]
        layout = self.cut(rng, story.passages)
        texts = [chunk.text for chunk in layout.chunks]
        return self.compose(index, texts, story.questions, metadata={"story": story.name})


def _parse(path: Path, hint: str) -> tuple[_Story, ...]:
    return tuple(
        _story(record, f"{path}, story {i}", hint)
        for i, record in enumerate(read_jsonl(path, hint))
    )


def _story(record: Fields, where: str, hint: str) -> _Story:
    text = unwrapped(record.text("document"))
    questions = tuple(
        _question(Fields(entry, f"{where}: questions[{i}]", hint=hint), i, hint)
        for i, entry in enumerate(record.items("questions"))
    )
    if not questions:
        raise record.error("questions", "at least one question")
    passage_id = Fields(record.mapping("metadata"), f"{where}: metadata", hint=hint)
    return _Story(
        tuple(Passage(paragraph) for paragraph in text.split("\n\n")),
        questions,
        passage_id.text("passage_id", ""),
    )


def _question(record: Fields, number: int, hint: str) -> Question:
    responses = [
        Fields(entry, f"{record.where}.responses[{i}]", hint=hint).text("response_text")
        for i, entry in enumerate(record.items("responses"))
    ]
    if not responses:
        raise record.error("responses", "at least one response")
    return Question(
        id=f"q{number}",
        question=" ".join(record.text("question_text").split()),
        answers=tuple(dict.fromkeys(response.strip() for response in responses)),
        metric="rouge_l",
        type="summary",
    )
