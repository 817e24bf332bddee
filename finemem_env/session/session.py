"""One episode and its memory: the only definition of a step.

A step is two halves around the reader. `advance(action)` applies the operations and says what must
be read; `settle(answers)` turns answers into more requests or into the step's result. Every caller
(environment, vector environment, rescoring) drives sessions through `rounds.run_step`. A session
knows nothing of Gymnasium.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

import numpy as np

from finemem_env.errors import ConfigError, ReaderError
from finemem_env.memory import CORE, Item, Memory, Workspace, within
from finemem_env.operations import Parsed, parse
from finemem_env.retrieval import Retriever
from finemem_env.rewards import FinalOutcome
from finemem_env.rewards import formulas as rewards
from finemem_env.rewards.attribution import evidence_credit, needs_leave_one_out
from finemem_env.scoring import is_judged, needs_judge
from finemem_env.session.feed import Stream, make_feed
from finemem_env.session.grading import Grader, Request, content_requests, content_scores
from finemem_env.session.questions import due_finals, open_finals
from finemem_env.session.records import (
    Asked,
    Closed,
    Record,
    StepResult,
    final_outcome,
    make_asked,
    step_outcome,
)
from finemem_env.settings import Settings
from finemem_env.types import (
    Answer,
    Chunk,
    Episode,
    JudgeRequest,
    Medium,
    OperationResult,
    Question,
    ReadRequest,
)

_Step = Generator[list[Request], Sequence[Answer], StepResult]


class Session:
    """Drives one episode: memory, retrieval, questions, rewards.

    Args:
        episode: the chunks and questions, or a `Stream` that they arrive from.
        settings: resolved settings.
        rng: draws the final and chunk questions; nothing else is random.
        count_tokens: the token counter of `settings.tokenizer`.
        max_chars: longest observation in characters; None follows from the settings.
        retriever: an empty one to use; None makes the one that the settings name.

    Raises:
        ConfigError: questions that only a judge can grade, where there is none; and see `feed`.
    """

    def __init__(
        self,
        episode: Episode | Stream,
        settings: Settings,
        rng: np.random.Generator,
        count_tokens: Callable[[str], int],
        max_chars: int | None = None,
        retriever: Retriever | None = None,
    ) -> None:
        self.settings = settings
        self.feed = make_feed(episode, settings, rng, count_tokens)
        self._check_judge()
        self.workspace = Workspace(
            settings,
            count_tokens,
            input_tokens=sum(self.chunk_tokens),
            max_chars=max_chars,
            retriever=retriever,
        )
        self._grader = Grader()
        self.step_index = 0
        self.record = Record()
        self._ended = False
        self._running: _Step | None = None

    @property
    def episode(self) -> Episode:
        """What is read; of a stream, what has arrived."""
        return self.feed.episode

    @property
    def chunk_tokens(self) -> tuple[int, ...]:
        """Tokens of each chunk."""
        return self.feed.chunk_tokens

    @property
    def finals(self) -> tuple[Question, ...]:
        """The final questions that are scored."""
        return self.feed.finals

    @property
    def drawn(self) -> tuple[tuple[Question, ...], ...]:
        """The chunk questions of each step."""
        return self.feed.drawn

    @property
    def memory(self) -> Memory:
        """The memory of the workspace."""
        return self.workspace.memory

    @property
    def num_chunks(self) -> int:
        """T, which never depends on the policy; -1 in a stream that has not ended."""
        return self.feed.num_chunks

    @property
    def terminated(self) -> bool:
        """Whether every chunk was read and acted upon, or `end` was called."""
        return self._ended or self.step_index >= len(self.feed.episode.chunks)

    def observe(self) -> str:
        """The observation before the current step, or the closing view of the memory."""
        t, chunk = self.step_index, self._chunk
        tokens = 0 if chunk is None else self.chunk_tokens[t]
        return self.workspace.render(chunk, tokens, t, self.num_chunks)

    @property
    def lines(self) -> tuple[str, ...] | None:
        """The numbered sentences of the current step's chunk; None without line_numbers."""
        return self.workspace.lines(self._chunk)

    @property
    def media(self) -> tuple[Medium, ...] | None:
        """What operations can name of the current step's chunk; None where `media` is off."""
        return self.workspace.media(self._chunk)

    @property
    def _chunk(self) -> Chunk | None:
        return None if self.terminated else self.feed.episode.chunks[self.step_index]

    def fork(self) -> Session:
        """A copy that goes on exactly as this one would, with the same questions, apart from it.

        Memory, retriever, view and record are its own; reader and judge are the caller's. What a
        stream still has to bring is kept until both have read it.

        Raises:
            ReaderError: between `advance` and the step's result.
        """
        if self._running is not None:
            raise ReaderError("fork() inside a step: settle its questions first.")
        other = copy.copy(self)
        other.feed, other.workspace = self.feed.fork(), self.workspace.fork()
        other._grader, other.record = Grader(), self.record.fork()
        return other

    def advance(self, action: str) -> list[Request]:
        """Apply the agent's text and return the first round of questions (perhaps none).

        Raises:
            ReaderError: inside a step, also one that an error cut off, or after the end.
        """
        if self._running is not None:
            cut = "one that an error cut off cannot be taken again: start a new episode."
            raise ReaderError(f"advance() inside a step: settle it first; {cut}")
        if self.terminated:
            raise ReaderError("advance() after the end: the episode is over.")
        self._running = self._run(action)
        return next(self._running)

    def end(self) -> list[Request]:
        """End the episode here, as if its text did: the first round of the questions still open.

        They are the final questions whose evidence has been read; those without known evidence
        too. The result that `settle` then gives is the last step's, with what an end adds to it.

        Raises:
            ReaderError: before the first step, inside one, or when the episode is over.
        """
        if self._running is not None or self.terminated or not self.step_index:
            raise ReaderError("end() comes after a step, once: there is no step to end with.")
        self._running = self._end()
        return next(self._running)

    def settle(self, answers: Sequence[Answer]) -> list[Request] | StepResult:
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
        parsed = parse(action, self.lines, media=(media := self.media) is not None)
        operations = self.workspace.apply(t, parsed, media or ()).results
        chunk_questions, finals = self.drawn[t], due_finals(self.finals, t, self.num_chunks - 1)
        questions = (*chunk_questions, *finals)
        shown, reads = self._read(questions)
        written = self._content_requests(parsed, operations)
        replies = yield reads + list(written.values())
        answers, verdicts = replies[: len(reads)], replies[len(reads) :]
        scores = yield from self._grader.score(answers, questions)
        asked = [make_asked(*one) for one in zip(questions, shown, answers, scores, strict=True)]
        split = len(chunk_questions)
        yield from self._close_finals(asked[split:])
        content = content_scores(operations, dict(zip(written, verdicts, strict=True)))
        self._grader.remember(zip(written.values(), verdicts, strict=True))
        step = step_outcome(operations, asked[:split], content if written else ())
        return self._close(action, operations, tuple(asked[:split]), step)

    def _end(self) -> _Step:
        questions = open_finals(self.finals, self.step_index)
        shown, reads = self._read(questions)
        answers = yield reads
        scores = yield from self._grader.score(answers, questions)
        yield from self._close_finals(
            [make_asked(*one) for one in zip(questions, shown, answers, scores, strict=True)]
        )
        self._ended = True
        last = self.record.results.pop()
        self.record.results.append(self._finish(last.reward, last.operations, last.chunk_answers))
        return self.record.results[-1]

    def _read(self, questions: Sequence[Question]) -> tuple[list[tuple[Item, ...]], list[Request]]:
        """What the reader is shown for each question, and the calls that show it."""
        shown = [self._retrieve(question) for question in questions]
        return shown, [self._request(*pair) for pair in zip(questions, shown, strict=True)]

    def _close_finals(
        self, asked: Sequence[Asked]
    ) -> Generator[list[Request], Sequence[Answer], None]:
        """Note final questions that were asked, after the extra calls of the attribution."""
        closed = [(question, final_outcome(question)) for question in asked]
        if self._leaves_one_out([outcome for _, outcome in closed]):
            closed = yield from self._leave_one_out(closed)
        self.record.finals.extend(closed)

    def _content_requests(
        self, parsed: Sequence[Parsed], operations: Sequence[OperationResult]
    ) -> dict[int, JudgeRequest]:
        if self.settings.judge is None or self.settings.reward.weights.content == 0:
            return {}
        return content_requests(parsed, operations, self.memory)

    def _check_judge(self) -> None:
        """Refuse questions that only a judge can grade where there is none."""
        if self.settings.judge is None:
            for question in (*self.finals, *(one for drawn in self.drawn for one in drawn)):
                if is_judged(question.metric):
                    raise ConfigError(needs_judge(question))

    def query(self, question: Question) -> str:
        """What the memory is searched for."""
        prefix = question.query_prefix if self.settings.publication.prefix_in_query else ""
        return prefix + question.question

    def _retrieve(self, question: Question) -> tuple[Item, ...]:
        items = self.workspace.search(self.query(question), self.settings.top_k)
        core = self.workspace.memory.core
        if self.settings.max_read_tokens is not None:
            room = self.settings.max_read_tokens - (core.tokens if core else 0)
            items = tuple(within(items, room))
        return (*items, core) if core else items

    def _request(self, question: Question, items: Sequence[Item]) -> ReadRequest:
        core = ""
        if items and items[-1].store == CORE:
            core, items = items[-1].content, items[:-1]
        texts = tuple([item.content for item in items])
        media: tuple[tuple[Medium, ...], ...] = ()
        if any([item.media for item in items]):
            media = tuple(map(self.memory.kept, items))
        return self.read_request(question, texts, core, media)

    def read_request(
        self,
        question: Question,
        shown: tuple[str, ...],
        core: str = "",
        media: tuple[tuple[Medium, ...], ...] = (),
    ) -> ReadRequest:
        """What the reader is asked when it is shown these texts, and what they keep."""
        return ReadRequest(
            question=question.question,
            items=shown,
            task=question.type,
            choices=question.choices,
            query_prefix=question.query_prefix,
            answer_tokens=self.answer_tokens(question),
            core=core,
            media=media,
        )

    def answer_tokens(self, question: Question) -> int:
        """The longest answer to a question."""
        own = question.metadata.get("answer_tokens")
        if isinstance(own, int) and not self.settings.answer_tokens_given:
            return own
        return self.settings.answer_tokens

    def _leaves_one_out(self, outcomes: Sequence[FinalOutcome]) -> bool:
        """Extra calls are made only where credit is anchored and a question asks for them."""
        reward = self.settings.reward
        anchored = reward.beta > 0 and not reward.broadcast
        return anchored and any(
            needs_leave_one_out(outcome, reward.attribution) for outcome in outcomes
        )

    def _leave_one_out(
        self, closed: Sequence[Closed]
    ) -> Generator[list[Request], Sequence[Answer], list[Closed]]:
        """Ask again with each shown item removed, without refilling from rank k+1."""
        attribution = self.settings.reward.attribution
        open_ = [
            (number, removed)
            for number, (_, outcome) in enumerate(closed)
            if needs_leave_one_out(outcome, attribution)
            for removed in range(len(outcome.shown))
        ]
        answers = yield [
            self._request(
                closed[number][0].question,
                [item for i, item in enumerate(closed[number][0].items) if i != removed],
            )
            for number, removed in open_
        ]
        questions = [closed[number][0].question for number, _ in open_]
        scores = yield from self._grader.score(answers, questions)
        texts: list[list[str | None]] = [[] for _ in closed]
        without: list[list[float | None]] = [[] for _ in closed]
        for (number, _), answer, value in zip(open_, answers, scores, strict=True):
            texts[number].append(None if answer.failed else answer.text)
            without[number].append(value)
        return [
            (replace(question, left_out=tuple(said)), final_outcome(question, tuple(values)))
            for (question, _), said, values in zip(closed, texts, without, strict=True)
        ]

    def _close(
        self,
        action: str,
        operations: tuple[OperationResult, ...],
        chunk_answers: tuple[Asked, ...],
        step: rewards.StepOutcome,
    ) -> StepResult:
        self.record.steps.append(step)
        self.record.actions.append(action)
        self.record.judged.append(self._grader.take())
        self.record.memory_tokens.append(self.memory.tokens)
        reward = rewards.stream_reward(step, self.settings.reward)
        self.step_index += 1
        if self.feed.read_on(self.step_index):
            self._check_judge()
            self.workspace.set_input(sum(self.chunk_tokens))
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
        settings, total = self.settings.reward, len(self.record.steps)
        return StepResult(
            reward=reward + rewards.closing_reward(outcome, settings),
            terminated=True,
            operations=operations,
            chunk_answers=chunk_answers,
            terms=rewards.terms(self.record.steps[-1], outcome),
            answers=tuple(asked for asked, _ in self.record.finals),
            step_rewards=rewards.step_rewards(outcome, settings),
            step_valid=rewards.step_valid(outcome, settings),
            evidence_credit=evidence_credit(outcome.finals, settings.attribution, total),
        )

    def outcome(self) -> rewards.EpisodeOutcome:
        """The frozen facts of the episode so far, from which any reward preset follows."""
        return rewards.EpisodeOutcome(
            steps=tuple(self.record.steps),
            finals=tuple(final for _, final in self.record.finals),
            memory_tokens=self.memory.tokens,
            input_tokens=sum(self.chunk_tokens[: self.step_index]),
        )
