from __future__ import annotations

import pytest

from baselines.tables.summary import FLOOR
from benchmarks import floor
from benchmarks.floor import QUESTIONS, returns, tasks


@pytest.mark.parametrize("asked", QUESTIONS)
@pytest.mark.parametrize("task", list(tasks(["synthetic"])), ids=lambda task: task[0])
def test_an_empty_memory_earns_least(task: tuple[str, str, dict[str, str]], asked: str) -> None:
    _, env_id, keywords = task
    earned = returns(env_id, {**keywords, **QUESTIONS[asked], "num_chunks": 3}, episodes=1)
    assert len(earned) > 10
    assert min(earned.values()) == earned[FLOOR] == 0.0
    assert max(earned.values()) > 0.5


def test_where_the_format_pays_an_empty_memory_earns() -> None:
    paid = {"num_chunks": 3, "reward": "fine-mem", "chunk_questions": 0}
    assert returns("FineMem-AR-v0", paid, 1, agents=(FLOOR,))[FLOOR] > 3.0


@pytest.mark.parametrize("other", [0.5, -0.5])
def test_the_command_prints_a_line_for_every_source(
    other: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(floor, "returns", lambda *given: {FLOOR: 0.0, "fifo": other, "rag": 1.0})
    assert floor.main(["synthetic"]) == (other < 0)
    out = capsys.readouterr().out
    assert out.count("| synthetic ") == 8
    assert f"{8 * (other < 0)} of 8 where another agent earns less than skip" in out
