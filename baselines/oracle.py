"""`oracle`: reads the questions with their golds from the environment, so it is the ceiling.

It looks only into `env.unwrapped.session` (never into `info`), plans once per episode what the
memory must hold after every step, and each step deletes what is no longer needed and inserts what
is. For every final question that is the evidence sentence once it was read, kept until the question
is asked; for every drawn chunk question the same just for the step it is asked at. A superseded
sentence thus goes as soon as nothing asks for it.

Where no evidence sentence holds the answer it stores "question → answer", for a label the question
as a labelled example line, for a written summary the gold's opening words. When all of it does not
fit into the budget, the texts that serve the most questions per token stay.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

import gymnasium as gym

from baselines.agents import Info
from baselines.scripted import MAX_OPERATIONS, inserts, reply
from finemem_env.scoring import gold_prediction, score
from finemem_env.session import Session
from finemem_env.text import approx_tokens, normalise
from finemem_env.tokens import make_counter
from finemem_env.types import Op, Operation, Question

__all__ = ["Oracle"]

_SENTENCE_END = re.compile(r"[.!?…。！？]+(?=\s|$)|[\r\n]+")


@dataclass(frozen=True, slots=True)
class _Need:
    """`text` must be in memory after every step from `start` to `end`, both included."""

    text: str
    start: int
    end: int


class Oracle:
    """The privileged upper bound; see the module's docstring."""

    def __init__(self) -> None:
        self._env: gym.Env[str, str] | None = None
        self._needs: list[_Need] = []

    def attach(self, env: gym.Env[str, str]) -> None:
        """Receive the environment that it will look into."""
        self._env = env

    def reset(self, info: Info) -> None:
        """Plan the episode."""
        session = self._session()
        finals = [(question, _asked_at(question, session)) for question in session.finals]
        self._needs = [need for one, end in finals for need in _needs(one, end, session)]
        for step, questions in enumerate(session.drawn):
            for question in questions:
                needs = _needs(question, step, session)
                self._needs += [_Need(need.text, step, step) for need in needs]

    def act(self, observation: str, info: Info) -> str:
        """Bring the memory to what is needed after this step."""
        session = self._session()
        if session.terminated:
            return reply([])
        wanted = self._wanted(session)
        held = {normalise(item.content): item.id for item in session.memory.items()}
        gone = [item_id for key, item_id in held.items() if key not in wanted]
        deletes = [Operation(Op.DELETE, item_id=item_id) for item_id in gone]
        missing = [text for key, text in wanted.items() if key not in held]
        operations = deletes + inserts(missing)
        limit = session.settings.max_operations or MAX_OPERATIONS
        return reply(operations[:limit])

    def _session(self) -> Session:
        session = getattr(self._env and self._env.unwrapped, "session", None)
        if not isinstance(session, Session):
            raise TypeError("the oracle must be attached to an environment of this suite first.")
        return session

    def _wanted(self, session: Session) -> dict[str, str]:
        """Normal form → text of what the memory must hold after this step, within the budget."""
        step = session.step_index
        texts: dict[str, str] = {}
        uses: dict[str, int] = defaultdict(int)
        for need in self._needs:
            if need.start <= step <= need.end:
                key = normalise(need.text)
                texts.setdefault(key, need.text)
                uses[key] += 1
        count = make_counter(session.settings.tokenizer)
        costs = {key: count(text) for key, text in texts.items()}
        room = float("inf") if session.memory.budget is None else session.memory.budget
        wanted = {}
        for key in sorted(texts, key=lambda key: -uses[key] / costs[key]):
            if costs[key] <= room:
                room -= costs[key]
                wanted[key] = texts[key]
        return wanted


def _asked_at(question: Question, session: Session) -> int:
    last = session.num_chunks - 1
    return last if question.asked_after is None else question.asked_after


def _needs(question: Question, end: int, session: Session) -> list[_Need]:
    """What answers `question`, asked right after step `end`, from when on."""
    evidence = [(entry.chunk, entry.sentence) for entry in question.evidence if entry.sentence]
    sentences = [(chunk, text) for chunk, text in evidence if chunk <= end]
    if question.type == "multi_hop" and len(sentences) == len(question.evidence) > 1:
        return [_Need(text, chunk, end) for chunk, text in sentences]
    if question.type in ("fact", "multi_hop"):
        holding = [(chunk, text) for chunk, text in sentences if score(text, question) == 1.0]
        if holding:
            chunk, text = holding[-1]
            return [_Need(text, chunk, end)]
    start = max((entry.chunk for entry in question.evidence), default=0)
    return [_Need(_written(question, session), min(start, end), end)]


def _written(question: Question, session: Session) -> str:
    """A text of the oracle's own that makes the reader give the gold answer."""
    gold = gold_prediction(question)
    if question.type == "label":
        return f"{_one_line(question.question)} label: {gold}"
    if question.type == "summary":
        return _opening(gold, session.settings.answer_tokens)
    return f"{_one_line(question.question)} → {_one_line(gold)}"


def _one_line(text: str) -> str:
    """The text as one sentence: no line breaks, nothing that ends a sentence."""
    return " ".join(_SENTENCE_END.sub(" ", text).split())


def _opening(text: str, tokens: int) -> str:
    """The first words of `text`, `tokens` tokens of them."""
    kept: list[str] = []
    for word in text.split():
        if approx_tokens(" ".join([*kept, word])) > tokens:
            break
        kept.append(word)
    return " ".join(kept)
