"""Reads pages: their code blocks, Python that runs, and commands that are parsed, not run."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from finemem_env.cli.frame import Parser

__all__ = ["PAGES", "Block", "blocks", "check_command", "commands", "run_python"]

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
_FENCE = re.compile(r"^```([\w+]*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ASSIGNMENT = re.compile(r"^([A-Z][A-Z_]*)=(.*)", re.MULTILINE)
# Programs that are not ours; their own options are theirs to check.
_FOREIGN = frozenset(
    [
        ".",
        "cd",
        "export",
        "git",
        "mkdir",
        "pip",
        "pre-commit",
        "python3",
        "tensorboard",
        "tox",
        "twine",
        "vllm",
    ]
)
_EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str


def blocks(text: str) -> list[Block]:
    """Every fenced block of a page, in order."""
    return [Block(match[1], match[2]) for match in _FENCE.finditer(text)]


def run_python(
    text: str, name: str, given: Mapping[str, Any] | None = None
) -> Iterator[tuple[str, str]]:
    """Run the Python of a page, one block after the other in one namespace.

    Args:
        text: the page.
        name: of the page.
        given: names that the code finds.

    Yields:
        What a block printed, and the block of text that comes next on the page, if one does.
    """
    page = blocks(text)
    names: dict[str, Any] = {"__name__": "page", **(given or {})}
    for number, block in enumerate(page):
        if block.language != "python":
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block.text, f"{name}, block {number}", "exec"), names)
        after = page[number + 1] if number + 1 < len(page) else None
        if after is not None and after.language == "text":
            yield out.getvalue(), after.text


def commands(text: str) -> list[list[str]]:
    """The words of every command of the bash blocks of a page."""
    found = []
    variables: dict[str, str] = {}
    for block in blocks(text):
        if block.language == "bash":
            for line in _lines(block.text):
                for words in _split(line):
                    filled = [_filled(word, variables) for word in words]
                    variables |= dict(_ASSIGNMENT.findall("\n".join(filled)))
                    found += [filled] if filled else []
    return found


def _filled(word: str, variables: Mapping[str, str]) -> str:
    """`word` with the variables that the page has set."""
    return re.sub(r"\$([A-Z]+)", lambda match: variables.get(match[1], match[0]), word)


def _lines(text: str) -> list[str]:
    """Commands, each on one line: continuations and open quotes are joined."""
    lines, held = [], ""
    for line in text.splitlines():
        held = f"{held} {line.strip()}" if held else line
        if held.endswith("\\"):
            held = held[:-1]
            continue
        try:
            shlex.split(held, comments=True)
        except ValueError:  # a quote is open
            continue
        lines.append(held)
        held = ""
    assert not held, f"a quote stays open: {held!r}"
    return lines


def _split(line: str) -> list[list[str]]:
    """The commands that `&&` joins."""
    words = shlex.split(line, comments=True)
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


class _ParsedError(BaseException):
    """The command line could be read; nothing was run."""

    def __init__(self, prog: str, rest: list[str]) -> None:
        super().__init__(prog)
        self.prog, self.rest = prog, rest


def check_command(words: list[str]) -> None:
    """Fail where a command names a program, an option or an extra that is not there."""
    while words and _ASSIGNMENT.match(words[0]):  # variables, of a command or of the page
        words = words[1:]
    if not words:
        return
    if "-m" in words and words[0] in {"python", "torchrun", "accelerate"}:
        place = words.index("-m")
        _parse(words[place + 1], words[place + 2 :])
        return
    program = words[0].rpartition("/")[2]
    assert program in _FOREIGN or words[0] == "python", f"an unknown program: {words}"
    for word in words:
        if program == "pip" and word.startswith(".["):
            assert set(word[2:-1].split(",")) <= set(_EXTRAS), words


def _parse(module: str, arguments: list[str]) -> None:
    if not module.startswith(("agents.", "baselines.", "benchmarks.", "finemem_env")):
        return
    if module == "finemem_env" and arguments:
        module = f"finemem_env.cli.{arguments[0].replace('-', '_')}"
        arguments = arguments[1:]
    loaded = importlib.import_module(module if module != "finemem_env" else "finemem_env.__main__")
    read = Parser.parse_known_args

    def parse(self: Parser, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401
        rest = read(self, args, namespace)[1]
        if rest and self.prog != "python -m agents.evaluate":
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        raise _ParsedError(self.prog, rest)

    with (
        mock.patch.object(Parser, "parse_known_args", parse),
        mock.patch.object(sys, "stderr", io.StringIO()) as said,
    ):
        try:
            loaded.main(arguments)
        except _ParsedError as parsed:
            rest = parsed.rest
        except SystemExit as error:
            raise AssertionError(f"{module} {arguments}: {said.getvalue()}") from error
        else:
            raise AssertionError(f"{module} {arguments}: {said.getvalue()}")
    if rest:  # options that agents.evaluate hands on
        _parse("baselines.benchmark", [*rest, "--output-dir", "unused"])
