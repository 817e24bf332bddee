from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from baselines import report, rescore, submit, verify
from baselines.reporting.contents import load
from baselines.runs.choice import AgentChoice
from baselines.runs.run import RunConfig, run
from baselines.runs.submission import read_submission, write_submission
from baselines.suites import SUITES, Suite, Task
from baselines.tables.curves import area, curves
from baselines.tables.paired import closed_book, paired_differences
from baselines.tables.results import Result
from finemem_env.errors import ConfigError, DataError

SMALL: dict[str, Any] = {"split": "test", "num_chunks": 3}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    names = ("skip", "fifo", "salience", "oracle")
    choices = tuple(AgentChoice(name) for name in names)
    run(RunConfig(env_args=SMALL, agents=choices, episodes=2, budgets=("0.4", "1.0")), folder)
    return folder


def test_rescoring_gives_the_rewards_of_the_run(
    played: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rescore.main([str(played)]) == 0
    assert "16 episodes, 0 of them with other rewards" in capsys.readouterr().out
    found = (played / "rescored" / "own" / "results.jsonl").read_text().splitlines()
    for line in found:
        record = json.loads(line)
        assert sum(record["step_rewards"]) == pytest.approx(record["episode_return"])


def test_rescoring_under_another_preset_is_the_run_under_that_preset(
    played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rescore.main([str(played), "--reward", "mem-alpha"]) == 0
    choices = (AgentChoice("skip"), AgentChoice("fifo"))
    direct = RunConfig(
        env_args={**SMALL, "reward": "mem-alpha"},
        agents=choices,
        episodes=2,
        budgets=("0.4", "1.0"),
    )
    run(direct, tmp_path)
    again = _returns(played / "rescored" / "mem-alpha" / "results.jsonl")
    expected = _returns(tmp_path / "results.jsonl")
    assert {key: again[key] for key in expected} == pytest.approx(expected)


def _returns(path: Path) -> dict[tuple[str, str, int], float]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return {(one["budget"], one["agent"], one["episode"]): one["episode_return"] for one in records}


def test_a_changed_trace_does_not_come_out_again(played: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(played, copy)
    path = copy / "results.jsonl"
    path.write_text(path.read_text().replace('"r_fmt": 1.0', '"r_fmt": 0.9', 1))
    assert rescore.main([str(copy)]) == 1


def test_rescoring_what_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rescore.main([str(tmp_path)]) == 2
    assert rescore.main([str(tmp_path), "--reward", "fine-men"]) == 2
    assert "Did you mean 'fine-mem'" in capsys.readouterr().err


def test_a_submission_is_verified(
    played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one.json", "one.json.gz"):
        assert submit.main([str(played), str(tmp_path / name)]) == 0
        assert verify.main([str(tmp_path / name)]) == 0
        assert "VERIFIED: 16 episodes, every answer read again" in capsys.readouterr().out
        traces = read_submission(tmp_path / name).traces.values()
        assert not any(step.chunk for trace in traces for step in trace.steps)


def tamper(path: Path, change: Any, tmp_path: Path) -> Path:  # noqa: ANN401
    """A submission with `change` made to it and a checksum that fits."""
    from baselines.runs.submission import _digest

    write_submission(path, tmp_path / "s.json")
    record = json.loads((tmp_path / "s.json").read_text())
    change(record)
    record["sha256"] = _digest(record)
    (tmp_path / "s.json").write_text(json.dumps(record))
    return tmp_path / "s.json"


def _raise_score(record: dict[str, Any]) -> None:
    record["results"][1]["score"] = 1.0


def _forge_answers(record: dict[str, Any]) -> None:
    """Answers, scores and return as if all was right, with the actions of an agent that skips."""
    trace = record["traces"][0]["trace"]
    for answer in trace["answers"]:
        answer["prediction"] = answer["golds"][0]
        answer["score"] = 1.0
    record["results"][0]["score"] = 1.0


def _drop_result(record: dict[str, Any]) -> None:
    del record["results"][3]


def _drop_trace(record: dict[str, Any]) -> None:
    del record["traces"][3]


def _other_version(record: dict[str, Any]) -> None:
    record["traces"][0]["trace"]["versions"]["reader"] = "local/0"


def _double(record: dict[str, Any]) -> None:
    record["results"].append(record["results"][0])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_raise_score, "reports score 1.0"),
        (_forge_answers, "playing it gives score 0.0"),
        (_drop_result, "oracle episode 0: missing"),
        (_drop_trace, "no trace"),
        (_double, "twice"),
        (_other_version, "played under"),
    ],
)
def test_what_was_changed_is_not_verified(
    played: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Any,  # noqa: ANN401
    problem: str,
) -> None:
    assert verify.main([str(tamper(played, change, tmp_path))]) == 1
    out = capsys.readouterr().out
    assert out.startswith("NOT VERIFIED")
    assert problem in out


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("id", "somewhere.else:Env-v0"),
        ("reader", {"name": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}),
        ("reader", {"name": "transformers", "model": "m"}),
        ("judge", {"name": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}),
        ("retriever", {"name": "dense", "model": "m"}),
        ("exclude", "/etc/passwd"),
        ("retriever", "os:system"),
        ("retriever", {"name": "os:system", "command": "true"}),
        ("reader", {"name": "os:system", "command": "true"}),
        ("source", "os:system"),
        ("tokenizer", "hf:/etc"),
        ("source", "/etc/passwd"),
        ("source", {"synthetic": 0.5, "/etc/passwd": 0.5}),
        ("data_dir", "/etc"),
        ("difficulty", {"hub": "a/b", "revision": "main"}),
    ],
)
def test_what_a_stranger_would_open_call_or_load_is_refused_before_it_is(
    played: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    value: object,
) -> None:
    def reach(record: dict[str, Any]) -> None:
        record["traces"][5]["trace"]["env"][setting] = value

    monkeypatch.setattr(gym, "make", lambda *_, **__: pytest.fail("it was made"))
    assert verify.main([str(tamper(played, reach, tmp_path))]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the submission names ")
    assert setting in error
    assert error.count("\n") == 1


def test_settings_that_were_read_can_be_trusted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {**SMALL, "data_dir": str(tmp_path)}
    run(RunConfig(env_args=own, agents=(AgentChoice("fifo"),), episodes=1), tmp_path / "run")
    write_submission(tmp_path / "run", tmp_path / "s.json")
    assert verify.main([str(tmp_path / "s.json")]) == 2
    assert verify.main([str(tmp_path / "s.json"), "--trust-settings"]) == 0
    assert "VERIFIED" in capsys.readouterr().out


def test_a_damaged_result_of_a_submission_is_one_line(
    played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def damage(record: dict[str, Any]) -> None:
        record["results"][1]["usage"] = {"manager": 3}

    assert verify.main([str(tamper(played, damage, tmp_path))]) == 2
    error = capsys.readouterr().err
    assert "results[1]: usage must be a mapping of names" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("key", ["budgets", "agents", "episodes", "versions", "task_hashes"])
def test_a_submission_without_a_part_of_its_config_is_one_line(
    key: str, played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def damage(record: dict[str, Any]) -> None:
        del record["config"][key]

    assert verify.main([str(tamper(played, damage, tmp_path))]) == 2
    error = capsys.readouterr().err
    assert f"config: {key}: expected" in error
    assert error.count("\n") == 1


def test_a_checksum_that_does_not_fit_is_an_error(played: Path, tmp_path: Path) -> None:
    write_submission(played, tmp_path / "s.json.gz")
    raw = gzip.decompress((tmp_path / "s.json.gz").read_bytes())
    (tmp_path / "s.json").write_bytes(raw.replace(b'"seed": 0', b'"seed": 1', 1))
    with pytest.raises(DataError, match="checksum"):
        read_submission(tmp_path / "s.json")
    assert verify.main([str(tmp_path / "nothing.json")]) == 2


def test_a_suite_played_under_other_settings_is_not_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = Task("ar", "FineMem-AR-v0", SMALL, 1)
    monkeypatch.setitem(SUITES, "tiny-v0", Suite("tiny-v0", "", (task,), 5, ("0.4",)))
    run(RunConfig(suite="tiny-v0", agents=(AgentChoice("fifo"),)), tmp_path / "run")
    write_submission(tmp_path / "run", tmp_path / "ok.json")
    assert verify.main([str(tmp_path / "ok.json")]) == 0

    def generous(record: dict[str, Any]) -> None:
        record["traces"][0]["trace"]["env"]["memory_budget"] = 0.9

    assert verify.main([str(tamper(tmp_path / "run", generous, tmp_path))]) == 1
    assert "the config says" in capsys.readouterr().out


def test_the_report_is_one_page_with_everything(
    played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "page.html"
    assert report.main([str(played), "--output", str(output)]) == 0
    text = output.read_text()
    assert text.count("<svg") == 4
    for heading in ("Scores", "against memory", "per competency", "per step index", "Closed book"):
        assert heading in text
    printed = capsys.readouterr().out
    assert "salience" in printed
    assert "answered with nothing in memory" in printed


def test_runs_of_the_same_episodes_share_a_report(played: Path, tmp_path: Path) -> None:
    choices = tuple(AgentChoice(name) for name in ("skip", "fifo", "random"))
    more = RunConfig(env_args=SMALL, agents=choices, episodes=2, budgets=("0.4", "1.0"))
    run(more, tmp_path / "more")
    found = load([played, tmp_path / "more"], "salience")
    names = [row.agent for row in found.rows]
    assert names == ["skip", "fifo", "salience", "oracle", "fifo (more)", "random"]
    assert found.differences[0].reference == "salience"
    assert {one.agent: one.mean for one in found.differences}["fifo (more)"] == {
        one.agent: one.mean for one in found.differences
    }["fifo"]
    other = RunConfig(env_args=SMALL, agents=(AgentChoice("skip"),), episodes=2, seed=9)
    run(other, tmp_path / "other")
    with pytest.raises(
        ConfigError, match=r"different episodes: .*other has 2 of FineMem-AR-v0.* seed 9"
    ):
        load([played, tmp_path / "other"])
    with pytest.raises(ConfigError, match="not among the agents"):
        load([played], "nobody")


def result(agent: str, episode: int, score: float, **more: Any) -> Result:  # noqa: ANN401
    return Result(agent, episode, 7, f"e{episode}", "AR", score=score, **more)


def test_differences_are_paired() -> None:
    scores = [0.1, 0.5, 0.9, 0.3]
    results = [result("a", i, score) for i, score in enumerate(scores)]
    results += [result("b", i, score - 0.1) for i, score in enumerate(scores)]
    results += [result("b", 9, 1.0), result("a", 8, 1.0, status="invalid")]
    (gap,) = paired_differences(results, "a")
    assert (gap.agent, gap.episodes, gap.clear) == ("b", 4, True)
    assert gap.mean == pytest.approx(-0.1)
    assert gap.interval == pytest.approx((-0.1, -0.1))


def test_the_area_is_a_mean_score() -> None:
    assert area({"0.1": 0.5, "1.0": 0.5, "unlimited": 0.9}) == pytest.approx(0.5)
    assert area({"0.2": 0.0, "0.4": 1.0, "1.0": 1.0}) == pytest.approx(0.7 / 0.8)
    assert area({"0.4": 1.0}) is None
    found = curves([result("a", 0, 0.4, budget="0.4"), result("a", 0, 1.0, budget="unlimited")])
    assert (found[0].scores["0.4"], found[0].unlimited, found[0].area) == (0.4, 1.0, None)
    assert found[0].competencies == {"AR": 0.4}


def test_closed_book_counts_what_an_empty_memory_answers(played: Path) -> None:
    from baselines.runs.folder import RunFolder

    traces = [(key[0], trace) for key, trace in RunFolder(played).traces() if key[1] == "0.4"]
    (leak,) = closed_book(traces)
    assert leak.questions > 0
    assert leak.answered == 0
