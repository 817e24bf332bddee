"""The teacher of the warm start: what it keeps, copied or named by number."""

from __future__ import annotations

from itertools import islice

import pytest

from agents.learn.teacher import Lesson, Teacher, lessons
from agents.runs.config import CPU_ENV_ARGS
from agents.warmstart import REFERENCES, WarmStart, _stage_lessons
from finemem_env.operations import parse
from finemem_env.prompts import parse_observation
from finemem_env.types import Operation


def _lessons(teacher: Teacher, count: int) -> list[Lesson]:
    return list(islice(lessons("FineMem-AR-v0", CPU_ENV_ARGS, teacher, seed=0, width=2), count))


def _kept(lesson: Lesson) -> list[str]:
    found = parse(lesson.action, parse_observation(lesson.observation).lines)
    assert all(isinstance(one, Operation) for one in found)
    return [one.content or "" for one in found if isinstance(one, Operation)]


@pytest.mark.parametrize("keep", [1.0, 0.5])
def test_it_keeps_the_same_by_number_in_fewer_characters(keep: float) -> None:
    copied = _lessons(Teacher(keep), 12)
    named = _lessons(Teacher(keep, references=True), 12)
    assert [_kept(one) for one in named] == [_kept(one) for one in copied]
    assert all("INSERT" not in one.action for one in named)
    assert sum(len(one.action) for one in named) < sum(len(one.action) for one in copied) / 10


def test_every_second_lesson_of_the_last_pass_copies() -> None:
    assert WarmStart(references=True).stages() == REFERENCES
    found = list(islice(_stage_lessons(REFERENCES[1], seed=1), 8))
    numbered = [parse_observation(one.observation).lines is not None for one in found]
    assert numbered == [True, False] * 4
