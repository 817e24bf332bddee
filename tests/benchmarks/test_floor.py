from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from baselines.agents import AGENTS, make_agent
from baselines.tables.summary import FLOOR
from benchmarks import floor
from benchmarks.floor import QUESTIONS, Earned, earnings, tasks
from finemem_env.data.registry import SOURCES, load_source
from finemem_env.data.source import SourceConfig
from finemem_env.errors import ConfigError, DataError
from tests.data.parquet_files import memalpha_folder


def returns(
    env_id: str, keywords: Mapping[str, Any], agents: Iterable[str] = AGENTS
) -> dict[str, float]:
    players = {name: make_agent(name) for name in agents}
    played = earnings(env_id, keywords, 1, 0, players)
    return {name: earned.total for name, earned in played.items()}


@pytest.mark.parametrize("asked", QUESTIONS)
@pytest.mark.parametrize("task", list(tasks(["synthetic"])), ids=lambda task: task[0])
def test_an_empty_memory_earns_least(task: tuple[str, str, dict[str, str]], asked: str) -> None:
    _, env_id, keywords = task
    earned = returns(env_id, {**keywords, **QUESTIONS[asked], "num_chunks": 3})
    assert len(earned) > 10
    assert min(earned.values()) == earned[FLOOR] == 0.0
    assert max(earned.values()) > 0.5


def test_where_the_format_pays_an_empty_memory_earns() -> None:
    paid = {"num_chunks": 3, "reward": "fine-mem", "chunk_questions": 0}
    assert returns("FineMem-AR-v0", paid, (FLOOR,))[FLOOR] > 3.0


def test_a_source_that_cuts_its_chunks_is_not_told_their_number(tmp_path: Path) -> None:
    refusing = set()
    for name in SOURCES:
        try:
            load_source(name, SourceConfig(data_dir=tmp_path, num_chunks=4))
        except ConfigError as error:
            refusing |= {name} if "num_chunks" in str(error) else set()
        except DataError:
            pass  # its files are not there
    assert refusing == set(floor._CUT) - {"memoryagentbench"}  # which looks for files first


def test_published_instances_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINEMEM_DATA", str(memalpha_folder(tmp_path)))
    monkeypatch.setattr(floor, "AGENTS", (FLOOR, "fifo"))
    assert floor.main(["memalpha"]) == 0
    shown = capsys.readouterr()
    assert shown.out.count("| memalpha | ") == 2
    assert "left out" not in shown.err


@pytest.mark.parametrize("other", [0.5, -0.5])
def test_the_command_prints_a_line_for_every_source(
    other: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    totals = {FLOOR: 0.0, "fifo": other, "rag": 1.0}
    earned = {name: Earned(0.0, total) for name, total in totals.items()}
    monkeypatch.setattr(floor, "earnings", lambda *given: earned)
    assert floor.main(["synthetic"]) == (other < 0)
    out = capsys.readouterr().out
    assert out.count("| synthetic ") == 8
    assert f"{8 * (other < 0)} of 8 where another agent earns less than skip" in out
