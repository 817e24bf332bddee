"""What a session reports: questions as they were asked, steps as they ended.

The last functions turn these records into the frozen outcomes that `rewards` is a function of.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from finemem_env import rewards
from finemem_env.memory import Item
from finemem_env.types import Answer, OperationResult, Question, RejectReason


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was read: what was shown for it, what came back, and its score.

    The core of a hierarchical memory, always shown, is the last of `items`. `left_out`: the
    answers without each of them, where that was asked (leave-one-out); None for a failed call.
    """

    question: Question
    items: tuple[Item, ...]
    answer: Answer
    score: float
    left_out: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step gave. The fields after `terms` are empty until the last step (T rows each).

    `reward` is the streamed reward; `step_rewards` the attributed r_t, of the same sum.
    """

    reward: float
    terminated: bool
    operations: tuple[OperationResult, ...]
    chunk_answers: tuple[Asked, ...]
    terms: dict[str, float]
    answers: tuple[Asked, ...] = ()
    step_rewards: tuple[float, ...] = ()
    step_valid: tuple[bool, ...] = ()
    evidence_credit: tuple[float, ...] = ()


Closed = tuple[Asked, rewards.FinalOutcome]
"""A final question that was asked."""


@dataclass(slots=True)
class Record:
    """What the session keeps of the steps so far, for the rewards and for traces."""

    actions: list[str] = field(default_factory=list)
    results: list[StepResult] = field(default_factory=list)
    judged: list[dict[str, str | None]] = field(default_factory=list)
    memory_tokens: list[int] = field(default_factory=list)
    steps: list[rewards.StepOutcome] = field(default_factory=list)
    finals: list[Closed] = field(default_factory=list)

    def fork(self) -> Record:
        """A copy that grows apart from this one."""
        return Record(*(list(getattr(self, field.name)) for field in dataclasses.fields(self)))


def make_asked(
    question: Question, items: tuple[Item, ...], answer: Answer, score: float | None
) -> Asked:
    """What was asked; an answer that the judge could not grade counts as failed."""
    if score is None:
        answer = dataclasses.replace(answer, failed=True)
    return Asked(question, items, answer, score or 0.0)


def step_outcome(
    operations: Sequence[OperationResult],
    chunk_answers: Sequence[Asked],
    content: tuple[float | None, ...] = (),
) -> rewards.StepOutcome:
    """The counts and scores of a step that its rewards are made of."""
    return rewards.StepOutcome(
        emitted=len(operations),
        accepted=len([one for one in operations if one.reason is None]),
        memory_full=len([one for one in operations if one.reason is RejectReason.MEMORY_FULL]),
        chunk_scores=tuple([None if one.answer.failed else one.score for one in chunk_answers]),
        content_scores=content,
    )


def final_outcome(asked: Asked, without: tuple[float | None, ...] = ()) -> rewards.FinalOutcome:
    """A final question as attribution sees it; `without` are the leave-one-out scores."""
    return rewards.FinalOutcome(
        score=asked.score,
        shown=tuple(map(_shown_item, asked.items)),
        used=asked.answer.used,
        without=without,
        failed=asked.answer.failed,
        asked_after=asked.question.asked_after,
    )


def _shown_item(item: Item) -> rewards.ShownItem:
    steps = tuple([sentence.step for sentence in item.sentences])
    return _of_steps(item.step, item.writers, steps)


_of_steps = lru_cache(maxsize=4096)(rewards.ShownItem)  # most items are of one sentence
