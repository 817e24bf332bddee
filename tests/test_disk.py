from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from baselines import benchmark, report, submit
from baselines.runs.choice import AgentChoice
from baselines.runs.run import RunConfig, run
from baselines.tables.drawing import Drawing, save
from benchmarks.resumed import work_off
from finemem_env.__main__ import main as programs
from finemem_env.disk import check_output, claimed, hold, write_whole
from finemem_env.errors import ConfigError

SMALL = {"split": "test", "num_chunks": 2, "difficulty": {"facts_per_chunk": 4}}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("disk") / "run"
    run(RunConfig(env_args=SMALL, agents=(AgentChoice("fifo"),), episodes=1), folder)
    return folder


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk on which what is written is half there and then fails."""

    class Half(io.FileIO):
        def write(self, data: object) -> int:
            super().write(bytes(data)[:10])  # type: ignore[call-overload]
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    opened = Path.open

    def opening(path: Path, mode: str = "r", *args: object, **more: object) -> object:
        if mode in ("wb", "w"):
            return Half(path, "wb")
        return opened(path, mode, *args, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", opening)


def submitted(run: Path, out: Path) -> int:
    return submit.main([str(run), str(out)])


def reported(run: Path, out: Path) -> int:
    return report.main([str(run), "--output", str(out), "--no-episodes"])


def viewed(run: Path, out: Path) -> int:
    return programs(["view", str(run), "--output", str(out), "--no-open"])


@pytest.mark.parametrize("program", [submitted, reported, viewed])
@pytest.mark.usefixtures("full")
def test_a_full_disk_leaves_what_was_there(
    played: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    program: Callable[[Path, Path], int],
) -> None:
    out = tmp_path / "out.json"
    handle = os.open(out, os.O_CREAT | os.O_WRONLY)
    os.write(handle, b"earlier")
    os.close(handle)
    assert program(played, out) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {out}: No space left")
    assert out.read_bytes() == b"earlier"
    assert [one.name for one in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.parametrize("name", ["config.json", "results.jsonl", "traces.jsonl"])
def test_no_program_writes_over_the_run_that_it_reads(
    played: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = (played / name).read_bytes()
    for program in (submitted, reported, viewed):
        assert program(played, played / name) == 2
        assert "which is read: choose another file." in capsys.readouterr().err
    assert (played / name).read_bytes() == before


def test_a_link_to_what_is_read_is_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("x")
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "a.jsonl")
    with pytest.raises(ConfigError, match="choose another"):
        check_output(tmp_path / "b.jsonl", tmp_path / "a.jsonl")
    write_whole(tmp_path / "b.jsonl", "y")
    assert (tmp_path / "a.jsonl").read_text() == "y"
    assert (tmp_path / "b.jsonl").is_symlink()
    write_whole(Path(os.devnull), "y")
    assert not Path(os.devnull).is_file()


def test_a_second_process_on_one_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fcntl")
    folder = tmp_path / "run"
    words = ["--agent", "skip", "--no-reference", "--episodes", "1", "--output-dir", str(folder)]
    words += ["--env-args", '{"num_chunks": 2}', "--time-limit", "0"]
    with claimed(folder):
        assert benchmark.main(words) == 2
        assert "another process writes there now" in capsys.readouterr().err
    assert not folder.exists()
    assert benchmark.main(words) == 0


def test_a_second_process_adds_nothing_to_a_file(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    path = tmp_path / "cells.jsonl"
    with path.open("ab") as file:
        hold(file.fileno(), path)
        with pytest.raises(ConfigError, match="another process"):
            list(work_off([1], lambda _: {"a": 1}, path, 1, "cell", str))
    assert path.read_bytes() == b""
    assert list(work_off([1], lambda _: {"a": 1}, path, 1, "cell", str)) == [{"a": 1}]


def test_a_chart_is_written_whole(tmp_path: Path) -> None:
    save(Drawing(10, 10, ()), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
