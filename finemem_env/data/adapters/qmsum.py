"""QMSum: one meeting an episode, told turn by turn, questions answered by written summaries.

One line of the publisher's data/ALL/jsonl/{train,val,test}.jsonl:

    {"topic_list": […],
     "general_query_list": [{"query": "Summarize the whole meeting.", "answer": "The meeting …"}],
     "specific_query_list": [{"query": "What did Paul-Hus think about …?", "answer": "Mr. …",
                              "relevant_text_span": [["9", "18"]]}],
     "meeting_transcripts": [{"speaker": "The Chair", "content": "I call the meeting …"}, …]}

Spans count turns from 0, empty ones too, both ends included; the chunks of these turns are the
evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finemem_env.data.files import Reading, parsed, read_jsonl
from finemem_env.data.packing import Passage
from finemem_env.data.passages import Layout
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.data.whole import WholeSource
from finemem_env.fields import Fields
from finemem_env.types import Episode, Evidence, Question


@dataclass(frozen=True, slots=True)
class _Query:
    question: str
    answer: str
    turns: frozenset[int]  # places in the meeting's turns


@dataclass(frozen=True, slots=True)
class _Meeting:
    turns: tuple[Passage, ...]
    asked: tuple[_Query, ...]


class QmsumSource(WholeSource):
    """One meeting an episode; `size` is the number of meetings in the split."""

    separator = "\n"

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        path = self.file(f"qmsum/{config.split}.jsonl")
        self._meetings = parsed(_parse, path, self.reading)
        self.size = len(self._meetings)

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Cut meeting `index`; all its questions are final."""
        meeting = self._meetings[index]
        layout = self.cut(rng, meeting.turns)
        texts = [chunk.text for chunk in layout.chunks]
        questions = [
            Question(
                f"q{i}",
                query.question,
                (query.answer,),
                metric="rouge_l_content",
                type="summary",
                evidence=_evidence(query, layout),
            )
            for i, query in enumerate(meeting.asked)
        ]
        return self.compose(index, texts, questions)


def _evidence(query: _Query, layout: Layout) -> tuple[Evidence, ...]:
    steps = {step for turn in query.turns for step, _, _ in layout.places.get(turn, ())}
    return tuple(Evidence(step) for step in sorted(steps))


def _parse(path: Path, reading: Reading) -> tuple[_Meeting, ...]:
    records = read_jsonl(path, reading)
    return tuple(reading.each(lambda record: _meeting(record, reading), records))


def _meeting(record: Fields, reading: Reading) -> _Meeting:
    turns: list[Passage] = []
    places: list[int | None] = []  # of the publisher's turn i among those that say something
    for turn in record.children("meeting_transcripts"):
        content = " ".join(turn.text("content", "").split())
        places.append(len(turns) if content else None)
        if content:
            turns.append(Passage(f"{' '.join(turn.text('speaker').split())}: {content}"))
    if not turns:
        raise record.error("meeting_transcripts", "at least one turn that says something")
    unique: dict[str, _Query] = {}
    for key in ("general_query_list", "specific_query_list"):
        queries = record.children(key)
        for query in reading.each(lambda entry: _query(entry, places), queries):
            unique.setdefault(query.question.casefold(), query)
    if not unique:
        raise record.error("general_query_list", "at least one query")
    return _Meeting(tuple(turns), tuple(unique.values()))


def _query(entry: Fields, places: Sequence[int | None]) -> _Query:
    question = " ".join(entry.text("query").split())
    answer = " ".join(entry.text("answer").split())
    spoken = [places[turn] for turn in _turns(entry, len(places))]
    return _Query(question, answer, frozenset(place for place in spoken if place is not None))


def _turns(entry: Fields, count: int) -> list[int]:
    """Those of `count` turns that are in the spans; some ends are not numbers, such as "19 "."""
    turns: list[int] = []
    for span in entry.items("relevant_text_span", []):
        ends = [str(end).strip() for end in span] if isinstance(span, list) else []
        if len(ends) != 2 or not all(end.isdecimal() for end in ends):
            raise entry.error("relevant_text_span", "pairs of turn numbers", span)
        turns += range(int(ends[0]), min(int(ends[1]) + 1, count))
    return turns
