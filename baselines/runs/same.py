"""Where two records of one episode differ: what is stored, and what playing it again gives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace

from baselines.tables.results import Result
from finemem_env.trace import Trace, trace_line, without_texts

_TOLERANCE = 1e-9
# Of a result: who played what, and what a clock or a model's server said, which nothing says again.
_NOT_MEASURED = (
    "agent", "episode", "seed", "episode_id", "task", "budget", "error", "agent_seconds",
    "env_seconds", "usage",
)  # fmt: skip


def differing(stored: Result, again: Result) -> list[str]:
    """Names of what two results of one episode say otherwise."""
    names = [field.name for field in fields(Result) if field.name not in _NOT_MEASURED]
    return [name for name in names if _apart(getattr(stored, name), getattr(again, name))]


def first_difference(stored: Trace, again: Trace) -> str:
    """The first place where two traces differ, such as "steps 3 reward"; "" where there is none.

    Versions and the texts that were read, which a trace need not hold, are left aside.
    """
    return _apart(_plain(stored), _plain(replace(again, schema=stored.schema)))


def _plain(trace: Trace) -> object:
    record = json.loads(trace_line(without_texts(replace(trace, versions={}))))
    for step in record["steps"]:
        step.pop("time", None)
    return record


def _apart(first: object, second: object) -> str:
    """Where two JSON values differ, as words; numbers may by what rounding does."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        pairs = [(str(key), first.get(key), second.get(key)) for key in {**first, **second}]
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        pairs = [(str(i), *pair) for i, pair in enumerate(zip(first, second, strict=True))]
    else:
        return "" if _same(first, second) else "."
    for name, one, other in pairs:
        if where := _apart(one, other):
            return f"{name} {where}".removesuffix(" .")
    return ""


def _same(first: object, second: object) -> bool:
    numbers = (int, float)
    if type(first) in numbers and type(second) in numbers:
        return first == second or abs(first - second) <= _TOLERANCE  # type: ignore[operator]
    return type(first) is type(second) and first == second
