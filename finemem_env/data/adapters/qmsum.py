"""QMSum: one meeting an episode, told turn by turn, questions answered by written summaries.

One line of the publisher's data/ALL/jsonl/{train,val,test}.jsonl:

    {"topic_list": […],
     "general_query_list": [{"query": "Summarize the whole meeting.", "answer": "The meeting …"}],
     "specific_query_list": [{"query": "What did Paul-Hus think about …?", "answer": "Mr. …",
                              "relevant_text_span": [["9", "18"]]}],
     "meeting_transcripts": [{"speaker": "The Chair", "content": "I call the meeting …"}, …]}

Spans count turns from 0, both ends included; the chunks of these turns are the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finemem_env.data.adapters.passages import Layout
from finemem_env.data.adapters.whole import WholeSource
from finemem_env.data.files import parsed, read_jsonl
from finemem_env.data.packing import Passage
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.fields import Fields
from finemem_env.types import Episode, Evidence, Question

__all__ = ["QmsumSource"]


@dataclass(frozen=True, slots=True)
class _Asked:
    question: str
    answer: str
    turns: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Meeting:
    turns: tuple[Passage, ...]
    asked: tuple[_Asked, ...]


class QmsumSource(WholeSource):
    """One meeting an episode; `size` is the number of meetings in the split."""

    separator = "\n"

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        path = self.files(f"qmsum/{config.split}.jsonl")[0]
        self._meetings = parsed(_parse, path, self.hint)
        self.size = len(self._meetings)

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Cut meeting `index`; all its questions are final."""
        meeting = self._meetings[index]
        layout = self.cut(rng, meeting.turns)
        texts = [chunk.text for chunk in layout.chunks]
        questions = [
            Question(
                f"q{i}",
                asked.question,
                (asked.answer,),
                metric="rouge_l",
                type="summary",
                evidence=_evidence(asked, layout),
            )
            for i, asked in enumerate(meeting.asked)
        ]
        return self.compose(index, texts, questions)


def _evidence(asked: _Asked, layout: Layout) -> tuple[Evidence, ...]:
    steps = {step for turn in asked.turns for step, _, _ in layout.places.get(turn, ())}
    return tuple(Evidence(step) for step in sorted(steps))


def _parse(path: Path, hint: str) -> tuple[_Meeting, ...]:
    return tuple(_meeting(record) for record in read_jsonl(path, hint))


def _meeting(record: Fields) -> _Meeting:
    turns = tuple(
        Passage(f"{' '.join(turn.text('speaker').split())}: {' '.join(content.split())}")
        for turn in record.children("meeting_transcripts")
        if (content := turn.text("content", "")).strip()
    )
    if not turns:
        raise record.error("meeting_transcripts", "at least one turn")
    asked: dict[str, _Asked] = {}
    for key in ("general_query_list", "specific_query_list"):
        for entry in record.children(key):
            question = " ".join(entry.text("query").split())
            answer = " ".join(entry.text("answer").split())
            asked.setdefault(question.casefold(), _Asked(question, answer, _turns(entry)))
    if not asked:
        raise record.error("general_query_list", "at least one query")
    return _Meeting(turns, tuple(asked.values()))


def _turns(entry: Fields) -> frozenset[int]:
    """The turns of the publisher's spans; some ends are not numbers, such as "19 "."""
    found: set[int] = set()
    for span in entry.items("relevant_text_span", []):
        ends = [str(end).strip() for end in span] if isinstance(span, list) else []
        if len(ends) != 2 or not all(end.isdecimal() for end in ends):
            raise entry.error("relevant_text_span", "pairs of turn numbers", span)
        found.update(range(int(ends[0]), int(ends[1]) + 1))
    return frozenset(found)
