"""LongMemEval: dated conversations with an assistant, questions on what the user said.

One record of the publisher's longmemeval_oracle.json (also longmemeval_s.json):

    {"question_id": "gpt4_2655b836", "question_type": "temporal-reasoning",
     "question": "What was the first issue I had with my new car after its first service?",
     "answer": "GPS system not functioning correctly", "question_date": "2023/04/10 (Mon) 23:07",
     "haystack_dates": ["2023/04/10 (Mon) 17:50", …], "haystack_session_ids": ["answer_…", …],
     "haystack_sessions": [[{"role": "user", "content": "I …", "has_answer": true}, …], …],
     "answer_session_ids": ["answer_…"]}

A file may be the oracle one or that with 40 or 500 conversations a question (longmemeval_s,
longmemeval_m); where several lie side by side, the knob `file` chooses. Built as Mem-α's LME-Train
(arXiv 2509.25911): the conversations of four or five questions together, 10,000 to 30,000 tokens,
in order of their dates, in chunks of at most 2,048 tokens. Questions are split 80/10/10 by a hash
of their id, carry the date on which they are asked, and are graded by a judge with the rubric of
their kind; those whose id says "_abs" have no answer, and their gold says why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from finemem_env.data.files import each_record, parsed, read_list, split_of
from finemem_env.data.packing import Passage, pack
from finemem_env.data.passages import Layout, PassageSource
from finemem_env.data.published.memalpha import answer_texts
from finemem_env.data.sessions import TalkSession, Transcript, date_prefix, tell
from finemem_env.data.source import FILE_KNOB, SourceConfig, SourceSpec
from finemem_env.errors import ConfigError
from finemem_env.fields import Fields
from finemem_env.types import Episode, Question

_MOST_QUESTIONS = 5
_LEAST_QUESTIONS = 4
_MOST_TOKENS = 30_000


@dataclass(frozen=True, slots=True)
class _Conversation:
    """One conversation; `proof` are the turns that hold an answer."""

    id: str
    session: TalkSession
    proof: frozenset[int]

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """What makes two conversations the same: records share them, with dates of their own."""
        return self.id, self.session.turns


@dataclass(frozen=True, slots=True)
class _Record:
    id: str
    question: str
    answers: tuple[str, ...]
    kind: str
    date: str
    talks: tuple[_Conversation, ...]


class LongMemEvalSource(PassageSource):
    """Groups of questions over their joined conversations.

    Knob `file` (""): which of several files, such as "oracle".
    """

    separator = "\n"
    chunk_tokens: ClassVar[tuple[int, int]] = (2048, 2048)
    knobs: ClassVar[Mapping[str, object]] = FILE_KNOB

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        if config.num_chunks is not None:
            raise ConfigError(f"source {self.name!r}: num_chunks does not apply; use chunk_tokens.")
        path = self.file("longmemeval/longmemeval_*.json")
        records = parsed(each_record(_record, read_list), path, self.reading)
        self._records = [record for record in records if split_of(record.id) == config.split]
        if not self._records:
            raise ConfigError(f"source {self.name!r} has no question in split {config.split!r}.")
        self.data_sources = frozenset({"longmemeval"})
        self.provenance = {"commit": "local"}

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Questions until their conversations are long enough, then these in order of date."""
        chosen = self._choose(rng)
        talks = {talk.key: talk for record in chosen for talk in record.talks}
        ordered = sorted(talks.values(), key=lambda talk: (talk.session.date, talk.id))
        places = {talk.key: place for place, talk in enumerate(ordered)}
        transcript = tell((talk.session for talk in ordered), self._cut)
        return Episode(
            episode_id=self.episode_id(index),
            competency="AR",
            source=self.name,
            chunks=transcript.chunks(),
            questions=tuple(_question(record, transcript, places) for record in chosen),
            metadata={"split": self.config.split, "index": index, "data_source": "lme_train"},
        )

    def _choose(self, rng: np.random.Generator) -> list[_Record]:
        chosen: list[_Record] = []
        tokens = 0
        most = _LEAST_QUESTIONS + int(rng.integers(_MOST_QUESTIONS - _LEAST_QUESTIONS + 1))
        for place in rng.permutation(len(self._records)).tolist():
            record = self._records[place]
            size = sum(self.count(turn) for talk in record.talks for turn in talk.session.turns)
            if chosen and tokens + size > _MOST_TOKENS:
                continue
            tokens += size
            chosen.append(record)
            if len(chosen) == most:
                break
        return chosen

    def _cut(self, passages: Sequence[Passage]) -> Layout:
        _, most = self.config.token_range(self.chunk_tokens)
        targets = [most] * len(passages) * 8
        return Layout.of(passages, pack(passages, targets, self.count, self.separator))


def _question(
    record: _Record, transcript: Transcript, places: Mapping[tuple[str, tuple[str, ...]], int]
) -> Question:
    proof = [(places[talk.key], turn) for talk in record.talks for turn in talk.proof]
    return Question(
        id=record.id,
        question=record.question,
        answers=record.answers,
        metric="judge",
        query_prefix=date_prefix(record.date),
        evidence=transcript.evidence(proof),
        metadata={"question_type": record.kind, "question_date": record.date},
        unanswerable="_abs" in record.id,
    )


def _record(fields: Fields) -> _Record:
    dates, ids = fields.texts("haystack_dates"), fields.texts("haystack_session_ids")
    told = fields.items("haystack_sessions")
    if not len(dates) == len(ids) == len(told):
        raise fields.error("haystack_sessions", f"{len(dates)} conversations, one a date")
    golds = answer_texts(fields.get("answer"))
    if not golds:
        raise fields.error("answer", "a text or a number")
    talks = [
        _talk(fields, name, date, turns) for name, date, turns in zip(ids, dates, told, strict=True)
    ]
    talks = [talk for talk in talks if talk.session.turns]
    if not talks:
        raise fields.error("haystack_sessions", "at least one turn that says something")
    return _Record(
        id=fields.text("question_id"),
        question=fields.text("question"),
        answers=golds,
        kind=fields.text("question_type"),
        date=fields.text("question_date", ""),
        talks=tuple(_with_proof(talks, fields.texts("answer_session_ids", []))),
    )


def _with_proof(talks: Sequence[_Conversation], named: Sequence[str]) -> Sequence[_Conversation]:
    """`talks`; where no turn is marked, all turns of the conversations that hold the answer."""
    if any(talk.proof for talk in talks):
        return talks
    return [
        dataclasses.replace(talk, proof=frozenset(range(len(talk.session.turns))))
        if talk.id in named
        else talk
        for talk in talks
    ]


def _talk(fields: Fields, name: str, date: str, turns: object) -> _Conversation:
    if not isinstance(turns, list):
        raise fields.error("haystack_sessions", "lists of turns", turns)
    said: list[str] = []
    proof: set[int] = set()
    for entry in turns:
        turn = Fields(entry, f"{fields.where}: session {name}", hint=fields.hint)
        speaker = turn.option("role", ("user", "assistant")).capitalize()
        content = " ".join(turn.text("content", "").split())
        if content:
            if turn.get("has_answer"):
                proof.add(len(said))
            said.append(f"<{speaker}> {content}")
    header = f"[Dialogue between User and Assistant on {date}]"
    return _Conversation(name, TalkSession(header, date, tuple(said)), frozenset(proof))
