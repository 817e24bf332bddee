from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import finemem_env  # noqa: F401
from baselines.benchmark import main
from baselines.runs.episodes import available, distinct_seeds, episode_seeds
from baselines.runs.runner import session_of
from finemem_env.errors import ConfigError
from finemem_env.types import Competency, Episode


def episode_file(path: Path, count: int) -> str:
    records = [
        {
            "schema": "finemem-episode/1",
            "episode_id": f"e{i}",
            "competency": "AR",
            "source": "own",
            "chunks": [{"id": "c", "text": f"Mara keeps {i} goats."}],
            "questions": [
                {"id": f"q{i}", "question": "How many?", "answers": [str(i)], "metric": "f1"}
            ],
        }
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def make(source: Any, **keywords: Any) -> gym.Env[str, str]:  # noqa: ANN401
    return gym.make("FineMem-AR-v0", disable_env_checker=True, source=source, **keywords)


def played(env: gym.Env[str, str], seeds: list[int]) -> list[str]:
    found = []
    for seed in seeds:
        env.reset(seed=seed)
        found.append(session_of(env).episode.episode_id)
    return found


class Unsized:
    """A source of somebody else, that does not say how many episodes it holds."""

    name = "unsized"
    competencies: frozenset[Competency] = frozenset({"AR"})
    size = None

    def __init__(self, episodes: list[Episode]) -> None:
        self._episodes = episodes

    def episode(self, index: int) -> Episode:
        return self._episodes[index]

    def draw(self, rng: np.random.Generator) -> Episode:
        return self._episodes[int(rng.integers(len(self._episodes)))]

    def get(self, episode_id: str) -> Episode:
        return next(one for one in self._episodes if one.episode_id == episode_id)


def sources(path: Path) -> list[gym.Env[str, str]]:
    """Five episodes, behind every kind of source."""
    whole = episode_file(path / "five.jsonl", 5)
    env = make(whole)
    inside = [
        getattr(env.unwrapped, "factory").source.episode(i)  # noqa: B009
        for i in range(5)
    ]
    first, second = (
        _copy(Path(whole), path / name, rows) for name, rows in (("a", [0, 1]), ("b", [2, 3, 4]))
    )
    six = episode_file(path / "six.jsonl", 6)
    return [
        env,
        make({first: 1.0, second: 3.0}),
        make(Unsized(inside)),
        make(six, exclude=["q5"]),
    ]


def _copy(path: Path, to: Path, rows: list[int]) -> str:
    lines = path.read_text().splitlines(keepends=True)
    target = to.with_suffix(".jsonl")
    target.write_text("".join(lines[row] for row in rows))
    return str(target)


def test_every_episode_of_finite_data_is_played_once(tmp_path: Path) -> None:
    for env in sources(tmp_path):
        names = played(env, distinct_seeds(env, 7, 5))
        assert sorted(names) == ["e0", "e1", "e2", "e3", "e4"]
        assert played(env, distinct_seeds(env, 7, 3)) == names[:3]
        assert len(distinct_seeds(env, 7, 99, at_most=True)) == 5
        with pytest.raises(ConfigError, match=r"8 episodes are asked for, but .* holds 5 .*--repe"):
            distinct_seeds(env, 7, 8)
        again = distinct_seeds(env, 7, 15, repeat=True)
        assert len(set(again)) == 15
        assert sorted(played(env, again)) == sorted(names * 3)


def test_what_is_made_without_end_has_no_number(tmp_path: Path) -> None:
    endless = make("synthetic")
    assert available(endless) is None
    assert distinct_seeds(endless, 3, 40) == episode_seeds(3, 40)
    five = episode_file(tmp_path / "five.jsonl", 5)
    assert available(make(five)) == 5
    assert available(make({five: 1.0, "synthetic": 1.0})) is None


def run(*arguments: str) -> int:
    return main(["--agent", "store_chunks", "--no-reference", "--time-limit", "0", *arguments])


def test_the_benchmark_plays_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    five = episode_file(tmp_path / "five.jsonl", 5)
    assert run("--source", five, "--output-dir", str(tmp_path / "all")) == 0
    lines = (tmp_path / "all" / "results.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["episode_id"] for line in lines) == [f"e{i}" for i in range(5)]
    capsys.readouterr()
    more = ("--source", five, "--episodes", "7", "--output-dir", str(tmp_path / "more"))
    assert run(*more) == 2
    message = capsys.readouterr().err.splitlines()
    assert len(message) == 1
    assert "holds 5" in message[0]
    assert "--repeat" in message[0]
    assert not (tmp_path / "more").exists()
    assert run(*more, "--repeat") == 0
    assert len((tmp_path / "more" / "results.jsonl").read_text().splitlines()) == 7


def test_a_suite_repeats_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixed = ("--suite", "suite-cpu-v1", "--repeat", "--output-dir", str(tmp_path / "run"))
    assert run(*fixed) == 2
    assert "fixes its episodes" in capsys.readouterr().err
