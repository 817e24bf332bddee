"""The trace of one finished episode, `finemem-trace/1`: enough to score it again without the agent.

    {"schema": "finemem-trace/1", "agent": "fifo", "episode": 0, "seed": 7, "env": {"id": "…", …},
     "episode_id": "squad/test/3", "competency": "AR", "source": "squad", "settings": {…},
     "versions": {…}, "steps": [STEP], "answers": [ANSWER], "step_rewards": [r_t],
     "step_valid": [true], "evidence_credit": [N_t], "memory_tokens": 812, "input_tokens": 2030}
    STEP = {"action": "<the agent's text as it came>", "operations": [["INSERT", null, 4]],
            "reward": 1.5, "terms": {"format": 1.0, …}, "answers": [ANSWER]}
    ANSWER = {"id": "q3", "question": "…", "golds": ["…"], "prediction": "…", "score": 1.0,
              "shown": [4, 9], "used": [[0, 2]], "failed": false, "tokens": 0, "without": []}

An operation is [name, reject reason or null, item id or null], and the numbers of the sentences
that it names where it does; `shown` are the ids of R_j, best
first; `used` are (index in `shown`, sentence index or null); `without` are the leave-one-out
scores. `answers` of a step belong to its chunk questions. Indices are 0-based. One trace is a line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from finemem_env.errors import DataError
from finemem_env.fields import Fields
from finemem_env.types import Competency, OperationResult, RejectReason

__all__ = [
    "TRACE_SCHEMA",
    "Trace",
    "TraceAnswer",
    "TraceStep",
    "parse_trace",
    "read_traces",
    "trace_line",
    "write_traces",
]

TRACE_SCHEMA = "finemem-trace/1"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TraceAnswer:
    """One question as it was read and scored; `shown` are item ids, best ranked first."""

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


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step: the agent's raw text, what became of it, and the chunk questions' answers.

    `judged`: the judge's replies by `grading.judge_key`.
    """

    action: str
    operations: tuple[OperationResult, ...]
    reward: float
    terms: Mapping[str, float]
    answers: tuple[TraceAnswer, ...] = ()
    judged: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """A finished episode. `env` says how to make the environment: {"id": …, keyword: …}.

    `step_rewards`, `step_valid` and `evidence_credit` have one entry per step.
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

    @property
    def episode_return(self) -> float:
        """Sum of the streamed rewards."""
        return sum(step.reward for step in self.steps)


def trace_line(trace: Trace) -> str:
    """The line that stands for `trace` in a file, newline included; pure ASCII.

    Escapes keep what an agent may write and UTF-8 cannot hold, such as half a surrogate pair.
    """
    record = {"schema": TRACE_SCHEMA, **_as_dict(trace)}
    record["steps"] = [_step_record(step) for step in trace.steps]
    return json.dumps(record, allow_nan=False, default=_as_dict) + "\n"


def _as_dict(record: Any) -> dict[str, Any]:  # noqa: ANN401
    """The fields of a dataclass as they are; `dataclasses.asdict` would copy every value."""
    return {one.name: getattr(record, one.name) for one in fields(record)}


def _step_record(step: TraceStep) -> dict[str, Any]:
    record = _as_dict(step)
    record["operations"] = [
        [one.name, one.reason, one.item_id, *([list(one.lines)] if one.lines else [])]
        for one in step.operations
    ]
    if not step.judged:
        del record["judged"]
    return record


def write_traces(path: Path | str, traces: Iterable[Trace]) -> None:
    """Write a new file of traces, one a line."""
    with Path(path).open("w", encoding="ascii") as file:
        file.writelines(map(trace_line, traces))


def read_traces(path: Path | str) -> Iterator[Trace]:
    """Traces of a file in order, each checked.

    Raises:
        DataError: an unreadable file or a line that breaks the schema, named by its number.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _parse(line, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a trace file: {error}") from error


def _parse(line: str, where: str) -> Trace:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: expected a JSON object, found invalid JSON: {error}.") from error
    return parse_trace(record, where)


def parse_trace(record: object, where: str = "trace") -> Trace:
    """The trace that a JSON object holds; `where` names it in errors.

    Raises:
        DataError: the object breaks the schema.
    """
    found = Fields(record, where, _keys(Trace, "schema"))
    if _need(found, "schema", str) != TRACE_SCHEMA:
        raise found.error("schema", repr(TRACE_SCHEMA))
    trace = Trace(
        agent=_need(found, "agent", str),
        episode=_need(found, "episode", int),
        seed=_need(found, "seed", int),
        env=found.mapping("env"),
        episode_id=found.text("episode_id"),
        competency=cast(Competency, found.option("competency", get_args(Competency))),
        source=found.text("source"),
        settings=found.mapping("settings"),
        versions=cast("dict[str, str]", found.mapping("versions")),
        steps=_records(found, "steps", where, _step),
        answers=_records(found, "answers", where, _answer),
        step_rewards=_numbers(found, "step_rewards"),
        step_valid=tuple(map(bool, found.items("step_valid"))),
        evidence_credit=_numbers(found, "evidence_credit"),
        memory_tokens=_need(found, "memory_tokens", int),
        input_tokens=_need(found, "input_tokens", int),
    )
    for name in ("step_rewards", "step_valid", "evidence_credit"):
        if len(getattr(trace, name)) != len(trace.steps):
            raise found.error(name, f"{len(trace.steps)} entries, one per step")
    return trace


def _step(record: object, where: str) -> TraceStep:
    found = Fields(record, where, _keys(TraceStep))
    return TraceStep(
        action=_need(found, "action", str),
        operations=tuple(_operation(found, entry) for entry in found.items("operations")),
        reward=_need(found, "reward", float),
        terms=cast("dict[str, float]", found.mapping("terms")),
        answers=_records(found, "answers", where, _answer),
        judged=cast("dict[str, str]", found.mapping("judged")),
    )


def _answer(record: object, where: str) -> TraceAnswer:
    found = Fields(record, where, _keys(TraceAnswer))
    return TraceAnswer(
        id=found.text("id"),
        question=found.text("question"),
        golds=found.texts("golds"),
        prediction=_need(found, "prediction", str),
        score=_need(found, "score", float),
        shown=tuple(_each(found, "shown", lambda one: type(one) is int, "item ids")),
        used=tuple((i, s) for i, s in _each(found, "used", _is_citation, "[item, sentence] pairs")),
        failed=_need(found, "failed", bool),
        tokens=_need(found, "tokens", int),
        without=tuple(_each(found, "without", _is_score, "numbers or null")),
    )


def _operation(found: Fields, entry: object) -> OperationResult:
    if isinstance(entry, list) and len(entry) in (3, 4):
        name, reason, item_id, lines = (*entry, []) if len(entry) == 3 else entry
        fits = isinstance(name, str) and (item_id is None or type(item_id) is int)
        fits = fits and isinstance(lines, list) and all(type(one) is int for one in lines)
        if fits and (reason is None or reason in set(RejectReason)):
            known = None if reason is None else RejectReason(reason)
            return OperationResult(name, known, item_id, tuple(lines))
    raise found.error(
        "operations", "a list of [name, reject reason or null, item id or null, line numbers]"
    )


def _keys(record: type, *more: str) -> list[str]:
    return [*more, *(item.name for item in fields(record))]


def _need(found: Fields, key: str, kind: type[_T]) -> _T:
    """The value of a key that must be there; an int will do where a float is expected."""
    value = found.get(key)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise found.error(key, f"a value of type {kind.__name__}")
    return value


def _records(
    found: Fields, key: str, where: str, make: Callable[[object, str], _T]
) -> tuple[_T, ...]:
    return tuple(make(entry, f"{where}: {key}[{i}]") for i, entry in enumerate(found.items(key)))


def _each(found: Fields, key: str, fits: Callable[[Any], bool], expected: str) -> list[Any]:
    values = found.items(key)
    if not all(map(fits, values)):
        raise found.error(key, f"a list of {expected}")
    return values


def _numbers(found: Fields, key: str) -> tuple[float, ...]:
    return tuple(map(float, _each(found, key, lambda one: type(one) in (int, float), "numbers")))


def _is_citation(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and type(value[0]) is int


def _is_score(value: object) -> bool:
    return value is None or type(value) in (int, float)
