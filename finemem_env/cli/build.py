"""`python -m finemem_env build SOURCE --out FILE`: pack a source into an episode file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

from finemem_env.cli.frame import Parser, program
from finemem_env.cli.options import at_least, json_object, model, name_or_object, positive
from finemem_env.cli.writing import add_writing, check_out, source_config, split_sources, write
from finemem_env.data.closed_book import ClosedBook
from finemem_env.data.combined import FileSource
from finemem_env.data.registry import load_source
from finemem_env.data.source import SPLITS, Source
from finemem_env.errors import ConfigError
from finemem_env.readers import make_reader
from finemem_env.types import Competency, Episode

_EPISODES = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Build one file; prints what is in it and its content hash.

    Raises:
        ConfigError: an unknown source, a bad option, or a file that is there already.
        DataError: the source's files are missing or malformed.
    """
    options = _parser().parse_args(arguments)
    read = [options.source] if isinstance(options.source, str) else []
    out = check_out(options, *read)
    sources = split_sources(
        source_config(options, data_dir=options.data_dir),
        options.split,
        lambda config: load_source(options.source, config, options.competency),
    )
    count, episodes = episodes_of(sources, options.episodes, options.start)
    closed_book = None
    if options.closed_book is not None:
        closed_book = ClosedBook(make_reader(options.closed_book), options.least_questions)
    kept: Iterable[Episode] = closed_book(episodes) if closed_book else episodes
    write(out, kept, count, options.exclude, list(sources.values()))
    if closed_book:
        print(closed_book.summary())
    return 0


def _parser() -> Parser:
    parser = program("finemem_env build", __doc__)
    add = parser.add_argument
    add(
        "source",
        type=name_or_object,
        metavar="SOURCE",
        help="name, episode file or mixture, e.g. '{\"squad\": 1}'",
    )
    add("--split", default="train", choices=(*SPLITS, "all"), help="of the source, or all of them")
    add(
        "--episodes",
        type=positive,
        help=f"how many of a split (default: all, of an endless source {_EPISODES})",
    )
    add("--start", type=at_least(0), default=0, help="index of the first")
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
    add_writing(parser)
    return parser


def episodes_of(
    sources: Mapping[str, Source], wanted: int | None = None, start: int = 0
) -> tuple[int, Iterator[Episode]]:
    """How many episodes to write, and those of every split, each knowing its own.

    Args:
        sources: by split.
        wanted: how many of each; None means all of a finite source, else ten.
        start: index of the first.

    Raises:
        ConfigError: fewer than one, or more than a source has.
    """
    counts = {split: _count(wanted, start, source) for split, source in sources.items()}

    def every() -> Iterator[Episode]:
        for split, source in sources.items():
            for episode in _episodes(source, start, counts[split]):
                if isinstance(source, FileSource):
                    yield episode
                else:
                    about = {**episode.metadata, "split": split}
                    yield dataclasses.replace(episode, metadata=about)

    return sum(counts.values()), every()


def _count(wanted: int | None, start: int, source: Source) -> int:
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
