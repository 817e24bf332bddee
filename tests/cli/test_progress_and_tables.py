"""Progress says how much is left; tables are the same numbers in every form."""

from __future__ import annotations

import functools
import sys
import time
from pathlib import Path

import pytest

from finemem_env.cli.progress import Progress, begin, tail
from finemem_env.cli.tables import (
    html_table,
    interval,
    markdown_table,
    number,
    text_table,
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_is_that_of_the_pieces_done_here(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(10, "episode") as progress:
        progress.skip(4)
        assert capsys.readouterr().err == ""
        clock[0] = 30.0
        progress("squad")
        clock[0] = 90.0
        progress("mquake", 2)
    shown = [line.rstrip() for line in capsys.readouterr().err.split("\r")[1:]]
    assert shown == ["5/10 episodes, 2:30 left squad", "7/10 episodes, 1:30 left mquake"]


def test_a_number_in_all_that_is_told_later(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(0, "chunk") as progress:
        progress.reach(20, 60)
        clock[0] = 10.0
        progress.reach(40, 60)
    assert capsys.readouterr().err.strip() == "40/60 chunks, 0:10 left"


def test_a_bar_that_is_switched_off_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tqdm = pytest.importorskip("tqdm", reason="comes with the extra bench")
    # What TQDM_DISABLE=1 does, which tqdm reads when it is imported.
    monkeypatch.setattr(tqdm, "tqdm", functools.partial(tqdm.tqdm, disable=True))
    with Progress(3, "cell") as progress:
        progress("a")
        progress("b", 2)
    assert capsys.readouterr().err == ""


def test_the_bar_knows_what_the_first_piece_took(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tqdm", reason="comes with the extra bench")
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Progress(3, "cell") as progress:
        now[0] = 60.0
        progress("a")
        assert "1/3 [01:00<02:00" in capsys.readouterr().err


def test_nothing_done_is_nothing_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(3, "episode") as progress:
        progress.skip(3)
    assert capsys.readouterr().err == ""


def test_a_process_that_does_not_speak_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(3, "update", shown=False) as progress:
        progress.skip(1)
        progress("reward 1.0")
    assert capsys.readouterr() == ("", "")


def test_a_program_says_what_where_and_how_to_watch(capsys: pytest.CaptureFixture[str]) -> None:
    begin("2 episodes", Path("runs/a b"), tail(Path("runs/a b/results.jsonl")))
    begin("a table")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "runs:   2 episodes",
        "writes: runs/a b",
        "watch:  tail -f 'runs/a b/results.jsonl'",
        "runs:   a table",
    ]


HEADER = ["agent", "score"]
ROWS = [["skip", ".0"], ["a<b", "10.5"]]


def test_one_table_in_every_form() -> None:
    assert text_table(HEADER, ROWS) == "agent  score\n-----  -----\nskip      .0\na<b     10.5"
    assert text_table(HEADER, ROWS, rule=False) == "agent  score\nskip      .0\na<b     10.5"
    assert markdown_table(HEADER, ROWS[:1]) == "| agent | score |\n| --- | --- |\n| skip | .0 |"
    padded = "| agent | score |\n| ----- | ----- |\n| skip  | .0    |"
    assert markdown_table(HEADER, ROWS[:1], padded=True) == padded
    assert "<tr><td>a&lt;b</td><td>10.5</td></tr>" in html_table(HEADER, ROWS)


def test_numbers_as_they_stand_in_tables() -> None:
    assert number(None) == number(float("nan")) == interval(None) == "-"
    assert number(0.5) == "0.500"
    assert number(0.5, bare=True) == ".500"
    assert number(10.5, 1, bare=True) == "10.5"
    assert number(-0.25, sign=True, bare=True) == "-.250"
    assert number(1.0, bare=True) == number(0.9999, bare=True) == "1.000"
    assert interval((0.1, 0.25)) == "0.100-0.250"
    assert interval((-0.1, 0.25), sign=True) == "-0.100 to +0.250"
