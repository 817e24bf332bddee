"""The command line: what a user types and sees."""

from __future__ import annotations

import io
import re
import sys

import pytest

from finemem_env.__main__ import COMMANDS, main
from finemem_env.cli.play import wrapped
from finemem_env.data.registry import SOURCES
from finemem_env.locate import ENVIRONMENTS
from finemem_env.rewards import REWARDS
from finemem_env.settings import PROTOCOLS


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    names = {row[0] for row in rows}
    assert {*ENVIRONMENTS, *SOURCES, *PROTOCOLS, *REWARDS, "local"} <= names
    assert all(len(row) > 1 for row in rows)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m finemem_env {command}")


def test_play_understands_short_forms_and_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = (
        "+ a fact\n+ another\n\n"  # two inserts
        "1 = a newer fact\n- 2\n\n"  # an update and a deletion
        '[{"op": "INSERT", "content": "as JSON"}]\n'
        "\n"  # nothing: SKIP
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    arguments = '{"num_chunks": 4, "memory_budget": "unlimited"}'
    assert main(["play", "FineMem-AR-v0", "--seed", "0", "--env-args", arguments]) == 0
    out = capsys.readouterr().out
    assert "UPDATE [1]: accepted" in out
    assert "DELETE [2]: accepted" in out
    assert "[1] a newer fact\n[3] as JSON" in out
    assert "SKIP: accepted" in out
    assert "final score 0.000" in out


def test_play_names_sentences_by_number(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = "keep 2 3\n+ a fact\ndrop 1\n\nreplace 2 with 1\n\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    arguments = '{"num_chunks": 2, "memory_budget": "unlimited"}'
    assert main(["play", "FineMem-AR-v0", "--seed", "0", "--env-args", arguments]) == 0
    out = capsys.readouterr().out
    outcomes = ["INSERT [1]", "INSERT [2]", "INSERT [3]", "DELETE [1]", "UPDATE [2]"]
    assert re.findall(r"^    (\w+ \[\d\]): accepted", out, re.MULTILINE) == outcomes
    assert "[3] a fact" in out
    assert "FineMem-AR-v0, 2 chunks, no limit of the notes." in out
    assert max(map(len, out.splitlines())) <= 100  # words are not cut, lines are wrapped


def test_long_lines_are_wrapped_between_words() -> None:
    text = "short\n\n  one two three four five\n[1] abcdefghijklmnopqrst"
    wanted = ["short", "", "  one two three", "      four five", "[1]", "    abcdefghijklmnopqrst"]
    assert wrapped(text, 16).split("\n") == wanted


def test_play_can_be_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("q\n"))
    assert main(["play"]) == 0
    assert "stopped before the last chunk" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["play", "FineMem-XX-v0"], "Did you mean"),
        (["play", "--env-args", '{"rewrd": "outcome"}'], "Did you mean 'reward'?"),
        (["build", "sqaud", "--out", "unused.jsonl"], "Did you mean 'squad'?"),
    ],
)
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
