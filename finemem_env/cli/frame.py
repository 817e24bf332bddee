"""The frame of every program: its parser, and how its `main` ends.

    @command
    def main(arguments: Sequence[str] | None = None) -> int:
        options = program("baselines.x", __doc__).parse_args(arguments)
        with saving(options.output_dir, "--resume goes on with it."):
            ...

| what happens | stderr | exit code |
|---|---|---|
| an option, setting, file or package that does not fit | one line | 2 |
| a full disk, a folder that is read-only or not ours | one line: path, what is saved | 2 |
| Ctrl-C | one line: what is saved, how to go on | 130 |
| the reader of the output leaves (`| head`) | nothing | 141 |
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import functools
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import gymnasium as gym

from finemem_env.console import accept_any_text
from finemem_env.errors import ConfigError, FineMemError

Main = Callable[[Sequence[str] | None], int]
# Errors of the place that is written to, which may come without its name.
_DISK = {
    errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC, errno.EPERM, errno.EROFS,
}  # fmt: skip


class UsageError(ConfigError):
    """An option that cannot be read; a program ends with `SystemExit(2)`, as argparse does."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of descriptions and shows the defaults that are used."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default, text = action.default, action.help
        if isinstance(default, list | tuple):
            default = " ".join(map(str, default))
        hidden = default is None or default is False or default in ("", {}, argparse.SUPPRESS)
        if text is None or hidden or "(default" in text:
            return text
        return f"{text} (default: {str(default).replace('%', '%%')})"


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Refuse; the usage is a screen long and --help shows it."""
        raise UsageError(f"{message} (--help explains the options)")


def program(name: str, description: str | None, epilog: str | None = None) -> Parser:
    """The parser of `python -m NAME`; defaults of options are shown by --help."""
    return Parser(
        prog=f"python -m {name}",
        description=description,
        epilog=epilog,
        formatter_class=_Formatter,
    )


def command(main: Main) -> Callable[..., int]:
    """A `main` that ends as the table above says, whatever comes."""

    @functools.wraps(main)
    def framed(arguments: Sequence[str] | None = None) -> int:
        accept_any_text(sys.stdin, sys.stdout, sys.stderr)
        try:
            status = main(arguments)
            sys.stdout.flush()
        except UsageError as error:
            _say("error", error, error)
            raise SystemExit(2) from error
        except (FineMemError, gym.error.Error) as error:
            return _say("error", error, error)
        except KeyboardInterrupt as error:
            return _say("interrupted", error, code=130)
        except BrokenPipeError:
            _silence()
            return 141
        except OSError as error:
            return _say("error", error, _of_file(error))
        return status

    return framed


@contextlib.contextmanager
def saving(path: Path | str, hint: str) -> Iterator[None]:
    """Around work that writes to `path`: what Ctrl-C or a full disk leaves, and how to go on.

    Args:
        path: named by errors that come without a file.
        hint: sentences for the end of the line.
    """
    try:
        yield
    except (KeyboardInterrupt, OSError) as error:
        if isinstance(error, OSError) and error.filename is None and error.errno in _DISK:
            error.filename = str(path)
        error.add_note(hint)
        raise


def shell_line(*words: object) -> str:
    """A command as it is typed: `python -m` and `words`, quoted where the shell needs it."""
    return shlex.join(["python", "-m", *map(str, words)])


def _of_file(error: OSError) -> str:
    if error.filename is None:
        return str(error)
    return f"{error.filename}: {error.strerror or type(error).__name__}."


def _say(kind: str, error: BaseException, text: object = "", code: int = 2) -> int:
    """Print the one line; returns the exit code."""
    parts = [str(text), *getattr(error, "__notes__", ())]
    line = " ".join(part for part in parts if part) or "nothing is saved."
    with contextlib.suppress(OSError):
        print(f"{kind}: {line}", file=sys.stderr)
    return code


def _silence() -> None:
    """Nobody reads our output: what is left in its buffer must not fail at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
