from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from baselines.benchmark import main
from baselines.runs.choice import AgentChoice
from baselines.runs.episodes import episode_seeds
from baselines.runs.run import RunConfig, run
from baselines.runs.runner import session_of
from baselines.tables.results import Result

SMALL: dict[str, Any] = {"split": "test", "num_chunks": 3}
BROKEN = "tests.baselines.broken_agents:Breaks"


def lines(path: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: one[key] for key in one if not key.endswith("_seconds")} for one in found]


def episode_id(index: int) -> str:
    import gymnasium as gym

    env: gym.Env[str, str] = gym.make("FineMem-AR-v0", disable_env_checker=True, **SMALL)
    env.reset(seed=episode_seeds(0, index + 1)[index])
    return session_of(env).episode.episode_id


@pytest.mark.slow
def test_parallel_runs_end_in_the_files_of_a_serial_one(tmp_path: Path) -> None:
    choices = tuple(AgentChoice(name) for name in ("random", "salience", "oracle"))
    config = RunConfig(env_args=SMALL, agents=choices, episodes=3, budgets=("0.4", "1.0"))
    run(config, tmp_path / "serial")
    run(config, tmp_path / "parallel", jobs=2)
    first, second = (lines(tmp_path / name / "results.jsonl") for name in ("serial", "parallel"))
    assert first == second
    for name in ("@0.4.jsonl", "@1.0.jsonl"):
        one, other = (tmp_path / run_ / "traces" / name for run_ in ("serial", "parallel"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("hang", "no reply within 2 s of its own time"),
        ("die", "the agent's process ended with code 7"),
        ("exit", "act raised SystemExit: 3"),
    ],
)
def test_an_agent_that_hangs_or_dies_costs_that_episode(
    tmp_path: Path, how: str, error: str
) -> None:
    choice = AgentChoice(BROKEN, {"how": how, "when": episode_id(1)})
    config = RunConfig(env_args=SMALL, agents=(choice, AgentChoice("fifo")), episodes=3)
    start = time.monotonic()
    broken, fifo = run(config, tmp_path, time_limit=2.0)
    assert time.monotonic() - start < 60
    assert (broken.failed, broken.episodes, fifo.failed) == (1, 3, 0)
    (failed,) = [one for one in lines(tmp_path / "results.jsonl") if one["status"] == "failed"]
    assert failed["error"] == error
    assert (failed["episode"], failed["score"]) == (1, 0.0)
    assert failed["competency"] == "AR"


def test_agents_are_not_told_questions_and_scores(tmp_path: Path) -> None:
    choice = AgentChoice("tests.baselines.broken_agents:Curious")
    (row,) = run(RunConfig(env_args=SMALL, agents=(choice,), episodes=1), tmp_path)
    assert row.failed == 0


def test_a_model_that_cannot_be_reached_is_not_the_agents_failure(tmp_path: Path) -> None:
    choice = AgentChoice("tests.baselines.broken_agents:Unreachable")
    (row,) = run(RunConfig(env_args=SMALL, agents=(choice,), episodes=1), tmp_path)
    assert (row.failed, row.invalid, row.score) == (0, 1, None)


COMMAND = """
import sys
from baselines.benchmark import main
sys.exit(main(sys.argv[1:]))
"""


def words(folder: Path, *more: str) -> list[str]:
    """24 episodes: two agents, six of them, two budgets."""
    arguments = ["--agent", "salience", "--agent", "fifo", "--episodes", "6", "--budgets"]
    return [*arguments, "0.2,0.4", "--no-reference", "--output-dir", str(folder), *more]


def kill_when_played(folder: Path, episodes: int, *more: str) -> None:
    """Start the benchmark with two workers, and kill it once so many episodes are on the disk."""
    results = folder / "results.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words(folder, "--jobs", "2", *more)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    while not results.exists() or results.read_bytes().count(b"\n") < episodes:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert results.read_bytes().count(b"\n") < 24


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_where_it_was(tmp_path: Path) -> None:
    kill_when_played(tmp_path / "cut", 1)
    kill_when_played(tmp_path / "cut", 9, "--resume")
    assert main(words(tmp_path / "cut", "--resume")) == 0
    assert main(words(tmp_path / "whole")) == 0
    one, other = (lines(tmp_path / name / "results.jsonl") for name in ("cut", "whole"))
    assert one == other
    assert len(one) == 24


def test_results_are_told_apart_by_task_and_budget() -> None:
    one = Result("a", 0, 1, "e", "AR", task="t", budget="0.4")
    assert one.key == ("t", "0.4", "a", 0)
    assert one.place == ("t", "0.4", 0)
