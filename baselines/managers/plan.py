"""What the oracle writes down: notes that answer given questions, as short as the budget asks.

A note holds the evidence sentence that contains the answer (all of them for a multi-hop question),
or the oracle's own words. It is made once per answer, so that questions with the same evidence and
golds share it, and knows the steps after which it must be in memory.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter, defaultdict
from collections.abc import Set
from dataclasses import dataclass, field

import numpy as np

from baselines.managers.scripted import inserts, reply
from finemem_env.rewards import REWARDS
from finemem_env.scoring import gold_prediction, score
from finemem_env.session import Session, run_step
from finemem_env.text import approx_tokens, make_counter, normalise
from finemem_env.types import Op, Operation, Question, Reader

__all__ = ["Note", "Plan"]

_Key = tuple[str, tuple[str, ...]]
_Form = tuple[tuple[str, int], ...]  # texts, each with the first step that may write it
_COMMON = 0.15  # share of the questions that hold a common word
_PASSED = 0.5  # a question that scores less is not answered by its note

_SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)|[。！？]+|[\r\n]+")


@dataclass(slots=True)
class Note:
    """One way or another to write down what answers some questions.

    `forms`: ways in order of preference, each the texts to write with the step that each may be
    written at; the last is the surest. `uses`: question key → steps after which it needs the note.
    """

    forms: list[_Form]
    uses: dict[_Key, set[int]] = field(default_factory=dict)

    @property
    def steps(self) -> set[int]:
        """The steps after which it must be in memory."""
        return set().union(*self.uses.values())

    def texts(self, step: int) -> list[str]:
        """What must be in memory after `step`."""
        needed = any(step in steps for steps in self.uses.values())
        return [text for text, start in self.forms[0] if start <= step] if needed else []


class Plan:
    """What the memory must hold after every step of a session's episode."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._count = make_counter(session.settings.tokenizer)
        self._common = _common_words(session)
        self._notes: dict[object, Note] = {}
        for number, question in enumerate(session.finals):
            end = _asked_after(question, session) + 1
            # Without evidence any step will do: spread them, for a step takes so many operations.
            note = self._note(question, number % end)
            first = min(start for _, start in note.forms[0])
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
        """Take shorter forms, the largest saving first, until every step fits the budget."""
        budget = self._session.memory.budget
        if budget is None:
            return
        loads = [0] * self._session.num_chunks
        savings: list[tuple[int, Note, int]] = []
        for note in self._notes.values():
            costs = [sum(self._count(text) for text, _ in form) for form in note.forms]
            for step in note.steps:
                loads[step] += costs[0]
            shortest = min(range(len(costs)), key=costs.__getitem__)
            savings.append((costs[0] - costs[shortest], note, shortest))
        for saving, note, shortest in sorted(savings, key=lambda entry: -entry[0]):
            if max(loads) <= budget or not saving:
                break
            del note.forms[:shortest]
            for step in note.steps:
                loads[step] -= saving

    def rehearse(self, reader: Reader) -> int:
        """Play the plan once and change the form of notes that fail; returns how many changed."""
        session = self._session
        trial = Session(
            session.episode,
            dataclasses.replace(session.settings, reward=REWARDS["outcome"]),
            np.random.default_rng(0),
            self._count,
            max_chars=1,
        )
        trial.feed.finals, trial.feed.drawn = session.finals, session.drawn
        while not trial.terminated:
            run_step([trial], [self.action(trial)], reader)
        asked = [one for step in trial.record.results for one in step.chunk_answers]
        asked += [one for one, _ in trial.record.finals]
        failing = {_key(one.question): one.question for one in asked if one.score < _PASSED}
        return sum(map(self._mend, failing.values()))

    def _mend(self, question: Question) -> bool:
        """Give a failing question a note of its own, then the next form of that note."""
        key = _key(question)
        note = self._notes.get(key) or self._notes[_topic(question)]
        if len(note.uses) > 1:
            start = max(start for _, start in note.forms[0])
            self._notes[key] = Note(self._own_forms(question, start), {key: note.uses.pop(key)})
        elif len(note.forms) > 1:
            del note.forms[0]
        else:
            return False
        return True

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
            evidence = _evidence(question)
            forms = [evidence] if evidence else []
            self._notes[topic] = Note(forms + self._own_forms(question, start))
        return self._notes[topic]

    def _own_forms(self, question: Question, start: int) -> list[_Form]:
        texts = _own_words(question, self._common, self._session.settings.answer_tokens)
        return [((text, start),) for text in texts]


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


def _evidence(question: Question) -> _Form:
    """The evidence sentences to store, each with its chunk; () when they do not hold the answer."""
    if question.type not in ("fact", "multi_hop"):
        return ()
    sentences = [(entry.sentence, entry.chunk) for entry in question.evidence if entry.sentence]
    holding = [(text, chunk) for text, chunk in sentences if score(text, question) == 1.0]
    if question.type == "multi_hop" and len(sentences) == len(question.evidence):
        return tuple(sentences)
    return tuple(holding[-1:])


def _own_words(question: Question, common: Set[str], answer_tokens: int) -> list[str]:
    """Texts that make the reader give the gold answer, the shortest first."""
    gold, asked = gold_prediction(question), _one_line(question.question)
    if question.type == "label":
        return [f"{asked} label: {gold}"]
    if question.type == "summary":
        return [_opening(gold, answer_tokens)]
    gold = _one_line(gold)
    telling = [word for word in asked.split() if word.casefold() not in common]
    texts = [f"{' '.join(telling)} → {gold}", f"{asked} → {gold}"]
    # Where surplus words cost, the answer alone may do.
    return [gold, *texts] if question.metric in ("f1", "rouge_l") else texts


def _common_words(session: Session) -> Set[str]:
    """Words of so many questions that they tell none from another."""
    asked = [*session.finals, *(question for step in session.drawn for question in step)]
    texts = {_one_line(question.question).casefold() for question in asked}
    counts = Counter(word for text in texts for word in set(text.split()))
    return {word for word, count in counts.items() if count > max(2, _COMMON * len(texts))}


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
