"""The trace of one finished episode, `finemem-trace/2`: enough to score and inspect it again.

    {"schema": "finemem-trace/2", "agent": "fifo", "episode": 0, "seed": 7, "env": {"id": "…", …},
     "episode_id": "squad/test/3", "competency": "AR", "source": "squad", "settings": {…},
     "versions": {…}, "steps": [STEP], "answers": [ANSWER], "step_rewards": [r_t],
     "step_valid": [true], "evidence_credit": [N_t], "memory_tokens": 812, "input_tokens": 2030,
     "memory_budget": 820}
    STEP = {"action": "<the agent's text as it came>", "operations": [["INSERT", null, 4]],
            "reward": 1.5, "terms": {"format": 1.0, …}, "answers": [ANSWER], "memory_tokens": 97,
            "chunk": "<what was read>", "time": null}
    ANSWER = {"id": "q3", "question": "…", "golds": ["…"], "prediction": "…", "score": 1.0,
              "shown": [4, 9], "used": [[0, 2]], "failed": false, "tokens": 0, "without": [],
              "type": "fact", "metric": "f1", "evidence": [[2, "<sentence>"]],
              "credit": [[2, 0.25]], "query": "…", "asked_after": 9, "left_out": []}

An operation is [name, reject reason or null, item id or null], and the numbers of the sentences
that it names where it does, and its media; `media` of a step are those that its chunk shows, as in
`info["media"]`, where there are any; `shown` are the ids of R_j, best first; `used` are (index in
`shown`, sentence index or null); `without` are the leave-one-out scores, `left_out` the answers
that they score (null: the call failed). `answers` of a step belong to its chunk questions;
`judged`, where there is a judge, are its replies by call (null likewise). `evidence` are (chunk,
sentence or null), `credit` what a final question adds to N_t as (step, part), `asked_after` the
step after which it was asked. Indices are 0-based. One trace is a line.

`finemem-trace/1` has neither `memory_budget`, the last three keys of STEP nor the last two lines of
ANSWER. It is read as well, with None in their place, and written as it was. `chunk` may be left out
(`without_texts`): publishers' texts are not everyone's to pass on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast, get_args

from finemem_env.errors import DataError
from finemem_env.fields import Fields, parse_json
from finemem_env.media import encoded, raw_media
from finemem_env.trace.values import (
    each,
    is_citation,
    is_credit,
    is_evidence,
    is_reply,
    is_score,
    need,
    numbers,
    optional,
    plain,
    terms,
    texts,
)
from finemem_env.types import Competency, Evidence, Medium, OperationResult, RejectReason

TRACE_SCHEMA = "finemem-trace/2"
_FIRST_SCHEMA = "finemem-trace/1"
_SECOND_ANSWER = ("type", "metric", "evidence", "credit", "query", "asked_after", "left_out")


@dataclass(frozen=True, slots=True)
class TraceAnswer:
    """One question as it was read and scored; `shown` are item ids, best ranked first.

    `credit` are the parts of the evidence credit N_t that the answer brings, by step; they sum to
    score / answered questions. `query` is what was searched for. `left_out` are the answers without
    each shown item, None for a failed call; empty where nothing was left out. The fields from
    `type` on are None in a trace of the first version.
    """

    id: str
    question: str
    golds: tuple[str, ...]
    prediction: str
    score: float
    shown: tuple[int, ...]
    used: tuple[tuple[int, int | None], ...] = ()
    failed: bool = False
    tokens: int = 0
    without: tuple[float | None, ...] = ()
    type: str | None = None
    metric: str | None = None
    evidence: tuple[Evidence, ...] | None = None
    credit: tuple[tuple[int, float], ...] | None = None
    query: str | None = None
    asked_after: int | None = None
    left_out: tuple[str | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step: the agent's raw text, what became of it, and the chunk questions' answers.

    `judged`: the judge's replies by `grading.JudgeKeys`, None for a call that failed.
    `memory_tokens`: after the step. `chunk` and `time`: what was read; None where the trace does
    not hold it. `media`: what operations could name of it.
    """

    action: str
    operations: tuple[OperationResult, ...]
    reward: float
    terms: Mapping[str, float]
    answers: tuple[TraceAnswer, ...] = ()
    judged: Mapping[str, str | None] = field(default_factory=dict)
    memory_tokens: int | None = None
    chunk: str | None = None
    time: str | None = None
    media: tuple[Medium, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """A finished episode. `env` says how to make the environment: {"id": …, keyword: …}.

    `step_rewards`, `step_valid` and `evidence_credit` have one entry per step. `memory_budget` is
    in tokens, None for no limit.
    """

    agent: str
    episode: int
    seed: int
    env: Mapping[str, Any]
    episode_id: str
    competency: Competency
    source: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    steps: tuple[TraceStep, ...]
    answers: tuple[TraceAnswer, ...]
    step_rewards: tuple[float, ...]
    step_valid: tuple[bool, ...]
    evidence_credit: tuple[float, ...]
    memory_tokens: int
    input_tokens: int
    memory_budget: int | None = None
    schema: str = TRACE_SCHEMA

    @property
    def is_first_version(self) -> bool:
        """Whether it lacks evidence, credit per question and the memory's size after each step."""
        return self.schema == _FIRST_SCHEMA

    @property
    def episode_return(self) -> float:
        """Sum of the streamed rewards."""
        return sum(step.reward for step in self.steps)


def trace_line(trace: Trace) -> str:
    """The line that stands for `trace` in a file, newline included; pure ASCII.

    Escapes keep what an agent may write and UTF-8 cannot hold, such as half a surrogate pair.
    """
    record: dict[str, Any] = {"schema": trace.schema, **_as_dict(trace)}
    record["answers"] = [_answer_record(answer, trace) for answer in trace.answers]
    record["steps"] = [_step_record(step, trace) for step in trace.steps]
    if trace.is_first_version:
        del record["memory_budget"]
    return json.dumps(record, allow_nan=False) + "\n"


def without_texts(trace: Trace) -> Trace:
    """The trace without the chunks that were read: what a run that is published holds."""
    steps = tuple(replace(step, chunk=None, media=()) for step in trace.steps)
    return replace(trace, steps=steps)


def _as_dict(record: Any) -> dict[str, Any]:  # noqa: ANN401
    """The fields of a dataclass as they are; `dataclasses.asdict` would copy every value."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _step_record(step: TraceStep, trace: Trace) -> dict[str, Any]:
    record = _as_dict(step)
    record["operations"] = list(map(_operation_record, step.operations))
    record["media"] = list(map(encoded, step.media))
    if not step.media:
        del record["media"]
    record["answers"] = [_answer_record(answer, trace) for answer in step.answers]
    if not step.judged:
        del record["judged"]
    if step.chunk is None:
        del record["chunk"]
    if trace.is_first_version:
        del record["memory_tokens"], record["time"]
    return record


def _operation_record(operation: OperationResult) -> list[object]:
    named: list[object] = [list(operation.lines)] if operation.lines or operation.media else []
    named += [list(operation.media)] if operation.media else []
    return [operation.name, operation.reason, operation.item_id, *named]


def _answer_record(answer: TraceAnswer, trace: Trace) -> dict[str, Any]:
    record = _as_dict(answer)
    if trace.is_first_version:
        return {key: value for key, value in record.items() if key not in _SECOND_ANSWER}
    record["evidence"] = [[piece.chunk, piece.sentence] for piece in answer.evidence or ()]
    return record


def write_traces(path: Path | str, traces: Iterable[Trace]) -> None:
    """Write a new file of traces, one a line."""
    with Path(path).open("w", encoding="ascii") as file:
        file.writelines(map(trace_line, traces))


def read_traces(path: Path | str, *, growing: bool = False) -> Iterator[Trace]:
    """Traces of a file in order, each checked.

    Args:
        path: the file.
        growing: it may be written to right now: a last line without its end is left out.

    Raises:
        DataError: an unreadable file or a line that breaks the schema, named by its number.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip() and not (growing and not line.endswith("\n")):
                    where = f"{path}, line {number}"
                    yield parse_trace(parse_json(line, where), where)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a trace file: {error}") from error


def parse_trace(record: object, where: str = "trace") -> Trace:
    """The trace that a JSON object holds; `where` names it in errors.

    Raises:
        DataError: the object breaks the schema.
    """
    found = Fields(record, where, _keys(Trace))
    schema = need(found, "schema", str)
    if schema not in (TRACE_SCHEMA, _FIRST_SCHEMA):
        raise found.error("schema", f"{TRACE_SCHEMA!r} or {_FIRST_SCHEMA!r}")
    first = schema == _FIRST_SCHEMA
    trace = Trace(
        agent=need(found, "agent", str),
        episode=need(found, "episode", int),
        seed=need(found, "seed", int),
        env=plain(found, "env"),
        episode_id=found.text("episode_id"),
        competency=cast(Competency, found.option("competency", get_args(Competency))),
        source=found.text("source"),
        settings=plain(found, "settings"),
        versions=texts(found, "versions"),
        steps=tuple(_step(one, first) for one in found.children("steps", _keys(TraceStep))),
        answers=_answers(found, first),
        step_rewards=numbers(found, "step_rewards"),
        step_valid=tuple(map(bool, found.items("step_valid"))),
        evidence_credit=numbers(found, "evidence_credit"),
        memory_tokens=need(found, "memory_tokens", int),
        input_tokens=need(found, "input_tokens", int),
        memory_budget=optional(found, "memory_budget", int),
        schema=schema,
    )
    for name in ("step_rewards", "step_valid", "evidence_credit"):
        if len(getattr(trace, name)) != len(trace.steps):
            raise found.error(name, f"{len(trace.steps)} entries, one per step")
    return trace


def _step(found: Fields, first: bool) -> TraceStep:
    return TraceStep(
        action=need(found, "action", str),
        operations=tuple(_operation(found, entry) for entry in found.items("operations")),
        reward=need(found, "reward", float),
        terms=terms(found, "terms"),
        answers=_answers(found, first),
        judged=_judged(found),
        memory_tokens=None if first else need(found, "memory_tokens", int),
        chunk=optional(found, "chunk", str),
        time=optional(found, "time", str),
        media=_media(found),
    )


def _media(found: Fields) -> tuple[Medium, ...]:
    entries = found.items("media", [])
    try:
        return raw_media({"media": entries})
    except (KeyError, TypeError, ValueError) as error:
        raise found.error("media", f"what info['media'] holds ({error!r})") from error


def _answers(found: Fields, first: bool) -> tuple[TraceAnswer, ...]:
    return tuple(_answer(answer, first) for answer in found.children("answers", _keys(TraceAnswer)))


def _answer(found: Fields, first: bool) -> TraceAnswer:
    answer = TraceAnswer(
        id=found.text("id"),
        question=found.text("question"),
        golds=found.texts("golds"),
        prediction=need(found, "prediction", str),
        score=need(found, "score", float),
        shown=tuple(each(found, "shown", lambda item_id: type(item_id) is int, "item ids")),
        used=tuple((i, s) for i, s in each(found, "used", is_citation, "[item, sentence] pairs")),
        failed=need(found, "failed", bool),
        tokens=need(found, "tokens", int),
        without=tuple(each(found, "without", is_score, "numbers or null")),
    )
    return answer if first else _second(found, answer)


def _second(found: Fields, answer: TraceAnswer) -> TraceAnswer:
    """The answer with what the first version lacks."""
    evidence = each(found, "evidence", is_evidence, "[chunk, sentence or null] pairs")
    credit = each(found, "credit", is_credit, "[step, part] pairs")
    return replace(
        answer,
        type=need(found, "type", str),
        metric=need(found, "metric", str),
        evidence=tuple(Evidence(chunk, sentence) for chunk, sentence in evidence),
        credit=tuple((step, float(part)) for step, part in credit),
        query=need(found, "query", str),
        asked_after=optional(found, "asked_after", int),
        left_out=tuple(each(found, "left_out", is_reply, "texts or null", [])),
    )


def _judged(found: Fields) -> dict[str, str | None]:
    replies = found.mapping("judged")
    if not all(map(is_reply, replies.values())):
        raise found.error("judged", "an object of texts or null")
    return cast("dict[str, str | None]", replies)


def _operation(found: Fields, entry: object) -> OperationResult:
    if isinstance(entry, list) and 3 <= len(entry) <= 5:
        name, reason, item_id, *named = entry
        lines, media = [*named, [], []][:2]
        fits = isinstance(name, str) and (item_id is None or type(item_id) is int)
        fits = fits and isinstance(lines, list) and all(type(line) is int for line in lines)
        fits = fits and isinstance(media, list) and all(type(name) is str for name in media)
        if fits and (reason is None or reason in set(RejectReason)):
            known = None if reason is None else RejectReason(reason)
            return OperationResult(name, known, item_id, tuple(lines), tuple(media))
    raise found.error(
        "operations",
        "a list of [name, reject reason or null, item id or null, line numbers, media]",
    )


def _keys(record: type) -> list[str]:
    return [item.name for item in fields(record)]
