"""Drives sessions: the requests of all are one batch a round, grading calls go to the judge."""

from __future__ import annotations

from collections.abc import Sequence

from finemem_env.errors import ReaderError
from finemem_env.session.grading import Request
from finemem_env.session.records import StepResult
from finemem_env.session.session import Session
from finemem_env.types import Answer, Judge, JudgeRequest, Reader, ReadRequest


def run_step(
    sessions: Sequence[Session],
    actions: Sequence[str],
    reader: Reader,
    judge: Judge | None = None,
) -> list[StepResult]:
    """One step of every session, all their questions sent as one reader batch per round.

    Args:
        sessions: those that take a step.
        actions: one for each.
        reader: answers the questions.
        judge: grades, where a metric or the reward asks for it.

    Raises:
        ReaderError: the reader or judge broke its contract (not one `Answer` per request), or there
            is no judge where one is needed.
    """
    first = [session.advance(action) for session, action in zip(sessions, actions, strict=True)]
    return _settle(sessions, first, reader, judge)


def end_here(
    sessions: Sequence[Session], reader: Reader, judge: Judge | None = None
) -> list[Session]:
    """Copies of the sessions that end after the steps so far, see `Session.end`.

    For continuations of some steps from one shared memory: what they are worth, while the sessions
    themselves can go on. One that is over already is copied as it is.

    Args:
        sessions: each after one step or more.
        reader: answers the final questions.
        judge: grades, where a metric asks for it.

    Raises:
        ReaderError: as of `run_step` and `Session.end`.
    """
    copies = [session.fork() for session in sessions]
    open_ = [copy for copy in copies if not copy.terminated]
    _settle(open_, [copy.end() for copy in open_], reader, judge)
    return copies


def _settle(
    sessions: Sequence[Session],
    first: Sequence[list[Request]],
    reader: Reader,
    judge: Judge | None,
) -> list[StepResult]:
    """Answer the requests of all sessions, round by round, until each has its result."""
    results: dict[int, StepResult] = {}
    rounds = list(enumerate(first))
    while rounds:
        batch = [request for _, requests in rounds for request in requests]
        answers = _send(batch, reader, judge) if batch else []
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


def _send(batch: list[Request], reader: Reader, judge: Judge | None) -> list[Answer]:
    """The answers of one round, in order: one batch to the reader, one to the judge."""
    reads = [request for request in batch if isinstance(request, ReadRequest)]
    grades = [request for request in batch if isinstance(request, JudgeRequest)]
    if grades and judge is None:
        raise ReaderError("run_step: there are grading calls, and no judge was given.")
    read = iter(_checked(reader.answer(reads), reads, reader) if reads else ())
    graded = iter(_checked(judge.judge(grades), grades, judge) if grades and judge else ())
    return [next(read if isinstance(request, ReadRequest) else graded) for request in batch]


def _checked(answers: list[Answer], requests: Sequence[Request], who: object) -> list[Answer]:
    if len(answers) != len(requests):
        raise ReaderError(
            f"{type(who).__name__}: expected {len(requests)} answers, got {len(answers)}."
        )
    return answers
