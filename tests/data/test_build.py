"""The build command: what it writes, prints, refuses, and that its files are sources."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from finemem_env.__main__ import main as program
from finemem_env.cli.build import main
from finemem_env.data.closed_book import ClosedBook
from finemem_env.data.registry import load_source
from finemem_env.data.schema import content_hash, read_episodes
from finemem_env.data.source import SourceConfig
from finemem_env.errors import ConfigError, DataError
from finemem_env.types import Answer, ReadRequest
from tests.data.publishers import write_all


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("build") / "data")


def _build(small: Path, *arguments: str) -> int:
    return main([*arguments, "--data-dir", str(small)])


def test_it_writes_what_the_source_gives(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "squad.jsonl"
    options = ("--split", "val", "--episodes", "3", "--start", "2")
    packing = ("--num-chunks", "2", "--chunk-tokens", "80,120")
    assert _build(small, "squad", "--out", str(out), *options, *packing) == 0
    config = SourceConfig("val", small, num_chunks=2, chunk_tokens=(80, 120))
    source = load_source("squad", config)
    expected = [source.episode(i) for i in (2, 3, 4)]
    assert list(read_episodes(out)) == expected
    printed = capsys.readouterr().out
    assert "3 episodes, 6 chunks" in printed
    assert f"sha256 {content_hash(expected)}" in printed
    assert content_hash(expected) == hashlib.sha256(out.read_bytes()).hexdigest()


def test_gzip_bytes_do_not_depend_on_name_or_time(small: Path, tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        _build(small, "squality", "--out", str(tmp_path / name))
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert len(list(read_episodes(tmp_path / "a.jsonl.gz"))) == 3


def test_a_built_file_is_a_source_again(small: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl"
    _build(small, "fairytaleqa", "--out", str(first))
    _build(small, str(first), "--out", str(second))
    assert list(read_episodes(first)) == list(read_episodes(second))
    source = load_source(str(second), competency="LRU")
    assert source.size == 3
    assert source.get("fairytaleqa/train/1").source == "fairytaleqa"


def test_synthetic_and_mixtures(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    _build(small, "synthetic", "--competency", "CR", "--episodes", "2", "--out", str(out))
    assert {episode.competency for episode in read_episodes(out)} == {"CR"}
    mixture = '{"squality": 1, "fairytaleqa": 1}'
    _build(small, mixture, "--episodes", "6", "--out", str(out), "--force")
    assert len({episode.episode_id for episode in read_episodes(out)}) == 6
    with pytest.raises(ConfigError, match="has only 6 different episodes"):
        _build(small, mixture, "--episodes", "7", "--out", str(out), "--force")


def test_an_existing_file_needs_force(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    out.write_text("precious")
    with pytest.raises(ConfigError, match=r"is there already; --force"):
        _build(small, "squality", "--out", str(out))
    assert out.read_text() == "precious"
    _build(small, "squality", "--out", str(out), "--force")
    assert len(list(read_episodes(out))) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("squad", "--out", "x.json"), "ending in .jsonl"),
        (("sqad", "--out", "x.jsonl"), "Did you mean 'squad'"),
        (("squad", "--out", "x.jsonl", "--episodes", "0"), "--episodes: expected at least 1"),
        (("squality", "--out", "x.jsonl", "--episodes", "4"), "has 3 episodes"),
        (("squality", "--out", "x.jsonl", "--start", "3"), "has 3 episodes"),
        (("squad", "--out", "x.jsonl", "--chunk-tokens", "1,2,3"), "expected N or MIN,MAX"),
        (("squad", "--out", "x.jsonl", "--chunk-tokens", "a"), "expected N or MIN,MAX"),
        (("squad", "--out", "x.jsonl", "--difficulty", "{"), "--difficulty: expected a JSON"),
        (("squad", "--out", "x.jsonl", "--difficulty", "[]"), "--difficulty: expected a JSON"),
        (("banking77", "--out", "x.jsonl", "--difficulty", '{"label": 2}'), "mean 'labels'"),
        (("{squad}", "--out", "x.jsonl"), "SOURCE: expected a JSON object"),
        (("squad", "--out", "x.jsonl", "--competency", "CR"), "use FineMem-AR-v0"),
    ],
)
def test_bad_arguments(
    arguments: tuple[str, ...],
    message: str,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        _build(small, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_missing_data_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"squad/dev-v1\.1\.json"):
        main(["squad", "--out", str(tmp_path / "a.jsonl"), "--data-dir", str(tmp_path)])


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: str, mode: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("finemem_env.data.schema.os.chmod", full)
    out = tmp_path / "a.jsonl"
    assert program(["build", "synthetic", "--episodes", "1", "--out", str(out)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == f"error: {out}: No space left on device. {out} is not written."
    assert list(tmp_path.iterdir()) == []


def test_progress_without_tqdm(
    small: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    _build(small, "squality", "--out", str(tmp_path / "a.jsonl"))
    lines = capsys.readouterr().err.split("\r")
    assert [line.split(",")[0] for line in lines[1:]] == [f"{n}/3 episodes" for n in (1, 2, 3)]
    assert lines[-1].endswith("\n")


def test_progress_with_tqdm(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("tqdm") is None:
        pytest.skip("tqdm is not installed")
    _build(small, "squality", "--out", str(tmp_path / "a.jsonl"))
    assert "3/3" in capsys.readouterr().err


class KnowsSome:
    """Answers the questions on some facts without any context; some calls fail."""

    version = "knows-some/1"

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        assert all(not request.items for request in requests)
        found = []
        for number, request in enumerate(requests):
            words = request.question.split()
            part, place = words[words.index("part") + 1], words[words.index("place") + 1]
            gold = f"value{place}x{part.replace('.', 'x')}"
            found.append(Answer(f"It is {gold.upper()}." if number % 3 == 0 else "Unknown."))
        found[1] = Answer("", failed=True)
        return found


def test_closed_book_filter(small: Path) -> None:
    source = load_source("squad", SourceConfig(data_dir=small, num_chunks=4, chunk_tokens=200))
    before = source.episode(0)
    long = dataclasses.replace(before.questions[5], answers=("one two three four five",))
    episode = dataclasses.replace(
        before, questions=(*before.questions[:5], long, *before.questions[6:])
    )
    keep = ClosedBook(KnowsSome(), least=3)
    (after,) = list(keep([episode]))
    asked = [question for question in episode.questions if question is not long]
    expected = [q for number, q in enumerate(asked) if number % 3 and number != 1]
    assert list(after.questions) == expected
    assert after.metadata["closed_book"] == {
        "reader": "knows-some/1",
        "asked": len(episode.questions),
    }
    assert (keep.long, keep.failed, keep.known) == (1, 1, -(-len(asked) // 3))
    assert list(ClosedBook(KnowsSome(), least=1000)([episode])) == []


def test_closed_book_on_the_command_line(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "squad.jsonl"
    options = ("--episodes", "2", "--closed-book", "local", "--least-questions", "1")
    packing = ("--num-chunks", "2", "--chunk-tokens", "120")
    assert _build(small, "squad", "--out", str(out), *options, *packing) == 0
    assert "closed book (local/2): dropped 0 questions" in capsys.readouterr().out
    assert next(read_episodes(out)).metadata["closed_book"]
