"""Options that several programs have, defined once."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finemem_env.errors import ConfigError

_SEEDS = 2**32  # below: what numpy's and torch's generators take
_MOST = 2**53  # every integer up to it is a float
_ENV = "FineMem-AR-v0"
# Keywords of the environment that have an option of their own.
_KEYWORDS = ("source", "split", "protocol", "difficulty")


def json_object(text: str) -> dict[str, Any]:
    """An option that is a JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(
            f"expected a JSON object, got {text[:200]!r}: {error}"
        ) from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object, got {text!r}")
    return value


def name_or_object(text: str) -> str | dict[str, Any]:
    """An option that is a name, or a JSON object."""
    return json_object(text) if text.lstrip().startswith("{") else text


def model(text: str) -> dict[str, Any]:
    """An option that is a reader, judge or generator: NAME, NAME:MODEL or a JSON object."""
    value = name_or_object(text)
    if isinstance(value, dict):
        return value
    name, _, of = value.partition(":")
    return {"name": name, "model": of} if of else {"name": name}


def at_least(least: int) -> Callable[[str], int]:
    """An option that is an integer of at least `least`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected an integer, got {text!r}") from error
        if not least <= value <= _MOST:
            bound = f"at least {least}" if value < least else f"at most {_MOST}"
            raise argparse.ArgumentTypeError(f"expected {bound}, got {text[:40]!r}")
        return value

    return read


positive = at_least(1)


def _finite(fits: Callable[[float], bool], expected: str) -> Callable[[str], float]:
    """An option that is a number which `fits`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and fits(value)):
            raise argparse.ArgumentTypeError(f"expected a number {expected}, got {text!r}")
        return value

    return read


at_least_zero = _finite(lambda value: value >= 0, "of at least 0")
above_zero = _finite(lambda value: value > 0, "above 0")


def seed(text: str) -> int:
    """An option that is a seed."""
    if not (text.isascii() and text.isdecimal()) or int(text) >= _SEEDS:
        raise argparse.ArgumentTypeError(f"expected a seed from 0 to {_SEEDS - 1}, got {text!r}")
    return int(text)


def add_seed(parser: argparse.ArgumentParser, text: str, default: int | None = 0) -> None:
    """`--seed`: `text` says what it decides."""
    parser.add_argument("--seed", type=seed, default=default, help=text)


def add_choice(parser: argparse.ArgumentParser) -> None:
    """`--agent`, `--task`, `--budget` and `--episode`: what of a run is looked at."""
    add = parser.add_argument
    add("--agent", help="this agent alone")
    add("--task", help="this task of the suite alone")
    add("--budget", help="this memory budget alone")
    add("--episode", metavar="ID", help="this episode alone: its id, or its number in the run")


def add_output_options(parser: argparse.ArgumentParser, resumes: str) -> None:
    """`--output-dir DIR` and `--resume`, which `resumes` explains."""
    add = parser.add_argument
    add("--output-dir", type=Path, required=True, metavar="DIR", help="a new folder for the run")
    add("--resume", action="store_true", help=f"continue the run in DIR: {resumes}")


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """`--verbose`: also what a run's folder holds anyway."""
    text = "also print the resolved settings of the environment"
    parser.add_argument("--verbose", action="store_true", help=text)


def add_env_options(parser: argparse.ArgumentParser, *, positional: bool = False) -> None:
    """The environment: its id, `--source` and the like, and any keyword as `--env-args JSON`.

    Args:
        parser: gets the options; `env_args` reads them.
        positional: the id is the first argument instead of `--env`.
    """
    add, text = parser.add_argument, f"environment id (default: {_ENV})"
    if positional:
        add("env", nargs="?", metavar="ID", help=text)
    else:
        add("--env", metavar="ID", help=text)
    add(
        "--source",
        type=name_or_object,
        help="data source, path of an episode file, or weights of several sources as JSON",
    )
    add("--split", help="train, val or test")
    add("--protocol", help="bundle of settings, e.g. managed or fine-mem")
    add("--difficulty", type=json_object, metavar="JSON", help="knobs of the source")
    add_env_args(parser)


def add_env_args(parser: argparse.ArgumentParser) -> None:
    """`--env-args` alone, for programs that fix the rest."""
    parser.add_argument(
        "--env-args",
        type=json_object,
        default={},
        metavar="JSON",
        help='any keyword of the environment, e.g. \'{"memory_budget": 0.2, "top_k": 2}\'',
    )


def env_id(options: argparse.Namespace) -> str:
    """The id that `add_env_options` read."""
    name: str | None = options.env
    return name or _ENV


def env_args(options: argparse.Namespace, *keys: str) -> dict[str, Any]:
    """The keywords of the environment that the command line gives.

    Args:
        options: as parsed.
        *keys: options that are keywords of the environment (default: those of `add_env_options`).

    Raises:
        ConfigError: a keyword is given by its option and again in --env-args.
    """
    values = dict(options.env_args)
    for key in keys or _KEYWORDS:
        value = getattr(options, key)
        if value is not None and key in values:
            raise ConfigError(
                f"{key} is given by --{key.replace('_', '-')} and again in --env-args."
            )
        if value is not None:
            values[key] = value
    return values
