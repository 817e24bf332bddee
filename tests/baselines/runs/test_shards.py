"""A run in shards is the run as a whole, and what is no set of shards is refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from baselines.benchmark import main as benchmark
from baselines.merge import main as merge
from baselines.report import main as report

GIVEN = ["--agent", "fifo", "--agent", "random", "--no-reference", "--time-limit", "0"]
GIVEN += ["--episodes", "2", "--env-args", '{"num_chunks": 2}', "--budgets", "0.2,unlimited"]
Folders = dict[str, Path]


def play(folder: Path, *more: str) -> int:
    return benchmark([*GIVEN, *more, "--output-dir", str(folder)])


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The run as a whole and its three shards."""
    place = tmp_path_factory.mktemp("shards")
    assert play(place / "whole") == 0
    for part in "123":
        assert play(place / part, "--shard", f"{part}/3") == 0
    return {name: place / name for name in ("whole", "1", "2", "3")}


@pytest.fixture
def folders(played: Folders, tmp_path: Path) -> Folders:
    """Copies that a test may break."""
    for name, folder in played.items():
        shutil.copytree(folder, tmp_path / name)
    return {name: tmp_path / name for name in played}


def unclocked(value: Any) -> Any:  # noqa: ANN401
    """Results or a summary without what the clock measured."""
    if isinstance(value, list):
        return [unclocked(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {key: unclocked(value[key]) for key in value if not re.search("_seconds?$", key)}


def contents(path: Path) -> Any:  # noqa: ANN401
    text = path.read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else text


def test_merged_shards_are_the_files_of_one_run(folders: Folders, tmp_path: Path) -> None:
    shards = [str(folders[part]) for part in "312"]
    assert merge([*shards, "--output-dir", str(tmp_path / "merged")]) == 0
    one, other = folders["whole"], tmp_path / "merged"
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    assert len(files) == 5
    for file in files:
        if file.name == "results.jsonl":
            results = [contents(folder / file) for folder in (one, other)]
            assert unclocked(results[0]) == unclocked(results[1])
            assert len(results[0]) == 8
        elif file.name == "summary.json":
            summaries = [json.loads(contents(folder / file)) for folder in (one, other)]
            assert unclocked(summaries[0]) == unclocked(summaries[1])
        else:
            assert (one / file).read_bytes() == (other / file).read_bytes()
    sizes = [len((folders[p] / "results.jsonl").read_text().splitlines()) for p in "123"]
    assert sorted(sizes) == [2, 3, 3]


def cut(path: Path) -> None:
    """Drop the last line."""
    path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:-1]), "utf-8")


def alter(path: Path, key: str, value: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), key: value}), "utf-8")


BROKEN: dict[str, tuple[list[str], Callable[[Folders], object], str]] = {
    "missing": (["1", "3"], lambda _: None, "of 3 shards these are missing: 2. Give their folders"),
    "doubled": (
        ["1", "2", "3", "again"],
        lambda of: shutil.copytree(of["2"], of["2"].with_name("again")),
        "are both shard 2/3: give one of them",
    ),
    "of another count": (
        ["1", "2", "3"],
        lambda of: alter(of["2"] / "config.json", "shard", "2/4"),
        "give the shards of one run",
    ),
    "other settings": (
        ["1", "2", "3"],
        lambda of: alter(of["3"] / "config.json", "seed", 5),
        "3 holds a run with another seed: 5, not 0. Shards of one run have the same settings",
    ),
    "not done": (
        ["1", "2", "3"],
        lambda of: cut(of["1"] / "results.jsonl"),
        "1 is not done: 1 of its 3 episodes are missing. Go on with it",
    ),
    "a lost trace": (
        ["1", "2", "3"],
        lambda of: cut(next((of["1"] / "traces").iterdir(), of["1"] / "traces.jsonl")),
        "1 is not done: 1 of its 3 episodes are missing. Go on with it",
    ),
    "foreign results": (
        ["1", "2", "3"],
        lambda of: (of["1"] / "results.jsonl").write_text(
            (of["1"] / "results.jsonl").read_text() + (of["2"] / "results.jsonl").read_text()
        ),
        "results that are not of its shard",
    ),
    "a whole run": (["whole"], lambda _: None, "is a whole run, not a shard"),
}


@pytest.mark.parametrize(("names", "spoil", "message"), BROKEN.values(), ids=list(BROKEN))
def test_what_is_not_every_shard_once_is_one_line(
    folders: Folders,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    names: list[str],
    spoil: Callable[[Folders], object],
    message: str,
) -> None:
    spoil(folders)
    shards = [str(tmp_path / name) for name in names]
    assert merge([*shards, "--output-dir", str(tmp_path / "merged")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "merged").exists()


def test_a_shard_goes_on_and_belongs_to_its_folder(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    cut(folders["1"] / "results.jsonl")
    assert play(folders["1"], "--shard", "1/3", "--resume") == 0
    assert "shard 1/3 is done: 3 episodes\n" in capsys.readouterr().out
    assert play(folders["1"], "--shard", "2/3", "--resume") == 2
    assert 'holds a run with another shard: "1/3", not "2/3"' in capsys.readouterr().err
    assert play(folders["1"].with_name("new"), "--shard", "9/9") == 2
    assert "at most as many shards as there are jobs, 8" in capsys.readouterr().err
    assert report([str(folders["1"])]) == 2
    assert "baselines.merge" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0"])
def test_a_shard_is_one_of_so_many(text: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        play(tmp_path / "run", "--shard", text)


@pytest.mark.parametrize("part", ["x/y", "2", "3/2", "", 5])
def test_a_part_that_is_none_is_one_line(
    part: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"schema": "finemem-run/1", "shard": part}))
    assert merge([str(tmp_path), "--output-dir", str(tmp_path / "merged")]) == 2
    assert "config.json: shard: expected I/N with I from 1 to N" in capsys.readouterr().err


WRONG: tuple[object, ...] = (None, 5, "abc", {})


@pytest.mark.parametrize(
    "part, value",
    [
        *((part, value) for part in ("episodes", "agents", "budgets") for value in WRONG),
        ("episodes", [5]),
        ("agents", [5]),
    ],
)
def test_a_config_of_another_form_is_one_line(
    part: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {
        "schema": "finemem-run/1",
        "shard": "1/1",
        "episodes": [],
        "agents": [],
        "budgets": [],
    }
    (tmp_path / "config.json").write_text(json.dumps({**config, part: value}))
    assert merge([str(tmp_path), "--output-dir", str(tmp_path / "merged")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"config.json: {part}" in line
