"""Replies of judges that are hostile, contradict themselves, or count beyond all numbers."""

from __future__ import annotations

import pytest

from finemem_env.scoring import judged_score
from finemem_env.scoring.judged import content_verdict
from finemem_env.types import Question

NUGGET = Question("q", "?", ("A",), metric="beam/nuggets", metadata={"rubric": ["a"]})
SUMMARY = Question("q", "?", ("A",), metric="mab/summary_judge", metadata={"keypoints": ["a", "b"]})
FLUENT, PRECISE = '{"fluency": 1}', '{"precision": 1, "sentence_count": 1}'


@pytest.mark.parametrize(
    "value",
    ["[" * 100_000, "1" + "0" * 400, "1" * 5000, "Infinity", "NaN", "1e999", "-1", "true", '"1"'],
)
def test_what_is_no_number_is_a_failed_call(value: str) -> None:
    assert judged_score([f'{{"score": {value}}}'], NUGGET) is None
    assert judged_score([FLUENT, f'{{"recall": {value}}}', PRECISE], SUMMARY) is None
    assert judged_score([FLUENT.replace("1", value), '{"recall": 1}', PRECISE], SUMMARY) is None
    assert content_verdict(f'{{"VALID": {value.replace("true", "[")}}}') is None


def test_a_judge_that_says_both_says_nothing() -> None:
    assert judged_score(['{"score": 0, "score": 1}'], NUGGET) is None
    assert content_verdict('{"VALID": true, "VALID": false}') is None
    assert content_verdict('{"VALID": false} no: {"VALID": true}') == 1.0


def test_fluency_is_yes_or_no() -> None:
    assert judged_score([FLUENT, '{"recall": 2}', PRECISE], SUMMARY) == 1.0
    assert judged_score(['{"fluency": 0.5}', '{"recall": 2}', PRECISE], SUMMARY) is None
