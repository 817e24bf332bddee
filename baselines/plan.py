"""What the oracle writes down: notes that answer given questions, as short as the budget asks.

A note holds the evidence sentence that contains the answer (all of them for a multi-hop question),
or the oracle's own words. It is made once per answer, so that questions with the same evidence and
golds share it, and knows the steps after which it must be in memory.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from baselines.scripted import inserts, reply
from finemem_env.scoring import gold_prediction, score
from finemem_env.session import Session, run_step
from finemem_env.settings import REWARDS
from finemem_env.text import approx_tokens, normalise
from finemem_env.tokens import make_counter
from finemem_env.types import Op, Operation, Question, Reader

__all__ = ["Note", "Plan"]

_Key = tuple[str, tuple[str, ...]]

_SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)|[。！？]+|[\r\n]+")


@dataclass(slots=True)
class Note:
    """Texts with the step that each may be written at, for the questions that they answer.

    `own`: the same in the oracle's own words. `uses`: question key → steps after which it needs
    the note.
    """

    parts: tuple[tuple[str, int], ...]
    own: tuple[str, int]
    uses: dict[_Key, set[int]] = field(default_factory=dict)

    @property
    def rewritten(self) -> bool:
        """Whether it holds the oracle's own words."""
        return self.parts == (self.own,)

    @property
    def steps(self) -> set[int]:
        """The steps after which it must be in memory."""
        return set().union(*self.uses.values())

    def rewrite(self) -> None:
        """Replace the evidence by the oracle's own words."""
        self.parts = (self.own,)

    def texts(self, step: int) -> list[str]:
        """What must be in memory after `step`."""
        needed = any(step in steps for steps in self.uses.values())
        return [text for text, start in self.parts if start <= step] if needed else []


class Plan:
    """What the memory must hold after every step of a session's episode."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._count = make_counter(session.settings.tokenizer)
        self._notes: dict[object, Note] = {}
        for number, question in enumerate(session.finals):
            end = _asked_after(question, session) + 1
            # Without evidence any step will do: spread them, for a step takes so many operations.
            note = self._note(question, number % end)
            first = min(start for _, start in note.parts)
            note.uses.setdefault(_key(question), set()).update(range(first, end))
        for step, questions in enumerate(session.drawn):
            for question in questions:
                self._note(question, 0).uses.setdefault(_key(question), set()).add(step)

    def wanted(self, step: int) -> dict[str, str]:
        """Normal form → text of what the memory must hold after `step`.

        What does not fit into the budget is left out, fewest questions per token first.
        """
        texts: dict[str, str] = {}
        uses: dict[str, int] = defaultdict(int)
        for note in self._notes.values():
            for text in note.texts(step):
                texts[normalise(text)] = text
                uses[normalise(text)] += len(note.uses)
        costs = {key: self._count(text) for key, text in texts.items()}
        budget = self._session.memory.budget
        room = float("inf") if budget is None else budget
        kept = {}
        for key in sorted(texts, key=lambda key: -uses[key] / costs[key]):
            if costs[key] <= room:
                room -= costs[key]
                kept[key] = texts[key]
        return kept

    def shorten(self) -> None:
        """Put notes into own words, the largest saving first, until every step fits the budget."""
        budget = self._session.memory.budget
        if budget is None:
            return
        loads = [0] * self._session.num_chunks
        savings = []
        for note in self._notes.values():
            cost = sum(self._count(text) for text, _ in note.parts)
            for step in note.steps:
                loads[step] += cost
            savings.append((cost - self._count(note.own[0]), note))
        savings.sort(key=lambda pair: -pair[0])
        for saving, note in savings:
            if max(loads) <= budget or saving <= 0:
                break
            note.rewrite()
            for step in note.steps:
                loads[step] -= saving

    def rehearse(self, reader: Reader) -> int:
        """Play the plan once and put the notes that fail into own words; returns how many."""
        session = self._session
        trial = Session(
            session.episode,
            dataclasses.replace(session.settings, reward=REWARDS["outcome"]),
            np.random.default_rng(0),
            self._count,
            max_chars=1,
        )
        trial.finals, trial.drawn = session.finals, session.drawn
        while not trial.terminated:
            run_step([trial], [self.action(trial)], reader)
        asked = [one for step in trial.record.results for one in step.chunk_answers]
        asked += [one for one, _ in trial.record.finals]
        failing = {_key(one.question): one.question for one in asked if one.score < 1.0}
        return sum(map(self._mend, failing.values()))

    def _mend(self, question: Question) -> bool:
        """Put the note of a failing question into own words, else give it one of its own."""
        key, topic = _key(question), _topic(question)
        if key in self._notes:
            return False
        note = self._notes[topic]
        if note.rewritten and len(note.uses) > 1:
            own = (_own_words(question, self._session.settings.answer_tokens), note.own[1])
            self._notes[key] = Note((own,), own, {key: note.uses.pop(key)})
            return True
        changed = not note.rewritten
        note.rewrite()
        return changed

    def action(self, session: Session) -> str:
        """The operations that bring the memory of `session` to what its current step wants."""
        wanted = self.wanted(session.step_index)
        held = {normalise(item.content): item.id for item in session.memory.items()}
        gone = [item_id for key, item_id in held.items() if key not in wanted]
        operations = [Operation(Op.DELETE, item_id=item_id) for item_id in gone]
        operations += inserts(text for key, text in wanted.items() if key not in held)
        return reply(operations[: session.settings.max_operations])

    def _note(self, question: Question, start: int) -> Note:
        """The note that answers `question`; without evidence it is written at step `start`."""
        topic = _topic(question)
        if topic not in self._notes:
            start = max((entry.chunk for entry in question.evidence), default=start)
            own = (_own_words(question, self._session.settings.answer_tokens), start)
            self._notes[topic] = Note(_evidence(question) or (own,), own)
        return self._notes[topic]


def _key(question: Question) -> _Key:
    """What tells questions apart: one text may have other golds later on."""
    return normalise(question.question), question.answers


def _topic(question: Question) -> object:
    """Questions of one topic are answered by one note."""
    if question.evidence and question.type in ("fact", "multi_hop"):
        return question.evidence, question.answers
    return "", _key(question)


def _asked_after(question: Question, session: Session) -> int:
    return session.num_chunks - 1 if question.asked_after is None else question.asked_after


def _evidence(question: Question) -> tuple[tuple[str, int], ...]:
    """The evidence sentences to store, each with its chunk; () when they do not hold the answer."""
    if question.type not in ("fact", "multi_hop"):
        return ()
    sentences = [(entry.sentence, entry.chunk) for entry in question.evidence if entry.sentence]
    holding = [(text, chunk) for text, chunk in sentences if score(text, question) == 1.0]
    if question.type == "multi_hop" and len(sentences) == len(question.evidence):
        return tuple(sentences)
    return tuple(holding[-1:])


def _own_words(question: Question, answer_tokens: int) -> str:
    """A text that makes the reader give the gold answer."""
    gold = gold_prediction(question)
    if question.type == "label":
        return f"{_one_line(question.question)} label: {gold}"
    if question.type == "summary":
        return _opening(gold, answer_tokens)
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
