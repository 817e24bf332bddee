"""Scores of answers, with grading calls where a judge decides; and the judge's view of content.

A grading call is a `JudgeRequest` beside the reader's requests. One that fails, or whose reply
cannot be read, leaves its answer without a score.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence

from finemem_env.memory import Memory
from finemem_env.operations import Parsed
from finemem_env.scoring import judge_requests, judged_score, score
from finemem_env.scoring.judged import content_request, content_verdict
from finemem_env.types import (
    Answer,
    JudgeRequest,
    Op,
    Operation,
    OperationResult,
    Question,
    ReadRequest,
)

Request = ReadRequest | JudgeRequest


class Grader:
    """Scores answers, and keeps the judge's replies of the step for its trace."""

    def __init__(self) -> None:
        self._replies: dict[str, str | None] = {}
        self._key = JudgeKeys()

    def score(
        self, answers: Sequence[Answer], questions: Sequence[Question]
    ) -> Generator[list[Request], Sequence[Answer], list[float | None]]:
        """One score in [0, 1] an answer, None where its call or its grading failed."""
        asked = [
            () if answer.failed else judge_requests(answer.text, question)
            for answer, question in zip(answers, questions, strict=True)
        ]
        calls = [request for requests in asked for request in requests]
        if not calls:
            return [
                None if answer.failed else score(answer.text, question)
                for answer, question in zip(answers, questions, strict=True)
            ]
        replies = list((yield [*calls]))
        self.remember(zip(calls, replies, strict=True))
        scores: list[float | None] = []
        start = 0
        for answer, question, requests in zip(answers, questions, asked, strict=True):
            graded = replies[start : start + len(requests)]
            start += len(requests)
            if answer.failed or any(reply.failed for reply in graded):
                scores.append(None)
            elif requests:
                scores.append(judged_score([reply.text for reply in graded], question))
            else:
                scores.append(score(answer.text, question))
        return scores

    def remember(self, graded: Iterable[tuple[JudgeRequest, Answer]]) -> None:
        """Note replies of the judge, None for a call that failed."""
        for request, reply in graded:
            self._replies[self._key(request)[0]] = None if reply.failed else reply.text

    def take(self) -> dict[str, str | None]:
        """The replies since the last time, by `JudgeKeys`."""
        replies, self._replies, self._key = self._replies, {}, JudgeKeys()
        return replies


class JudgeKeys:
    """What stands for the grading calls of one step in a trace."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()

    def __call__(self, request: JudgeRequest) -> tuple[str, str]:
        """The keys of a call and of the first with this text; a judge may not repeat itself."""
        first = hashlib.sha256(request.text.encode("utf-8", "replace")).hexdigest()[:24]
        self._times[first] += 1
        times = self._times[first]
        return (first if times == 1 else f"{first}/{times}"), first


def content_requests(
    parsed: Sequence[Parsed], results: Sequence[OperationResult], memory: Memory
) -> dict[int, JudgeRequest]:
    """The grading call for every accepted write, by its place among the operations.

    Args:
        parsed: what was emitted.
        results: what became of it.
        memory: after the step; it says which store an item is in. A flat one's is semantic.
    """
    requests: dict[int, JudgeRequest] = {}
    for place, (entry, result) in enumerate(zip(parsed, results, strict=True)):
        writes = isinstance(entry, Operation) and entry.op in (Op.INSERT, Op.UPDATE)
        if writes and result.accepted and isinstance(entry, Operation):
            item = None if result.item_id is None else memory.get(result.item_id)
            store = (item.store if item else entry.store) or "semantic"
            written = item.content if item and entry.media else entry.content
            requests[place] = content_request(store, written or "")
    return requests


def content_scores(
    results: Sequence[OperationResult], verdicts: Mapping[int, Answer]
) -> tuple[float | None, ...]:
    """One score for every emitted operation but a SKIP: the verdict on a write, 0 for the others.

    None where the call failed or its reply cannot be read.
    """
    scores: list[float | None] = []
    for place, result in enumerate(results):
        verdict = verdicts.get(place)
        if verdict is not None:
            scores.append(None if verdict.failed else content_verdict(verdict.text))
        elif result.name != Op.SKIP.value:
            scores.append(0.0)
    return tuple(scores)
