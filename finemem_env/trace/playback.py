"""From a session to its trace, and back: record a finished episode, drive a fresh one with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from finemem_env.errors import DataError, FineMemError, ReaderError
from finemem_env.rewards import FinalOutcome
from finemem_env.rewards.attribution import answered, shares
from finemem_env.session import Session, StepResult
from finemem_env.session.grading import JudgeKeys, Request
from finemem_env.session.records import Asked
from finemem_env.trace.format import Trace, TraceAnswer, TraceStep
from finemem_env.types import Answer, Judge, JudgeRequest, Reader, ReadRequest


def record_trace(
    session: Session,
    *,
    agent: str = "",
    episode: int = 0,
    seed: int = 0,
    env: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
) -> Trace:
    """The trace of a finished session; the keywords say who acted, where and under which versions.

    Raises:
        FineMemError: the episode was not read to its end, also where `Session.end` cut it short.
    """
    if session.step_index != session.num_chunks:
        raise FineMemError(
            "record_trace: expected an episode that was read to its end, got one at step "
            f"{session.step_index} of {session.num_chunks}."
        )
    record, last = session.record, session.record.results[-1]
    return Trace(
        agent=agent,
        episode=episode,
        seed=seed,
        env=dict(env or {}),
        episode_id=session.episode.episode_id,
        competency=session.episode.competency,
        source=session.episode.source,
        settings=session.settings.as_dict(),
        versions=dict(versions or {}),
        steps=tuple(_step(session, t) for t in range(session.num_chunks)),
        answers=tuple(_final(session, *final) for final in record.finals),
        step_rewards=last.step_rewards,
        step_valid=last.step_valid,
        evidence_credit=last.evidence_credit,
        memory_tokens=session.memory.tokens,
        input_tokens=sum(session.chunk_tokens),
        memory_budget=session.memory.budget,
    )


def _step(session: Session, t: int) -> TraceStep:
    record, chunk = session.record, session.episode.chunks[t]
    result = record.results[t]
    return TraceStep(
        action=record.actions[t],
        operations=result.operations,
        reward=result.reward,
        terms=dict(result.terms),
        answers=tuple(_answer(session, asked, t) for asked in result.chunk_answers),
        judged=dict(record.judged[t]),
        memory_tokens=record.memory_tokens[t],
        chunk=chunk.text,
        time=chunk.time,
        media=session.workspace.media(chunk) or (),
    )


def _final(session: Session, asked: Asked, final: FinalOutcome) -> TraceAnswer:
    """A final question with what it adds to the credit of each step."""
    steps, count = session.num_chunks, len(answered([final for _, final in session.record.finals]))
    credit: tuple[tuple[int, float], ...] = ()
    if final.score > 0.0 and not final.failed:
        parts = shares(final, session.settings.reward.attribution, steps)
        credit = tuple((t, final.score * part / count) for t, part in enumerate(parts) if part)
    when = steps - 1 if final.asked_after is None else final.asked_after
    return replace(_answer(session, asked, when), without=final.without, credit=credit)


def _answer(session: Session, asked: Asked, when: int) -> TraceAnswer:
    question = asked.question
    return TraceAnswer(
        id=question.id,
        question=question.question,
        golds=question.answers,
        prediction=asked.answer.text,
        score=asked.score,
        shown=tuple(item.id for item in asked.items),
        used=asked.answer.used,
        failed=asked.answer.failed,
        tokens=asked.answer.tokens,
        type=question.type,
        metric=question.metric,
        evidence=question.evidence,
        credit=(),
        query=session.query(question),
        asked_after=when,
        left_out=asked.left_out,
    )


def replay(
    trace: Trace,
    session: Session,
    reader: Reader | None = None,
    judge: Judge | None = None,
    *,
    trust: bool = True,
    search: bool = True,
) -> StepResult:
    """Drive a fresh `session` of the same episode and seed with the stored actions.

    Stored answers stand in for the reader wherever the same question is asked of the same items,
    and stored replies for the judge; what the trace does not hold (leave-one-out calls that were
    not made, other retrieval settings) is put to `reader` and `judge`. Without `trust`
    every question is put to `reader` again, so that only the actions are taken from the trace.
    Without `search` questions are shown what the trace says they were shown: for a trace whose
    retriever cannot be had. Returns the last step's result.

    Raises:
        DataError: the session's episode is not the trace's.
        ReaderError: something must be read or graded and there is no reader or judge.
    """
    if (session.episode.episode_id, session.num_chunks) != (trace.episode_id, len(trace.steps)):
        raise DataError(
            f"replay: the trace is of {trace.episode_id!r} with {len(trace.steps)} steps, the "
            f"session of {session.episode.episode_id!r} with {session.num_chunks}."
        )
    if not search:
        session.workspace.retriever = _RecordedSearch(trace, session)
    for step in trace.steps:
        requests: list[Request] | StepResult = session.advance(step.action)
        stored = _stored(session, trace) if trust else {}
        key = JudgeKeys()
        while not isinstance(requests, StepResult):
            reads = [request for request in requests if isinstance(request, ReadRequest)]
            grades = [request for request in requests if isinstance(request, JudgeRequest)]
            read = iter(_answers(reads, stored, reader))
            graded = iter(_graded([key(request) for request in grades], grades, step.judged, judge))
            answers = [next(read if isinstance(one, ReadRequest) else graded) for one in requests]
            requests = session.settle(answers)
    return session.record.results[-1]


class _RecordedSearch:
    """In a retriever's place: finds for a question what its trace says was shown for it."""

    def __init__(self, trace: Trace, session: Session) -> None:
        self.version = trace.versions.get("retriever", "")
        self._session = session
        self._left = [_queues(step.answers) for step in trace.steps]
        self._finals = _queues(trace.answers)

    def update(self, removed: Sequence[tuple[int, str]], added: Sequence[tuple[int, str]]) -> None:
        """Nothing is searched."""

    def search(self, query: str, k: int) -> list[int]:
        """Ids of what was shown; the chunk questions of a step are asked before final ones."""
        for queues in (self._left[self._session.step_index], self._finals):
            asked = max((one for one in queues if query.endswith(one)), key=len, default=None)
            if asked is not None and queues[asked]:
                core = self._session.memory.core
                shown = queues[asked].pop(0).shown
                return [item_id for item_id in shown if core is None or item_id != core.id][:k]
        return []


def _queues(answers: Sequence[TraceAnswer]) -> dict[str, list[TraceAnswer]]:
    """Answers by the question, in the order in which they were asked."""
    queues: dict[str, list[TraceAnswer]] = {}
    for answer in answers:
        queues.setdefault(answer.question, []).append(answer)
    return queues


# (question, texts shown, the core last) -> answers in the order in which they were read
_Stored = dict[tuple[str, tuple[str, ...]], list[Answer]]


def _stored(session: Session, trace: Trace) -> _Stored:
    """The answers of the current step whose shown items are in the memory, then those without."""
    t, stored, left_out = session.step_index, _Stored(), _Stored()
    finals = [answer for answer in trace.answers if answer.asked_after in (None, t)]
    for recorded in (*trace.steps[t].answers, *finals):
        items = [session.memory.get(item_id) for item_id in recorded.shown]
        texts = tuple(item.content for item in items if item is not None)
        if len(texts) < len(recorded.shown):
            continue
        answer = Answer(recorded.prediction, recorded.used, recorded.failed, recorded.tokens)
        stored.setdefault((recorded.question, texts), []).append(answer)
        for i, text in enumerate(recorded.left_out or ()):
            key = recorded.question, texts[:i] + texts[i + 1 :]
            left_out.setdefault(key, []).append(Answer(text or "", failed=text is None))
    for key, answers in left_out.items():
        stored.setdefault(key, []).extend(answers)
    return stored


def _answers(
    requests: Sequence[ReadRequest], stored: _Stored, reader: Reader | None
) -> list[Answer]:
    """One answer per request: the stored one, else the reader's (one batch)."""
    known = [_next(stored.get((request.question, request.texts))) for request in requests]
    missing = [request for request, answer in zip(requests, known, strict=True) if answer is None]
    if missing and reader is None:
        raise ReaderError(
            f"replay: {len(missing)} questions of this step are not answered in the trace, e.g. "
            f"{missing[0].question!r}; give a reader."
        )
    fresh = iter(reader.answer(missing) if reader is not None and missing else ())
    return [next(fresh) if answer is None else answer for answer in known]


def _next(answers: list[Answer] | None) -> Answer | None:
    """The next of the answers to the same request; the last stands for all after it."""
    if not answers:
        return None
    return answers.pop(0) if len(answers) > 1 else answers[0]


def _graded(
    keys: Sequence[tuple[str, str]],
    requests: Sequence[JudgeRequest],
    stored: Mapping[str, str | None],
    judge: Judge | None,
) -> list[Answer]:
    """One reply per grading call: the stored one, else the judge's (one batch)."""
    known = [next((key for key in pair if key in stored), None) for pair in keys]
    missing = [request for request, answer in zip(requests, known, strict=True) if answer is None]
    if missing and judge is None:
        raise ReaderError(
            f"replay: {len(missing)} grading calls of this step are not in the trace; give a judge."
        )
    fresh = iter(judge.judge(missing) if judge is not None and missing else ())
    return [
        next(fresh) if key is None else Answer(stored[key] or "", failed=stored[key] is None)
        for key in known
    ]
