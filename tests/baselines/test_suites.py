from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from baselines.benchmark import main
from baselines.runs.choice import AgentChoice
from baselines.runs.run import RunConfig, _check_hashes, run, suite_data
from baselines.suite_hashes import DATA_HASHES
from baselines.suites import SUITES, Suite, Task, check_data, get_suite
from finemem_env.errors import ConfigError, DataError

SMALL: dict[str, Any] = {"split": "test", "num_chunks": 3}


@pytest.fixture
def tiny_suite(monkeypatch: pytest.MonkeyPatch) -> str:
    """Two tasks of generated text, two budgets."""
    tasks = (Task("ar", "FineMem-AR-v0", SMALL, 2), Task("cr", "FineMem-CR-v0", SMALL, 1))
    suite = Suite("tiny-v0", "for tests", tasks, 5, ("0.4", "unlimited"))
    monkeypatch.setitem(SUITES, "tiny-v0", suite)
    return "tiny-v0"


def test_every_suite_has_every_competency_and_pinned_data() -> None:
    for suite in SUITES.values():
        names = [task.name for task in suite.tasks]
        assert len(set(names)) == len(names)
        assert set(DATA_HASHES[suite.name]) == set(names)
        assert {task.env for task in suite.tasks} == {
            f"FineMem-{one}-v0" for one in ("AR", "TTL", "LRU", "CR")
        }
        assert all(task.data_hash for task in get_suite(suite.name).tasks)


def test_the_generated_tasks_of_the_cpu_suite_are_what_was_pinned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    suite = SUITES["suite-cpu-v1"]
    tasks = tuple(task for task in suite.tasks if task.name.endswith("synthetic"))
    monkeypatch.setitem(SUITES, "part", Suite("part", "", tasks, suite.seed))
    pinned = DATA_HASHES["suite-cpu-v1"]
    assert {name: data.data_hash for name, data in suite_data("part").items()} == {
        task.name: pinned[task.name] for task in tasks
    }


def test_the_real_tasks_of_the_cpu_suite_are_what_was_pinned(data_dir: Path) -> None:
    found = {name: data.data_hash for name, data in suite_data("suite-cpu-v1").items()}
    assert found == DATA_HASHES["suite-cpu-v1"]


def test_missing_data_is_refused_with_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FINEMEM_DATA", str(tmp_path / "data"))
    folder = tmp_path / "run"
    assert main(["--suite", "suite-cpu-v1", "--output-dir", str(folder)]) == 2
    error = capsys.readouterr().err
    for name in ("squad/dev-v1.1.json", "banking77/test.csv", "mquake/MQuAKE-hard.json"):
        assert name in error
    assert "{split}" not in error
    assert not folder.exists()


def test_a_source_without_files_needs_none() -> None:
    check_data([Task("x", "FineMem-AR-v0")])


def test_other_data_than_the_suites_is_refused() -> None:
    task = Task("x", "FineMem-AR-v0", data_hash="a" * 64)
    with pytest.raises(DataError, match=r"x: expected a{16}…, found b{16}…"):
        _check_hashes([task], {"x": "b" * 64})
    _check_hashes([task], {"x": "a" * 64})


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="suite-cpu-v1"):
        get_suite("suite-cpu-v9")


@pytest.mark.parametrize(
    "more", [["--env", "FineMem-CR-v0"], ["--seed", "1"], ["--env-args", '{"top_k": 2}']]
)
def test_what_a_suite_fixes_cannot_be_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    arguments = ["--suite", "suite-cpu-v1", *more, "--output-dir", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert "fixed by --suite" in capsys.readouterr().err


def test_a_suite_plays_every_task_under_every_budget(tmp_path: Path, tiny_suite: str) -> None:
    choices = tuple(AgentChoice(name) for name in ("skip", "fifo", "oracle"))
    rows = run(RunConfig(suite=tiny_suite, agents=choices), tmp_path)
    assert [row.episodes for row in rows] == [3, 3, 3]
    names = {path.name for path in (tmp_path / "traces").iterdir()}
    assert names == {"ar@0.4.jsonl", "ar@unlimited.jsonl", "cr@0.4.jsonl", "cr@unlimited.jsonl"}
    fifo = rows[1]
    assert fifo.score is not None
    assert fifo.score_macro is not None
    assert fifo.score != fifo.score_macro
