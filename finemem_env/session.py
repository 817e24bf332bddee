"""One episode and its memory: the only definition of a step.

A step is two halves around the reader. `advance(action)` applies the operations and says what must
be read; `settle(answers)` turns answers into more requests or into the step's result. Every caller
(environment, vector environment, rescoring) drives sessions through `run_step`, which sends the
requests of all of them as one batch a round. A session knows nothing of Gymnasium.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import numpy as np

from finemem_env import rewards
from finemem_env.errors import ReaderError
from finemem_env.memory import Item, Memory
from finemem_env.operations import parse
from finemem_env.prompts import INSTRUCTIONS
from finemem_env.retrieval import make_retriever
from finemem_env.sampling import draw_chunk_questions, draw_finals
from finemem_env.scoring import score
from finemem_env.settings import Settings
from finemem_env.types import (
    Answer,
    Episode,
    OperationResult,
    Question,
    Reader,
    ReadRequest,
    RejectReason,
)
from finemem_env.view import ObservationView

__all__ = ["Asked", "Session", "StepResult", "run_step"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was read: what was shown for it, what came back, and its score."""

    question: Question
    items: tuple[Item, ...]
    answer: Answer
    score: float


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


@dataclass(slots=True)
class _Record:
    """What the session keeps of the steps so far, for the rewards and for traces."""

    actions: list[str] = field(default_factory=list)
    results: list[StepResult] = field(default_factory=list)
    steps: list[rewards.StepOutcome] = field(default_factory=list)
    finals: list[tuple[Asked, rewards.FinalOutcome]] = field(default_factory=list)


_Step = Generator[list[ReadRequest], Sequence[Answer], StepResult]


class Session:
    """Drives one episode: memory, retrieval, questions, rewards.

    Args:
        episode: the chunks and questions.
        settings: resolved settings.
        rng: draws the final and chunk questions; nothing else is random.
        count_tokens: the token counter of `settings.tokenizer`.
        max_chars: longest observation in characters.
    """

    def __init__(
        self,
        episode: Episode,
        settings: Settings,
        rng: np.random.Generator,
        count_tokens: Callable[[str], int],
        max_chars: int,
    ) -> None:
        self.episode = episode
        self.settings = settings
        self.chunk_tokens = tuple(count_tokens(chunk.text) for chunk in episode.chunks)
        self.finals = draw_finals(episode.questions, settings.question_fraction, rng)
        measured = settings.measure_chunk_questions or settings.reward.weights.chunk_qa != 0
        self.drawn = draw_chunk_questions(
            episode,
            settings.chunk_question_scope,
            settings.chunk_questions if measured else 0,
            rng,
        )
        self.memory = Memory(
            count_tokens=count_tokens,
            budget=_budget(settings.memory_budget, sum(self.chunk_tokens)),
            max_item_tokens=settings.max_item_tokens,
            max_operations=settings.max_operations,
        )
        self.retriever = make_retriever(settings.retriever, bm25=settings.bm25)
        limit = settings.max_observation_tokens
        if limit is not None and settings.include_instructions:
            limit -= count_tokens(INSTRUCTIONS)
        self.view = ObservationView(settings.memory_view, limit, max_chars, count_tokens)
        self.step_index = 0
        self.record = _Record()
        self._running: _Step | None = None

    @property
    def num_chunks(self) -> int:
        """T, which never depends on the policy."""
        return len(self.episode.chunks)

    @property
    def terminated(self) -> bool:
        """Whether every chunk was read and acted upon."""
        return self.step_index >= self.num_chunks

    def upcoming_chunk_questions(self) -> tuple[Question, ...]:
        """The chunk questions that will be asked right after the current step."""
        return () if self.terminated else self.drawn[self.step_index]

    def observe(self) -> str:
        """The observation before the current step, or the closing view of the memory."""
        t = self.step_index
        chunk = None if self.terminated else self.episode.chunks[t]
        tokens = 0 if chunk is None else self.chunk_tokens[t]
        text = self.view.render(chunk, tokens, t, self.num_chunks, self.memory, self.retriever)
        return f"{INSTRUCTIONS}\n\n{text}" if self.settings.include_instructions else text

    def advance(self, action: str) -> list[ReadRequest]:
        """Apply the agent's text and return the first round of questions (perhaps none)."""
        self._running = self._run(action)
        return next(self._running)

    def settle(self, answers: Sequence[Answer]) -> list[ReadRequest] | StepResult:
        """Take one round of answers; return the next round, or the step's result."""
        if self._running is None:
            raise ReaderError("settle() without advance(): no step is open.")
        try:
            return self._running.send(answers)
        except StopIteration as stop:
            self._running = None
            result: StepResult = stop.value
            return result

    def _run(self, action: str) -> _Step:
        t = self.step_index
        operations = self._apply(action)
        chunk_questions, finals = self.drawn[t], self._finals_now()
        shown = [self._retrieve(question) for question in (*chunk_questions, *finals)]
        answers = yield [
            self._request(question, items)
            for question, items in zip((*chunk_questions, *finals), shown, strict=True)
        ]
        asked = [
            _score(question, items, answer)
            for question, items, answer in zip(
                (*chunk_questions, *finals), shown, answers, strict=True
            )
        ]
        split = len(chunk_questions)
        outcomes = [_final_outcome(one) for one in asked[split:]]
        if self._leaves_one_out(outcomes):
            outcomes = yield from self._leave_one_out(asked[split:], outcomes)
        self.record.finals.extend(zip(asked[split:], outcomes, strict=True))
        return self._close(action, operations, tuple(asked[:split]))

    def _apply(self, action: str) -> tuple[OperationResult, ...]:
        change = self.memory.apply(self.step_index, parse(action))
        if change.removed or change.added:
            self.retriever.update(
                [(item.id, item.content) for item in change.removed],
                [(item.id, item.content) for item in change.added],
            )
            self.view.update(change)
        return change.results

    def _finals_now(self) -> tuple[Question, ...]:
        """Final questions due after this step: those asked_after it, at the end all others."""
        t, last = self.step_index, self.num_chunks - 1
        due = []
        for question in self.finals:
            when = last if question.asked_after is None else question.asked_after
            if when == t:
                due.append(question)
        return tuple(due)

    def _retrieve(self, question: Question) -> tuple[Item, ...]:
        query = question.query_prefix + question.question
        found = self.retriever.search(query, self.settings.top_k)
        items = (self.memory.get(item_id) for item_id in found)
        return tuple(item for item in items if item is not None)

    def _request(self, question: Question, items: Sequence[Item]) -> ReadRequest:
        return ReadRequest(
            question=question.question,
            items=tuple(item.content for item in items),
            task=question.type,
            choices=question.choices,
            query_prefix=question.query_prefix,
            answer_tokens=self.settings.answer_tokens,
        )

    def _leaves_one_out(self, outcomes: Sequence[rewards.FinalOutcome]) -> bool:
        """Extra calls are made only where credit is anchored and a question asks for them."""
        reward = self.settings.reward
        anchored = reward.beta > 0 and not reward.broadcast
        return anchored and any(
            rewards.needs_leave_one_out(outcome, reward.attribution) for outcome in outcomes
        )

    def _leave_one_out(
        self, asked: Sequence[Asked], outcomes: Sequence[rewards.FinalOutcome]
    ) -> Generator[list[ReadRequest], Sequence[Answer], list[rewards.FinalOutcome]]:
        """Ask again with each shown item removed, without refilling from rank k+1."""
        attribution = self.settings.reward.attribution
        open_ = [
            (number, removed)
            for number, outcome in enumerate(outcomes)
            if rewards.needs_leave_one_out(outcome, attribution)
            for removed in range(len(outcome.shown))
        ]
        requests = [
            self._request(
                asked[number].question,
                [item for i, item in enumerate(asked[number].items) if i != removed],
            )
            for number, removed in open_
        ]
        answers = yield requests
        without: dict[int, list[float | None]] = {}
        for (number, _), answer in zip(open_, answers, strict=True):
            one = None if answer.failed else score(answer.text, asked[number].question)
            without.setdefault(number, []).append(one)
        return [
            _final_outcome(asked[number], tuple(without.get(number, ())))
            for number in range(len(outcomes))
        ]

    def _close(
        self, action: str, operations: tuple[OperationResult, ...], chunk_answers: tuple[Asked, ...]
    ) -> StepResult:
        step = _step_outcome(operations, chunk_answers)
        self.record.steps.append(step)
        self.record.actions.append(action)
        reward = rewards.stream_reward(step, self.settings.reward)
        self.step_index += 1
        if self.terminated:
            result = self._finish(reward, operations, chunk_answers)
        else:
            terms = rewards.terms(step)
            result = StepResult(reward, False, operations, chunk_answers, terms)
        self.record.results.append(result)
        return result

    def _finish(
        self,
        reward: float,
        operations: tuple[OperationResult, ...],
        chunk_answers: tuple[Asked, ...],
    ) -> StepResult:
        outcome = self.outcome()
        settings, total = self.settings.reward, self.num_chunks
        return StepResult(
            reward=reward + rewards.closing_reward(outcome, settings),
            terminated=True,
            operations=operations,
            chunk_answers=chunk_answers,
            terms=rewards.terms(self.record.steps[-1], outcome),
            answers=tuple(asked for asked, _ in self.record.finals),
            step_rewards=rewards.step_rewards(outcome, settings),
            step_valid=rewards.step_valid(outcome, settings),
            evidence_credit=rewards.evidence_credit(outcome.finals, settings.attribution, total),
        )

    def outcome(self) -> rewards.EpisodeOutcome:
        """The frozen facts of the finished episode, from which any reward preset follows."""
        return rewards.EpisodeOutcome(
            steps=tuple(self.record.steps),
            finals=tuple(final for _, final in self.record.finals),
            memory_tokens=self.memory.tokens,
            input_tokens=sum(self.chunk_tokens),
        )


def run_step(
    sessions: Sequence[Session], actions: Sequence[str], reader: Reader
) -> list[StepResult]:
    """One step of every session, all their questions sent as one reader batch per round.

    Raises:
        ReaderError: the reader broke its contract (not one `Answer` per request).
    """
    results: dict[int, StepResult] = {}
    rounds = [
        (number, session.advance(action))
        for number, (session, action) in enumerate(zip(sessions, actions, strict=True))
    ]
    while rounds:
        batch = [request for _, requests in rounds for request in requests]
        answers = _read(reader, batch) if batch else []
        following, start = [], 0
        for number, requests in rounds:
            end = start + len(requests)
            outcome = sessions[number].settle(answers[start:end])
            if isinstance(outcome, StepResult):
                results[number] = outcome
            else:
                following.append((number, outcome))
            start = end
        rounds = following
    return [results[number] for number in range(len(sessions))]


def _read(reader: Reader, batch: list[ReadRequest]) -> list[Answer]:
    answers = reader.answer(batch)
    if len(answers) != len(batch):
        raise ReaderError(
            f"{type(reader).__name__}.answer: expected {len(batch)} answers, got {len(answers)}."
        )
    return answers


def _budget(budget: int | float | None, input_tokens: int) -> int | None:
    return max(1, int(budget * input_tokens)) if isinstance(budget, float) else budget


def _score(question: Question, items: tuple[Item, ...], answer: Answer) -> Asked:
    value = 0.0 if answer.failed else score(answer.text, question)
    return Asked(question, items, answer, value)


def _step_outcome(
    operations: Sequence[OperationResult], chunk_answers: Sequence[Asked]
) -> rewards.StepOutcome:
    return rewards.StepOutcome(
        emitted=len(operations),
        accepted=sum(1 for one in operations if one.accepted),
        memory_full=sum(1 for one in operations if one.reason is RejectReason.MEMORY_FULL),
        chunk_scores=tuple(None if one.answer.failed else one.score for one in chunk_answers),
    )


def _final_outcome(asked: Asked, without: tuple[float | None, ...] = ()) -> rewards.FinalOutcome:
    return rewards.FinalOutcome(
        score=asked.score,
        shown=tuple(
            rewards.ShownItem(
                step=item.step,
                writers=item.writers,
                sentence_steps=tuple(sentence.step for sentence in item.sentences),
            )
            for item in asked.items
        ),
        used=asked.answer.used,
        without=without,
        failed=asked.answer.failed,
        asked_after=asked.question.asked_after,
    )
