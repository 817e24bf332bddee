from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from baselines.runs.folder import RunFolder
from baselines.tables.results import Result
from finemem_env.errors import ConfigError, DataError
from finemem_env.trace import Trace, read_traces

CONFIG: dict[str, Any] = {"env": "X", "seed": 0, "data_hash": "abc", "git_commit": "1"}


def result(agent: str, episode: int, **more: Any) -> Result:  # noqa: ANN401
    return Result(agent, episode, 7, f"e{episode}", "AR", **more)


def trace(agent: str, episode: int) -> Trace:
    return Trace(
        agent=agent,
        episode=episode,
        seed=7,
        env={},
        episode_id=f"e{episode}",
        competency="AR",
        source="s",
        settings={},
        versions={},
        steps=(),
        answers=(),
        step_rewards=(),
        step_valid=(),
        evidence_credit=(),
        memory_tokens=0,
        input_tokens=1,
    )


def started(path: Path) -> RunFolder:
    folder = RunFolder(path)
    assert folder.start(CONFIG, resume=False) == []
    return folder


def test_a_fresh_folder_is_made_with_its_config(tmp_path: Path) -> None:
    started(tmp_path / "deep" / "run")
    config = json.loads((tmp_path / "deep" / "run" / "config.json").read_text())
    assert config == {"schema": "finemem-run/1", **CONFIG}


def test_resuming_returns_what_is_finished(tmp_path: Path) -> None:
    folder = started(tmp_path)
    folder.add(result("a", 0, score=0.5, rejected={"memory full": 1}), trace("a", 0))
    folder.add(result("b", 0, status="failed", error="act raised"), None)
    assert RunFolder(tmp_path).start(CONFIG, resume=True) == [
        result("a", 0, score=0.5, rejected={"memory full": 1})
    ]


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_kill_in_the_middle_of_a_result_costs_that_result_only(tmp_path: Path, cut: int) -> None:
    folder = started(tmp_path)
    folder.add(result("a", 0), trace("a", 0))
    folder.add(result("a", 1), trace("a", 1))
    results = tmp_path / "results.jsonl"
    results.write_bytes(results.read_bytes()[:-cut])
    folder = RunFolder(tmp_path)
    assert folder.start(CONFIG, resume=True) == [result("a", 0)]
    assert [one.episode for one in read_traces(tmp_path / "traces.jsonl")] == [0]
    folder.add(result("a", 1), trace("a", 1))
    assert len(RunFolder(tmp_path).start(CONFIG, resume=True)) == 2


def test_a_kill_between_trace_and_result_leaves_neither(tmp_path: Path) -> None:
    folder = started(tmp_path)
    folder.add(result("a", 0), trace("a", 0))
    with (tmp_path / "traces.jsonl").open("a") as file:
        file.write('{"agent": "a", "episode": 1, "sch')
    assert RunFolder(tmp_path).start(CONFIG, resume=True) == [result("a", 0)]
    assert len(list(read_traces(tmp_path / "traces.jsonl"))) == 1


def test_a_result_whose_trace_was_lost_is_run_again(tmp_path: Path) -> None:
    folder = started(tmp_path)
    folder.add(result("a", 0), trace("a", 0))
    (tmp_path / "traces.jsonl").unlink()
    assert RunFolder(tmp_path).start(CONFIG, resume=True) == []


def test_a_folder_with_a_run_is_never_overwritten(tmp_path: Path) -> None:
    started(tmp_path)
    with pytest.raises(ConfigError, match="--resume"):
        RunFolder(tmp_path).start(CONFIG, resume=False)


def test_another_config_is_refused_by_name(tmp_path: Path) -> None:
    started(tmp_path)
    with pytest.raises(ConfigError, match="another data_hash"):
        RunFolder(tmp_path).start({**CONFIG, "data_hash": "def"}, resume=True)


def test_another_commit_may_go_on(tmp_path: Path) -> None:
    started(tmp_path)
    assert RunFolder(tmp_path).start({**CONFIG, "git_commit": "2"}, resume=True) == []


def test_results_of_unknown_origin_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match=r"without a config\.json"):
        RunFolder(tmp_path).start(CONFIG, resume=False)


def test_a_broken_config_is_a_data_error(tmp_path: Path) -> None:
    started(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DataError, match="expected JSON"):
        RunFolder(tmp_path).start(CONFIG, resume=True)


def test_the_summary_names_environment_and_data(tmp_path: Path) -> None:
    folder = started(tmp_path)
    folder.finish([result("a", 0, score=0.5)], CONFIG)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["env"], summary["data_hash"]) == ("X", "abc")
    assert summary["agents"][0]["score"] == 0.5
