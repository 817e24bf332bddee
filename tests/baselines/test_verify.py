"""What a stranger can change in a submission, and what `baselines.verify` says to it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from baselines import inspect, report, rescore, verify
from baselines.runs.choice import AgentChoice
from baselines.runs.run import RunConfig, run
from baselines.runs.submission import _digest, write_submission

SMALL: dict[str, Any] = {"split": "test", "num_chunks": 2, "difficulty": {"facts_per_chunk": 4}}
SKIP = '[{"op":"SKIP"}]'


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("verify")
    agents = tuple(map(AgentChoice, ("skip", "fifo", "oracle")))
    run(RunConfig(env_args=SMALL, agents=agents, episodes=1, budgets=("0.6",)), folder / "run")
    write_submission(folder / "run", folder / "s.json")
    return (folder / "s.json").read_text()


def edited(record: str, where: Sequence[str | int], value: object) -> dict[str, Any]:
    """The record with another value at the end of this path."""
    changed: dict[str, Any] = json.loads(record)
    place: Any = changed
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    return changed


def verified(record: dict[str, Any], folder: Path) -> int:
    record["sha256"] = _digest(record)
    (folder / "s.json").write_text(json.dumps(record))
    return verify.main([str(folder / "s.json")])


def test_nothing_changed_is_verified(record: str, tmp_path: Path) -> None:
    assert verified(json.loads(record), tmp_path) == 0


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("results", 1, "status"), "invalid", "status invalid; its actions give status ok"),
        (("results", 1, "memory_tokens"), 1, "memory_tokens 1;"),
        (("results", 1, "early"), 0.75, "early 0.75"),
        (("results", 1, "competency"), "CR", "competency CR"),
        (("results", 1, "episode_id"), "another", "its seed or episode is not the config's"),
        (("config", "versions", "reader"), "openai/gpt", "config: versions is not what planning"),
        (("config", "env_args", "num_chunks"), 3, "config: data_hash is not"),
        (("config", "data_hash"), "0" * 64, "config: data_hash is not"),
        (("config", "episodes", 0, "seed"), 1, "config: episodes is not"),
        (("traces", 1, "trace", "env", "memory_budget"), 0.9, "played in"),
        (("traces", 1, "trace", "step_rewards", 0), 9.0, "at step_rewards 0 what its actions"),
        (("traces", 1, "trace", "steps", 1, "terms", "global"), 2.0, "at steps 1 terms global"),
        (("traces", 1, "trace", "answers", 0, "prediction"), "x", "at answers 0 prediction"),
        (("traces", 1, "trace", "memory_budget"), 10**9, "at memory_budget what"),
    ],
)
def test_every_number_is_held_to_the_actions(
    record: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    where: tuple[str | int, ...],
    value: object,
    said: str,
) -> None:
    changed = edited(record, where, value)
    assert verified(changed, tmp_path) == 1
    assert said in capsys.readouterr().out


def test_a_model_reader_in_the_config_alone_does_not_save_forged_answers(
    record: str, tmp_path: Path
) -> None:
    changed = json.loads(record)
    changed["config"]["versions"]["reader"] = "openai/gpt"
    for answer in changed["traces"][0]["trace"]["answers"]:
        answer["prediction"], answer["score"] = answer["golds"][0], 1.0
    changed["results"][0]["score"] = 1.0
    assert verified(changed, tmp_path) == 1


def test_the_references_are_played_here(
    record: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An oracle that stores nothing would make every normalised score look good."""
    changed = json.loads(record)
    skip, oracle = (
        {**changed["results"][0], "agent": "oracle"},
        {**changed["traces"][0]["trace"], "agent": "oracle"},
    )
    changed["results"][2], changed["traces"][2]["trace"] = skip, oracle
    assert verified(changed, tmp_path) == 1
    assert "oracle episode 0: reports" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("suite", []),
        ("budgets", [[1]]),
        ("budgets", [0.6]),
        ("budgets", ["much"]),
        ("agents", [{}]),
        ("agents", [1.0]),
        ("episodes", [3]),
        ("episodes", [{"task": 3}]),
        ("task_hashes", {"": 3}),
        ("seed", -1),
        ("env", 3),
        ("env_args", {"num_chunks": "two"}),
        ("env_args", {"memory_budgets": 0.1}),
    ],
)
def test_a_config_of_another_form_is_one_line(
    record: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: object
) -> None:
    changed = json.loads(record)
    changed["config"][key] = value
    assert verified(changed, tmp_path) == 2
    assert capsys.readouterr().err.split("error: ")[1].count("\n") == 1


def test_settings_of_the_config_are_refused_like_those_of_traces(
    record: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = json.loads(record)
    changed["config"]["env_args"]["tokenizer"] = "hf:/etc"
    assert verified(changed, tmp_path) == 2
    assert "names tokenizer 'hf:/etc'" in capsys.readouterr().err


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("baselines.runs.submission._MOST", 1000)
    (tmp_path / "s.json.gz").write_bytes(gzip.compress(b" " * 100_000))
    assert verify.main([str(tmp_path / "s.json.gz")]) == 2
    assert "more than 1,000 bytes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (("results", 1, "score"), float("nan"), "score: expected a finite number"),
        (("results", 1, "status"), "fine", "status must be 'ok' or 'failed' or 'invalid'"),
        (("traces", 1, "trace", "steps", 0, "reward"), float("nan"), "reward: expected a value of"),
        (("traces", 1, "trace", "steps", 0, "reward"), 10**400, "reward: expected a value of"),
        (
            ("traces", 1, "trace", "steps", 0, "terms", "format"),
            "x",
            "terms: expected an object of",
        ),
        (("traces", 1, "trace", "step_rewards", 0), float("inf"), "step_rewards: expected a list"),
        (("traces", 1, "trace", "settings", "top_k"), float("nan"), "settings: expected an object"),
        (("traces", 1, "trace", "versions", "reader"), 3, "versions: expected an object of texts"),
        (("config", "settings"), [1], "config: settings: expected an object"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    record: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    where: tuple[str | int, ...],
    value: object,
    said: str,
) -> None:
    changed = edited(record, where, value)
    assert verified(changed, tmp_path) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "program",
    [
        lambda run: report.main([str(run), "--no-episodes"]),
        lambda run: rescore.main([str(run)]),
        lambda run: inspect.main([str(run)]),
    ],
)
@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", lambda one: one.pop("versions")),
        ("config.json", lambda one: one.update(episodes=True)),
        ("config.json", lambda one: one.update(settings=None)),
        ("results.jsonl", lambda one: one.update(score=float("nan"))),
        ("traces.jsonl", lambda one: one["versions"].update(reader=None)),
        ("traces.jsonl", lambda one: one["env"].update(difficulty=[[1]])),
        ("traces.jsonl", lambda one: one["env"].update(num_chunks=10**29)),
        ("traces.jsonl", lambda one: one.pop("env")),
    ],
)
def test_a_forged_run_is_no_traceback(
    tmp_path: Path,
    program: Any,  # noqa: ANN401
    file: str,
    change: Any,  # noqa: ANN401
) -> None:
    folder = tmp_path / "run"
    run(RunConfig(env_args=SMALL, agents=(AgentChoice("skip"),), episodes=1), folder)
    text = json.loads((folder / file).read_text())
    change(text)
    (folder / file).write_text(json.dumps(text) + "\n")
    assert program(folder) in (0, 1, 2)
