"""How every program ends: one line for what a user can mend, whatever the console can show."""

from __future__ import annotations

import errno
import importlib
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import gymnasium as gym
import pytest

from finemem_env import Chunk, MemoryEnv, Question
from finemem_env.cli.frame import Parser, command, program, saving, shell_line
from finemem_env.cli.options import add_env_options, add_seed, env_args, env_id
from finemem_env.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
FULL = OSError(errno.ENOSPC, "No space left on device")
# Programs of this frame, with the arguments that they cannot do without.
PROGRAMS: dict[str, list[str]] = {
    "finemem_env.cli.build": ["synthetic", "--out", "x.jsonl"],
    "finemem_env.cli.chunk_qa": ["x.jsonl", "--out", "y.jsonl"],
    "finemem_env.cli.cost": [],
    "finemem_env.cli.list": [],
    "finemem_env.cli.play": [],
    "finemem_env.cli.view": ["x"],
    "baselines.benchmark": ["--output-dir", "x"],
    "baselines.inspect": ["x"],
    "baselines.merge": ["x", "--output-dir", "y"],
    "baselines.pin": [],
    "baselines.published": ["memalpha", "--output-dir", "x"],
    "baselines.report": ["x"],
    "baselines.rescore": ["x"],
    "baselines.sb3": ["--output-dir", "x"],
    "baselines.submit": ["x", "y.json"],
    "baselines.verify": ["x.json"],
    "baselines.watch": [],
    "benchmarks.credit": [],
    "benchmarks.credit_assignment": [],
    "benchmarks.dark_room": [],
    "benchmarks.model_classes": [],
    "benchmarks.overlap": ["--sampler", "http://127.0.0.1:1/v1"],
    "benchmarks.retrieval": [],
    "benchmarks.scale": [],
    "benchmarks.steps": [],
    "benchmarks.structure": [],
    "benchmarks.trl_sides": ["ours", "{}"],
    "benchmarks.trl_speed": [],
    "benchmarks.view": [],
}
SEEDED = [
    "finemem_env.cli.play",
    "baselines.benchmark",
    "baselines.published",
    "baselines.sb3",
    "baselines.watch",
    "benchmarks.credit_assignment",
    "benchmarks.dark_room",
    "benchmarks.retrieval",
    "benchmarks.scale",
    "benchmarks.steps",
]
every_program = pytest.mark.parametrize("name", PROGRAMS)


def _ends(error: BaseException) -> int:
    def main(arguments: Sequence[str] | None = None) -> int:
        with saving("runs/x", "Two episodes are kept; --resume goes on."):
            raise error

    return command(main)([])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("no such file."), 2, "error: no such file."),
        (gym.error.NameNotFound("no such id"), 2, "error: no such id"),
        (
            KeyboardInterrupt(),
            130,
            "interrupted: Two episodes are kept; --resume goes on.",
        ),
        (
            FULL,
            2,
            "error: runs/x: No space left on device. Two episodes are kept; --resume goes on.",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "runs/y"),
            2,
            "error: runs/y: Permission denied. Two episodes are kept; --resume goes on.",
        ),
        (OSError("a socket"), 2, "error: a socket Two episodes are kept; --resume goes on."),
    ],
    ids=["data", "gymnasium", "Ctrl-C", "full disk", "folder of another", "no file"],
)
def test_an_end_is_one_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _ends(error) == code
    assert capsys.readouterr() == ("", f"{line}\n")


def test_errors_of_ours_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        _ends(ZeroDivisionError())


def test_an_option_that_cannot_be_read_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @command
    def main(arguments: Sequence[str] | None = None) -> int:
        program("x", "y").parse_args(arguments)
        return 0

    with pytest.raises(SystemExit) as stopped:
        main(["--what"])
    assert stopped.value.code == 2
    line = "error: unrecognized arguments: --what (--help explains the options)\n"
    assert capsys.readouterr() == ("", line)


def _parser_of(name: str, monkeypatch: pytest.MonkeyPatch) -> Parser:
    class Parsed(Exception):  # noqa: N818
        pass

    def stop(self: Parser, *_: object) -> None:
        raise Parsed(self)

    monkeypatch.setattr(Parser, "parse_args", stop)
    with pytest.raises(Parsed) as parsed:
        importlib.import_module(name).main([])
    monkeypatch.undo()
    parser = parsed.value.args[0]
    assert isinstance(parser, Parser)
    return parser


@every_program
def test_every_option_is_explained_with_the_default_that_is_used(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parser = _parser_of(name, monkeypatch)
    for action in parser._actions:
        assert action.help, action.dest
        shown = parser._get_formatter()._get_help_string(action) or ""
        default = action.default
        if isinstance(default, (int, float, str, Path)) and default not in ("", "==SUPPRESS=="):
            assert f"(default: {default})" in shown or default is False or "cores" in shown
    assert "(default: None)" not in parser.format_help()


def test_the_programs_with_a_seed_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {name: _parser_of(name, monkeypatch)._option_string_actions for name in PROGRAMS}
    assert [name for name in PROGRAMS if "--seed" in options[name]] == SEEDED


@pytest.mark.parametrize("name", SEEDED)
def test_every_seed_is_checked_before_anything_is_done(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in ("-1", str(2**32), str(2**64), "x", "1.5"):
        parser = _parser_of(name, monkeypatch)
        with pytest.raises((ValueError, SystemExit)) as stopped:
            importlib.import_module(name).main([*PROGRAMS[name], f"--seed={seed}"])
        text = str(stopped.value) + capsys.readouterr().err
        assert f"--seed: expected a seed from 0 to 4294967295, got '{seed}'" in text
        assert parser.parse_args([*PROGRAMS[name], f"--seed={2**32 - 1}"]).seed == 2**32 - 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[1]", "expected a JSON object, got '[1]'"),
        ("[" * 9000, "expected a JSON object, got '[[["),
        ("{", "expected a JSON object, got '{': Expecting property name"),
    ],
)
@every_program
def test_json_options_say_what_was_expected(
    name: str,
    value: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = [
        action.option_strings[0]
        for action in _parser_of(name, monkeypatch)._actions
        if action.metavar == "JSON" and action.dest not in ("reader", "judge", "agent_args")
    ]
    for option in options:
        with pytest.raises((ValueError, SystemExit)) as stopped:
            importlib.import_module(name).main([*PROGRAMS[name], option, value])
        text = str(stopped.value) + capsys.readouterr().err
        assert f"argument {option}: {message}" in text


def test_the_environment_is_read_the_same_way_everywhere() -> None:
    parser = program("x", "y")
    add_env_options(parser)
    add_seed(parser, "of it")
    options = parser.parse_args(
        ["--env", "FineMem-CR-v0", "--source", '{"squad": 1}', "--env-args", '{"top_k": 2}']
    )
    assert env_id(options) == "FineMem-CR-v0"
    assert env_args(options) == {"top_k": 2, "source": {"squad": 1}}
    assert env_id(parser.parse_args([])) == "FineMem-AR-v0"
    assert env_args(parser.parse_args([])) == {}
    twice = parser.parse_args(["--split", "val", "--env-args", '{"split": "test"}'])
    with pytest.raises(ValueError, match="split is given by --split and again in --env-args"):
        env_args(twice)


def test_a_printed_command_can_be_typed() -> None:
    line = shell_line("x.y", "--args", '{"a b": "c"}')
    done = subprocess.run(
        ["sh", "-c", f'set -- {line}; for word; do echo "$word"; done'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["python", "-m", "x.y", "--args", '{"a b": "c"}']


def _run(*arguments: str, pipe: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    shell = shell_line(*arguments).replace("python", sys.executable, 1) + pipe
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shell}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_shows_what_it_can(encoding: str) -> None:
    done = _run("finemem_env", "list", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Mem-\\u03b1" in done.stdout


def test_a_rendered_episode_in_any_script(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    chunk = Chunk("c0", "马拉搬到了奥斯塔。")
    env = MemoryEnv(
        source=[chunk, Question("q0", "马拉住在哪里?", ("奥斯塔",))], render_mode="human"
    )
    env.reset(seed=0)
    env.step('[{"op": "INSERT", "content": "奥斯塔"}]')
    sys.stdout.flush()
    assert b"\\u5965\\u65af\\u5854" in raw.getvalue()


def test_nobody_reads_the_output_any_more() -> None:
    done = _run("baselines.watch", "--env", "FineMem-AR-v0", pipe=" | head -n 1")
    assert (done.returncode, done.stderr) == (141, "")
    assert done.stdout.startswith("selective reads ")


def test_a_full_output_is_one_line() -> None:
    done = _run("finemem_env", "list", pipe=" > /dev/full")
    assert done.returncode == 2
    assert done.stderr == "error: [Errno 28] No space left on device\n"
