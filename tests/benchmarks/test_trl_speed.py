"""The comparison with TRL: its table, its processes, and each side for real."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import trl_sides, trl_speed
from benchmarks.trl_speed import Round, UpdateTask
from finemem_env.errors import BackendError

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


SMALL = UpdateTask(prompt=24, shared=18, completion=5, rows=8, group=4, threads=1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["ours", "trl/2"])
def test_a_side_does_the_updates_that_it_is_told_to(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("torch", "trl", "datasets"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n2\n"))
    answers = io.StringIO()
    trl_sides.run_side(name, SMALL, answers)
    imports, first, second = map(json.loads, answers.getvalue().splitlines())
    assert (first["updates"], second["updates"]) == (1, 2)
    for one in (first, second):
        assert 0 < one["sample"] < one["seconds"]
        assert one["peak"] >= imports["imports"] > 0


def test_a_mark_of_the_kernel_that_falls_back_does_not_lower_the_peak(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marks = iter([841_891_840, 841_846_784, 841_900_000])
    monkeypatch.setattr(trl_sides, "_marks", [])
    monkeypatch.setattr(trl_sides, "_mark", lambda: next(marks))
    peaks = [trl_sides._peak(SMALL) for _ in range(3)]
    assert peaks == [841_891_840, 841_891_840, 841_900_000]


# What a side says, without doing it: the updates of the order, twice the task's rows as seconds.
TOLD = """
import json, sys
task = json.loads(sys.argv[2])
print(json.dumps({"imports": 1}), flush=True)
for line in sys.stdin:
    said = dict(seconds=2.0 * task["rows"], cpu=1.0, sample=1.0, updates=int(line), peak=3)
    print(json.dumps(said), flush=True)
"""


def test_sides_are_processes_that_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "told.py").write_text(TOLD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(trl_speed, "_SIDES", "told")
    turns: list[str] = []
    sides = trl_speed.measure(SMALL, ["ours", "trl/2"], rounds=2, updates=3, advance=turns.append)
    assert [one.process.returncode for one in sides.values()] == [0, 0]
    assert [one.rounds for one in sides.values()] == [[Round(16.0, 1.0, 1.0, 3, 3)] * 2] * 2
    assert len(turns) == 2
    assert "ours against trl/2: 1.00 times the rows/s" in trl_speed.table(sides)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--splits", "1", "3"], "splits: expected divisors of 128 rows, got 3."),
        (["--device", "nonsense"], "device: expected"),
        (["--device", "auto"], "device: expected cpu or an accelerator"),
    ],
)
def test_what_no_side_can_do_is_refused(
    options: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(trl_speed, "require", lambda *names: None)
    monkeypatch.setattr(trl_speed, "measure", lambda *job: {"ours": side("ours", [2.0], 200)})
    assert trl_speed.main(options) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("says", ["", "print('{\"imports\": 1}')"], ids=["at once", "later"])
def test_a_side_that_ends_is_one_line(
    says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ended.py").write_text(says)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(trl_speed, "_SIDES", "ended")
    with pytest.raises(BackendError, match="ours: the process ended"):
        trl_speed.measure(SMALL, ["ours"], rounds=1, updates=1)


@pytest.mark.parametrize(
    "words", [["trl/x", "{}"], ["ours", '{"rows": "many"}'], ["ours", '{"a": 1}']]
)
def test_a_side_that_is_none_is_refused(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.trl_sides", *words],
        input="", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
