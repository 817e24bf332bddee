"""LongMemEval: dated conversations with an assistant, questions on what the user said.

One record of the publisher's longmemeval_oracle.json (also longmemeval_s.json):

    {"question_id": "gpt4_2655b836", "question_type": "temporal-reasoning",
     "question": "What was the first issue I had with my new car after its first service?",
     "answer": "GPS system not functioning correctly", "question_date": "2023/04/10 (Mon) 23:07",
     "haystack_dates": ["2023/04/10 (Mon) 17:50", …], "haystack_session_ids": ["answer_…", …],
     "haystack_sessions": [[{"role": "user", "content": "I …", "has_answer": true}, …], …],
     "answer_session_ids": ["answer_…"]}

Built as Mem-α's LME-Train (arXiv 2509.25911): the conversations of four or five questions together,
10,000 to 30,000 tokens, in order of their dates, in chunks of at most 2,048 tokens. Questions are
split 80/10/10 by a hash of their id, and are graded by a judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from finemem_env.data.adapters.passages import Layout, PassageSource
from finemem_env.data.files import bucket, parsed, read_list
from finemem_env.data.packing import Passage, pack
from finemem_env.data.published.memalpha import answer_texts
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.errors import ConfigError
from finemem_env.fields import Fields
from finemem_env.types import Chunk, Episode, Evidence, Question

__all__ = ["LongMemEvalSource"]

_MOST_QUESTIONS = 5
_LEAST_QUESTIONS = 4
_MOST_TOKENS = 30_000


@dataclass(frozen=True, slots=True)
class _Session:
    """One conversation; `proof` are the turns that hold an answer."""

    id: str
    date: str
    turns: tuple[str, ...]
    proof: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Record:
    id: str
    question: str
    answers: tuple[str, ...]
    kind: str
    date: str
    sessions: tuple[_Session, ...]


class LongMemEvalSource(PassageSource):
    """Groups of questions over their joined conversations."""

    separator = "\n"
    chunk_tokens: ClassVar[tuple[int, int]] = (2048, 2048)

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        if config.num_chunks is not None:
            raise ConfigError(f"source {self.name!r}: num_chunks does not apply; use chunk_tokens.")
        records = parsed(_parse, self.files("longmemeval/longmemeval_*.json")[0], self.hint)
        self._records = [one for one in records if _split(one.id) == config.split]
        if not self._records:
            raise ConfigError(f"source {self.name!r} has no question in split {config.split!r}.")
        self.data_sources = frozenset({"longmemeval"})
        self.provenance = {"commit": "local"}

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Questions until their conversations are long enough, then these in order of date."""
        chosen = self._choose(rng)
        sessions = {session.id: session for record in chosen for session in record.sessions}
        ordered = sorted(sessions.values(), key=lambda session: (session.date, session.id))
        layout, numbers = self._pack(ordered)
        chunks = tuple(
            Chunk(f"c{i}", text, _first_date(text) or None)
            for i, text in enumerate(chunk.text for chunk in layout.chunks)
        )
        return Episode(
            episode_id=self.episode_id(index),
            competency="AR",
            source=self.name,
            chunks=chunks,
            questions=tuple(_question(record, layout, numbers) for record in chosen),
            metadata={"split": self.config.split, "index": index, "data_source": "lme_train"},
        )

    def _choose(self, rng: np.random.Generator) -> list[_Record]:
        chosen: list[_Record] = []
        tokens = 0
        most = _LEAST_QUESTIONS + int(rng.integers(_MOST_QUESTIONS - _LEAST_QUESTIONS + 1))
        for place in rng.permutation(len(self._records)).tolist():
            record = self._records[place]
            size = sum(self.count(turn) for one in record.sessions for turn in one.turns)
            if chosen and tokens + size > _MOST_TOKENS:
                continue
            tokens += size
            chosen.append(record)
            if len(chosen) == most:
                break
        return chosen

    def _pack(self, sessions: Sequence[_Session]) -> tuple[Layout, dict[tuple[str, int], int]]:
        """Turns packed, a dated header before each conversation; where each turn went."""
        passages: list[Passage] = []
        numbers: dict[tuple[str, int], int] = {}
        for session in sessions:
            header = f"[Dialogue between User and Assistant on {session.date}]"
            for turn, text in enumerate(session.turns):
                numbers[session.id, turn] = len(passages)
                passages.append(Passage(text, header if turn == 0 else ""))
        _, most = self.config.token_range(self.chunk_tokens)
        packed = pack(passages, [most] * len(passages) * 8, self.count, self.separator)
        return Layout.of(passages, packed), numbers


def _question(record: _Record, layout: Layout, numbers: dict[tuple[str, int], int]) -> Question:
    proof = [
        numbers[session.id, turn] for session in record.sessions for turn in sorted(session.proof)
    ]
    steps = {step for number in proof for step, _, _ in layout.places.get(number, ())}
    metadata: dict[str, object] = {"question_type": record.kind, "question_date": record.date}
    if record.id.endswith("_abs"):
        metadata["abstention"] = True
    return Question(
        id=record.id,
        question=record.question,
        answers=record.answers,
        metric="judge",
        evidence=tuple(Evidence(step) for step in sorted(steps)),
        metadata=metadata,
    )


def _split(name: str) -> str:
    part = bucket(name, 10)
    return "train" if part < 8 else "val" if part == 8 else "test"


def _first_date(text: str) -> str:
    """The date of the first conversation that begins in a chunk, "" for none."""
    _, found, rest = text.partition("[Dialogue between User and Assistant on ")
    return rest.partition("]")[0] if found else ""


def _parse(path: Path, hint: str) -> tuple[_Record, ...]:
    return tuple(_record(fields) for fields in read_list(path, hint))


def _record(fields: Fields) -> _Record:
    dates, ids = fields.texts("haystack_dates"), fields.texts("haystack_session_ids")
    sessions = fields.items("haystack_sessions")
    if not len(dates) == len(ids) == len(sessions):
        raise fields.error("haystack_sessions", f"{len(dates)} conversations, one a date")
    golds = answer_texts(fields.get("answer"))
    if not golds:
        raise fields.error("answer", "a text or a number")
    return _Record(
        id=fields.text("question_id"),
        question=fields.text("question"),
        answers=golds,
        kind=fields.text("question_type"),
        date=fields.text("question_date", ""),
        sessions=tuple(
            _session(fields, name, date, turns)
            for name, date, turns in zip(ids, dates, sessions, strict=True)
        ),
    )


def _session(fields: Fields, name: str, date: str, turns: object) -> _Session:
    if not isinstance(turns, list):
        raise fields.error("haystack_sessions", "lists of turns", turns)
    told: list[str] = []
    proof: set[int] = set()
    for entry in turns:
        turn = Fields(entry, f"{fields.where}: session {name}", hint=fields.hint)
        speaker = turn.option("role", ("user", "assistant")).capitalize()
        content = " ".join(turn.text("content", "").split())
        if content:
            if turn.get("has_answer"):
                proof.add(len(told))
            told.append(f"<{speaker}> {content}")
    return _Session(name, date, tuple(told), frozenset(proof))
