"""`--shard I/N`: one part of a run, for a machine or a task of an array of its own.

Parts need not know of each other: every one plans the whole run and takes what is its own. Which
jobs go together is drawn once and for all, so that a slow agent or a long task is spread out.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from finemem_env.errors import ConfigError

Job = TypeVar("Job")
_FORM = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `count`, counted from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def take(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs of this part, in their order; the parts' sizes differ by one at most.

        Raises:
            ConfigError: there are fewer jobs than parts.
        """
        if len(jobs) < self.count:
            raise ConfigError(
                f"--shard {self}: expected at most as many shards as there are jobs, "
                f"{len(jobs)}; use fewer."
            )
        drawn = sorted(range(len(jobs)), key=lambda place: sha256(b"%d" % place).digest())
        return [jobs[place] for place in sorted(drawn[self.index - 1 :: self.count])]


def shard(text: str) -> Shard:
    """An option that is a part of a run, "3/8"."""
    match = _FORM.fullmatch(text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"expected I/N with I from 1 to N, got {text!r}")
    return Shard(int(match[1]), int(match[2]))


def add_shard(parser: argparse._ActionsContainer, merges: str) -> None:
    """`--shard I/N`; `merges` is what puts the parts together."""
    text = f"do part I of N alone, I from 1 to N; {merges} puts the parts together"
    parser.add_argument("--shard", type=shard, metavar="I/N", help=text)


def add_parts(parser: argparse.ArgumentParser, metavar: str, where: str) -> None:
    """`--shard I/N`, or `--merge` for the parts of a study: `where` they are put together."""
    parts = parser.add_mutually_exclusive_group()
    add_shard(parts, "--merge")
    text = f"train nothing: put all shards together in {where}"
    parts.add_argument("--merge", type=Path, nargs="+", metavar=metavar, help=text)


def check_shards(parts: Mapping[str, Shard]) -> None:
    """Refuse what is not every part of one run, once.

    Args:
        parts: the parts by where they are.

    Raises:
        ConfigError: parts of another count, a part twice, or parts that are missing.
    """
    first, whole = next(iter(parts.items()))
    owners: dict[int, str] = {}
    for place, part in parts.items():
        if part.count != whole.count:
            raise ConfigError(
                f"{first} is shard {whole} and {place} is shard {part}: give the shards of one run."
            )
        if part.index in owners:
            raise ConfigError(
                f"{owners[part.index]} and {place} are both shard {part}: give one of them."
            )
        owners[part.index] = place
    missing = [str(i) for i in range(1, whole.count + 1) if i not in owners]
    if missing:
        raise ConfigError(
            f"of {whole.count} shards these are missing: {', '.join(missing)}. Give their folders "
            f"too, or play them with --shard {missing[0]}/{whole.count}."
        )


def check_there(parts: Sequence[Path]) -> None:
    """Refuse a part that is not there, such as a mistyped one.

    Raises:
        ConfigError: there is none at one of these places.
    """
    for part in parts:
        if not part.exists():
            raise ConfigError(f"{part}: expected what a shard gave, and there is nothing.")


def check_cells(wanted: Collection[Hashable], parts: Mapping[str, Sequence[Hashable]]) -> None:
    """Refuse cells of a study that are missing or there twice.

    Args:
        wanted: every cell of the study.
        parts: the cells by where they are.

    Raises:
        ConfigError: a cell twice, or cells that are missing.
    """
    owners: dict[Hashable, str] = {}
    for place, cells in parts.items():
        for cell, times in Counter(cells).items():
            if cell in wanted and (cell in owners or times > 1):
                both = place if times > 1 else f"{owners[cell]} and {place}"
                raise ConfigError(f"cell {_name(cell)} is there twice, in {both}: give it once.")
            owners[cell] = place
    missing = [cell for cell in wanted if cell not in owners]
    if missing:
        raise ConfigError(
            f"{len(missing)} of {len(wanted)} cells are missing, the first {_name(missing[0])}: "
            "give where they are too, or run the shard that has them again; it does what is left."
        )


def _name(cell: Hashable) -> str:
    return "/".join(map(str, cell)) if isinstance(cell, tuple) else str(cell)
