"""Four times the text costs at most five times the work, counted in lines of Python that run.

What one line scans is not counted: `test_linear_time` hands those scans texts of a million.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from finemem_env.operations import parse
from finemem_env.readers.prompted import parse_reply
from finemem_env.scoring import score, strip_reasoning
from finemem_env.scoring.mem_alpha import without_reasoning
from finemem_env.trace import parse_trace
from finemem_env.types import Question

GOLD = "Mara lives in Osta.\nThe goat of Mara eats beans.\nNobody saw the code."
TRACE = Path(__file__).parent / "trace" / "first_version.jsonl"
UNITS = ("\n", "used: 1\n", "answer: ", "<think>", "</think>", "\\boxed{", '{"op": "SKIP"}', "{",
         "[", '[{"op": "INSERT", "content": "a"}]', '{"a": [{"b"', "KEEP 1\n",
         "✿FUNCTION✿: a\n")  # fmt: skip
METRICS = ("rouge_l", "rouge_l_content", "mab/rouge_l", "mab/rouge_lsum", "mem-alpha/boxed_digits",
           "mab/boxed_choice")  # fmt: skip


def work(call: Callable[[], object]) -> int:
    """Lines of this package that run during `call`."""
    lines = 0

    def count(frame: FrameType, event: str, _: Any) -> Any:  # noqa: ANN401
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(lambda frame, *_: count if "finemem_env" in frame.f_code.co_filename else None)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines


def holds(call: Callable[[int], object], size: int) -> None:
    once = work(lambda: call(size))
    assert 0 < once <= work(lambda: call(4 * size)) <= 5 * once


def test_what_is_above_linear_is_seen() -> None:
    with pytest.raises(AssertionError):
        holds(lambda size: [parse('[{"op": "SKIP"}]' * one, []) for one in range(size)], 6)


@pytest.mark.parametrize("unit", UNITS)
def test_replies_and_actions(unit: str) -> None:
    holds(lambda size: parse_reply(unit * size, 5), 30)
    holds(lambda size: parse(unit * size, ["One.", "Two."]), 30)
    holds(lambda size: strip_reasoning(unit * size), 30)
    holds(lambda size: without_reasoning(unit * size), 30)


@pytest.mark.parametrize("metric", METRICS)
def test_many_distinct_lines(metric: str) -> None:
    question = Question("q", "Which?", (GOLD,), metric)
    holds(
        lambda size: score("\n".join(f"Goat {i} of the {i}th" for i in range(size)), question), 40
    )


def test_traces_of_many_steps() -> None:
    record = json.loads(TRACE.read_text())
    per_step = ("steps", "step_rewards", "step_valid", "evidence_credit")

    def read(times: int) -> None:
        parse_trace({**record, **{key: record[key] * times for key in per_step}})

    holds(read, 2)
