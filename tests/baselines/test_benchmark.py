from __future__ import annotations

import errno
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from baselines.benchmark import main
from baselines.runs.episodes import episode_seeds
from baselines.runs.run import AgentChoice, RunConfig, run
from baselines.runs.runner import run_episode, session_of
from finemem_env.errors import ConfigError
from finemem_env.trace import read_traces, replay

SMALL = {"num_chunks": 3}


def config(*agents: str, episodes: int = 2, **keywords: Any) -> RunConfig:  # noqa: ANN401
    choices = tuple(AgentChoice(name) for name in agents)
    return RunConfig(
        env_args={"split": "test", **SMALL}, agents=choices, episodes=episodes, **keywords
    )


def lines(path: Path) -> list[dict[str, Any]]:
    """Results without the wall-clock times, which differ from run to run."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: one[key] for key in one if not key.endswith("_seconds")} for one in found]


class Fragile:
    """Breaks in the second episode that it sees."""

    def __init__(self, how: str = "raise") -> None:
        self.how = how
        self.episodes = 0

    def reset(self, info: Any) -> None:  # noqa: ANN401
        self.episodes += 1
        if self.how == "reset" and self.episodes == 2:
            raise KeyError("lost")

    def act(self, observation: str, info: Any) -> Any:  # noqa: ANN401
        if self.episodes == 2 and self.how == "raise":
            raise ValueError("too hard")
        return 7 if self.episodes == 2 and self.how == "number" else "[]"


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(sys.modules, "fragile", sys.modules[__name__])
    return "fragile:Fragile"


def test_a_run_leaves_its_folder_and_the_same_episodes_for_every_agent(tmp_path: Path) -> None:
    rows = run(config("skip", "store_chunks", "oracle"), tmp_path)
    assert [row.agent for row in rows] == ["skip", "store_chunks", "oracle"]
    assert rows[0].normalised == 0.0
    assert rows[2].normalised == 1.0
    results = lines(tmp_path / "results.jsonl")
    played: dict[str, list[str]] = {}
    for one in results:
        played.setdefault(one["agent"], []).append(one["episode_id"])
    assert len({tuple(ids) for ids in played.values()}) == 1
    stored = json.loads((tmp_path / "config.json").read_text())
    assert [one["episode_id"] for one in stored["episodes"]] == played["skip"]
    assert stored["settings"]["protocol"] == "managed"
    assert len(stored["data_hash"]) == 64
    assert json.loads((tmp_path / "summary.json").read_text())["data_hash"] == stored["data_hash"]
    traces = list(read_traces(tmp_path / "traces.jsonl"))
    assert len(traces) == 6
    scores = {(r["agent"], r["episode"]): r["episode_return"] for r in results}
    for trace in traces:
        assert trace.episode_return == pytest.approx(scores[trace.agent, trace.episode])


def test_every_trace_of_a_run_can_be_replayed_without_agent_and_reader(tmp_path: Path) -> None:
    run(config("random", "selective", "oracle"), tmp_path)
    for trace in read_traces(tmp_path / "traces.jsonl"):
        keywords = {key: value for key, value in trace.env.items() if key != "id"}
        env = gym.make(trace.env["id"], disable_env_checker=True, **keywords)
        env.reset(seed=trace.seed)
        result = replay(trace, session_of(env))
        assert result.step_rewards == trace.step_rewards
        assert result.terms == trace.steps[-1].terms


def test_the_same_run_twice_gives_the_same_results(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(config("random", "selective"), tmp_path / name)
    first, second = (lines(tmp_path / name / "results.jsonl") for name in ("a", "b"))
    assert first == second
    assert (tmp_path / "a" / "traces.jsonl").read_bytes() == (
        tmp_path / "b" / "traces.jsonl"
    ).read_bytes()


def test_more_episodes_begin_with_the_same_ones() -> None:
    assert episode_seeds(3, 8)[:5] == episode_seeds(3, 5)
    assert episode_seeds(3, 5) != episode_seeds(4, 5)
    assert len(set(episode_seeds(0, 200))) == 200


def test_an_interrupted_run_ends_as_if_it_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = config("random", "fifo", episodes=3)
    run(whole, tmp_path / "whole")
    calls = []

    def stopping(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return run_episode(*arguments, **keywords)

    monkeypatch.setattr("baselines.runs.player.run_episode", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(whole, tmp_path / "cut")
    results = tmp_path / "cut" / "results.jsonl"
    results.write_bytes(results.read_bytes()[:-9])
    run(whole, tmp_path / "cut", resume=True)
    assert len(calls) == 4 + 4
    key = ("agent", "episode")
    first, second = (
        sorted(lines(tmp_path / name / "results.jsonl"), key=lambda one: [one[k] for k in key])
        for name in ("whole", "cut")
    )
    assert first == second


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("raise", "act raised ValueError: too hard"),
        ("number", "act returned int, expected str"),
        ("reset", "reset raised KeyError: 'lost'"),
    ],
)
def test_an_agent_that_breaks_loses_that_episode_only(
    tmp_path: Path, fragile: str, how: str, error: str
) -> None:
    choice = AgentChoice(fragile, {"how": how})
    (row, skip) = run(
        RunConfig(env_args=SMALL, agents=(choice, AgentChoice("skip")), episodes=3), tmp_path
    )
    assert (row.failed, row.episodes, row.invalid) == (1, 3, 0)
    assert skip.failed == 0
    failed = [one for one in lines(tmp_path / "results.jsonl") if one["status"] == "failed"]
    assert [one["error"] for one in failed] == [error]
    assert failed[0]["episode"] == 1
    assert failed[0]["score"] == 0.0


def test_resuming_runs_what_failed_again(tmp_path: Path, fragile: str) -> None:
    broken = RunConfig(env_args=SMALL, agents=(AgentChoice(fragile),), episodes=3)
    (row,) = run(broken, tmp_path)
    assert row.failed == 1
    (again,) = run(broken, tmp_path, resume=True)
    assert again.failed == 0
    assert len(lines(tmp_path / "results.jsonl")) == 3


def test_resuming_with_other_episodes_is_refused(tmp_path: Path) -> None:
    run(config("skip"), tmp_path)
    with pytest.raises(ConfigError, match="another"):
        run(config("skip", seed=1), tmp_path, resume=True)


def test_the_command_prints_a_table_and_adds_the_references(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "run")
    arguments = ["--agent", "fifo", "--agent", "random", "--agent-args", '{"seed": 3}']
    arguments += ["--episodes", "2", "--env-args", '{"num_chunks": 3}', "--output-dir", folder]
    assert main(arguments) == 0
    out, told = capsys.readouterr()
    table = out.splitlines()
    assert told.splitlines()[:3] == [
        'runs:   8 episodes: FineMem-AR-v0, agents skip, fifo, random{"seed": 3}, oracle',
        f"writes: {folder}",
        f"watch:  tail -f {folder}/results.jsonl",
    ]
    assert re.search(r"\boracle: score 1\.00, accepted 1\.00", told)
    assert table[0].split()[:3] == ["agent", "episodes", "score"]
    names = [line.split()[0] for line in table[2:6]]
    assert names == ["skip", "fifo", 'random{"seed":', "oracle"]
    assert table[-1] == f"written to {folder}"
    assert "settings:" not in out
    assert main(arguments) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*arguments, "--resume", "--verbose"]) == 0
    resolved = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
    settings = f"settings: {json.dumps(resolved)}"
    assert capsys.readouterr().out.splitlines()[-2:] == [settings, f"written to {folder}"]
    assert len((tmp_path / "run" / "results.jsonl").read_text().splitlines()) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "sqad"], "Did you mean 'squad'"),
        (["--env-args", '{"memory_bugdet": 3}'], "Did you mean 'memory_budget'"),
        (["--protocol", "managd"], "Did you mean 'managed'"),
        (["--source", "squad", "--env-args", '{"source": "x"}'], "source is given by --source"),
        (["--agent", "fifo", "--agent", "FIFO"], "given twice"),
        (["--agent", "skip", "--agent-args", '{"speed": 1}'], "speed"),
        (["--env", "FineMem-XY-v0"], "FineMem-XY"),
    ],
)
def test_what_does_not_fit_is_one_line_and_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([*arguments, "--output-dir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not (tmp_path / "run").exists()


def test_an_interrupted_command_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*arguments: object, **keywords: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("baselines.runs.player.run_episode", interrupt)
    arguments = ["--episodes", "1", "--agent", "skip", "--time-limit", "0"]
    assert main([*arguments, "--output-dir", str(tmp_path / "run")]) == 130
    assert "--resume" in capsys.readouterr().err


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("full", ["config.json", "traces.jsonl", "results.jsonl"])
def test_a_disk_that_takes_no_more_is_one_line_and_the_run_goes_on_later(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    full: str,
    code: int,
) -> None:
    folder = tmp_path / "run"
    arguments = ["--episodes", "2", "--agent", "skip", "--no-reference", "--time-limit", "0"]
    arguments += ["--env-args", '{"num_chunks": 2}', "--output-dir", str(folder)]
    opened = Path.open

    def refuse(path: Path, mode: str = "r", *rest: Any, **keywords: Any) -> Any:  # noqa: ANN401
        file = opened(path, mode, *rest, **keywords)
        if path.name.startswith((full, f".{full}.")) and mode not in ("r", "rb"):
            file.write(b"{" if "b" in mode else "{")  # what was written before there was no room
            file.close()
            raise OSError(code, os.strerror(code))
        return file

    for resume in ([], ["--resume"]):  # a full disk is no better the second time
        monkeypatch.setattr(Path, "open", refuse)
        assert main([*arguments, *resume]) == 2
        hint = "Finished episodes are kept: the same command with --resume goes on."
        error = capsys.readouterr().err.rpartition("\r")[2].rpartition("\x1b[A")[2]
        assert f"error: {folder}: {os.strerror(code)}. {hint}\n" in error
        assert "Traceback" not in error
        monkeypatch.setattr(Path, "open", opened)
    assert main([*arguments, "--resume"]) == 0
    assert len(lines(folder / "results.jsonl")) == 2
    assert len(list(read_traces(folder / "traces.jsonl"))) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["--agent", "fifi"],
        ["--agent-args", "{}"],
        ["--env-args", "[1]"],
        ["--env-args", "{"],
        ["--episodes", "0"],
    ],
)
def test_arguments_that_cannot_be_read_stop_at_once(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--output-dir", str(tmp_path)])
    assert stopped.value.code == 2


def test_help_names_every_agent(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in ("store_chunks", "oracle", "--resume", "normalised"))
