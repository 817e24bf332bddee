"""`python -m finemem_env build SOURCE --out FILE`: pack a source into an episode file."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args

from finemem_env.cli.frame import Parser, program, saving
from finemem_env.cli.options import json_object, model, name_or_object, positive
from finemem_env.cli.progress import Progress
from finemem_env.data.closed_book import ClosedBook
from finemem_env.data.registry import load_source
from finemem_env.data.schema import write_episodes
from finemem_env.data.source import SPLITS, Source, SourceConfig
from finemem_env.errors import ConfigError
from finemem_env.readers import make_reader
from finemem_env.types import Competency, Episode

__all__ = ["main"]

_EPISODES = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Build one file; prints what is in it and its content hash.

    Raises:
        ConfigError: an unknown source, a bad option, or a file that is there already.
        DataError: the source's files are missing or malformed.
    """
    options = _parser().parse_args(arguments)
    out = options.out
    if not out.name.endswith((".jsonl", ".jsonl.gz")):
        raise ConfigError(f"--out: expected a name ending in .jsonl or .jsonl.gz, got {out}.")
    if out.exists() and not options.force:
        raise ConfigError(f"--out: {out} is there already; --force replaces it.")
    source = load_source(options.source, _config(options), options.competency)
    count = _count(options.episodes, options.start, source)
    episodes: Iterable[Episode] = _episodes(source, options.start, count)
    closed_book = None
    if options.closed_book is not None:
        closed_book = ClosedBook(make_reader(options.closed_book), options.least_questions)
        episodes = closed_book(episodes)
    totals: Counter[str] = Counter()
    with saving(out, f"{out} is not written."), Progress(count, "episode") as progress:
        digest = write_episodes(out, episodes, lambda episode: _add(episode, totals, progress))
    print(f"{out}: " + ", ".join(f"{number} {what}" for what, number in totals.items()))
    if closed_book:
        print(closed_book.summary())
    print(f"sha256 {digest}")
    return 0


def _add(episode: Episode, totals: Counter[str], progress: Progress) -> None:
    totals["episodes"] += 1
    totals["chunks"] += len(episode.chunks)
    totals["final questions"] += len(episode.questions)
    totals["chunk questions"] += sum(len(chunk.questions) for chunk in episode.chunks)
    progress()


def _parser() -> Parser:
    parser = program("finemem_env build", __doc__)
    add = parser.add_argument
    add(
        "source",
        type=name_or_object,
        metavar="SOURCE",
        help="name, episode file or mixture, e.g. '{\"squad\": 1}'",
    )
    add("--out", type=Path, required=True, metavar="FILE", help="a .jsonl or .jsonl.gz to write")
    add("--split", default="train", choices=SPLITS, help="of the source")
    add("--episodes", type=int, help=f"how many (default: all, of an endless source {_EPISODES})")
    add("--start", type=int, default=0, help="index of the first")
    add("--num-chunks", type=positive, help="chunks per episode (default: the source's)")
    add("--chunk-tokens", type=_tokens, metavar="N", help="tokens per chunk: N, or MIN,MAX")
    add("--competency", choices=get_args(Competency), help='which "synthetic" generator')
    add("--difficulty", type=json_object, default={}, metavar="JSON", help="knobs of the source")
    add("--data-dir", type=Path, help="parent of the sources' folders (default: $FINEMEM_DATA)")
    add(
        "--closed-book",
        type=model,
        metavar="READER",
        help="leave out questions that this reader answers without context: its name, or JSON",
    )
    add(
        "--least-questions",
        type=positive,
        default=30,
        metavar="N",
        help="with --closed-book: drop episodes left with fewer questions",
    )
    add("--force", action="store_true", help="replace FILE if it is there")
    return parser


def _config(options: argparse.Namespace) -> SourceConfig:
    return SourceConfig(
        split=options.split,
        data_dir=options.data_dir,
        num_chunks=options.num_chunks,
        chunk_tokens=options.chunk_tokens,
        difficulty=options.difficulty,
    )


def _tokens(text: str) -> int | tuple[int, int]:
    parts = text.split(",")
    if len(parts) > 2 or not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"expected N or MIN,MAX, got {text!r}")
    numbers = [int(part) for part in parts]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else numbers[0]


def _count(wanted: int | None, start: int, source: Source) -> int:
    """How many episodes to write.

    Raises:
        ConfigError: fewer than one, or more than the source has.
    """
    left = None if source.size is None else source.size - start
    count = wanted if wanted is not None else _EPISODES if left is None else left
    if start < 0 or count < 1 or (left is not None and count > left):
        has = "any number of" if source.size is None else str(source.size)
        raise ConfigError(
            f"--episodes {count} --start {start}: source {source.name!r} has {has} episodes."
        )
    return count


def _episodes(source: Source, start: int, count: int) -> Iterator[Episode]:
    """`count` different episodes; a mixture may draw one twice, which is then left out."""
    seen: set[str] = set()
    for index in range(start, start + 100 * count):
        episode = source.episode(index)
        if episode.episode_id not in seen:
            seen.add(episode.episode_id)
            yield episode
        if len(seen) == count:
            return
    raise ConfigError(
        f"--episodes {count}: source {source.name!r} has only {len(seen)} different episodes."
    )
