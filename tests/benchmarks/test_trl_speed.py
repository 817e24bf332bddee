"""The comparison with TRL: its table, and one small round for real."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import trl_speed
from benchmarks.trl_speed import Round, UpdateTask

MIB = 2**20


def side(name: str, seconds: list[float], peak: int, device: str = "cpu") -> Any:  # noqa: ANN401
    rounds = [Round(one, 2 * one, one / 4, 2, peak * MIB) for one in seconds]
    task = UpdateTask(device=device)
    return SimpleNamespace(name=name, task=task, imports=100 * MIB, rounds=rounds)


def test_the_ratio_is_taken_round_by_round_against_the_fastest_other_side() -> None:
    sides = {
        "ours": side("ours", [2.0, 4.0, 3.0], 200),
        "trl/1": side("trl/1", [6.0, 8.0, 9.0], 300),
        "trl/4": side("trl/4", [20.0, 20.0, 20.0], 900),
    }
    text = trl_speed.table(sides)
    assert "| ours  | 85     | 1.50     | 0.38   | 1.12   | 3.00  | 100 MiB     |" in text
    assert "ours against trl/1: 3.00 times the rows/s (2.00-3.00 over 3 rounds)" in text
    assert "0.50 times the memory" in text


def test_on_a_device_the_imports_take_no_memory() -> None:
    text = trl_speed.table({"ours": side("ours", [2.0], 200, "cuda")})
    assert "| 200 MiB" in text
    assert "against" not in text


@pytest.mark.parametrize("name", trl_speed.SETUPS)
def test_a_group_shares_what_the_set_up_says(name: str) -> None:
    task = trl_speed.SETUPS[name]
    prompts = task.prompts()
    assert len(prompts) == task.rows
    assert {len(prompt) for prompt in prompts} == {task.prompt}
    assert all(2 <= one < task.vocabulary for prompt in prompts for one in prompt)
    for first in range(0, task.rows, task.group):
        group = prompts[first : first + task.group]
        assert len({tuple(prompt[: task.shared]) for prompt in group}) == 1
        assert (len(set(map(tuple, group))) == 1) == (task.shared == task.prompt)


@pytest.mark.slow
def test_one_small_round_of_both_sides() -> None:
    for module in ("torch", "trl", "datasets"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    task = UpdateTask(prompt=24, shared=18, completion=5, rows=8, group=4, threads=1)
    sides = trl_speed.measure(task, ["ours", "trl/2"], rounds=1, updates=2)
    assert [one.process.returncode for one in sides.values()] == [0, 0]
    for one in sides.values():
        (found,) = one.rounds
        assert found.updates == 2
        assert 0 < found.sample < found.seconds
        assert found.peak > one.imports > 0
    assert "ours against trl/2" in trl_speed.table(sides)
