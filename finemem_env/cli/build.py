"""`python -m finemem_env build SOURCE --out FILE`: pack a source into an episode file."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast, get_args

from finemem_env.data.closed_book import ClosedBook
from finemem_env.data.registry import load_source
from finemem_env.data.schema import write_episodes
from finemem_env.data.source import SPLITS, Source, SourceConfig
from finemem_env.errors import ConfigError
from finemem_env.readers import make_reader
from finemem_env.types import Competency, Episode

__all__ = ["main"]

_EPISODES = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Build one file; prints what is in it and its content hash.

    Raises:
        ConfigError: an unknown source, a bad option, or a file that is there already.
        DataError: the source's files are missing or malformed.
    """
    given = _parser().parse_args(argv)
    out = Path(given.out)
    if not out.name.endswith((".jsonl", ".jsonl.gz")):
        raise ConfigError(f"--out: expected a name ending in .jsonl or .jsonl.gz, got {out}.")
    if out.exists() and not given.force:
        raise ConfigError(f"--out: {out} is there already; --force replaces it.")
    source = load_source(_source(given.source), _config(given), given.competency)
    count = _count(given.episodes, given.start, source)
    totals: Counter[str] = Counter()
    progress = _progress(count)

    def each(episode: Episode) -> None:
        totals["episodes"] += 1
        totals["chunks"] += len(episode.chunks)
        totals["final questions"] += len(episode.questions)
        totals["chunk questions"] += sum(len(chunk.questions) for chunk in episode.chunks)
        progress(totals["episodes"])

    episodes = _episodes(source, given.start, count)
    closed_book = _closed_book(given)
    digest = write_episodes(out, closed_book(episodes) if closed_book else episodes, each)
    print(f"{out}: " + ", ".join(f"{number} {what}" for what, number in totals.items()))
    if closed_book:
        print(closed_book.summary())
    print(f"sha256 {digest}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m finemem_env build", description=__doc__)
    parser.add_argument("source", help="name, episode file or mixture, e.g. '{\"squad\": 1}'")
    parser.add_argument("--out", required=True, help="file to write: .jsonl or .jsonl.gz")
    parser.add_argument("--split", default="train", choices=SPLITS, help="default: train")
    parser.add_argument(
        "--episodes", type=int, help=f"how many (default: all of a finite source, else {_EPISODES})"
    )
    parser.add_argument("--start", type=int, default=0, help="index of the first (default: 0)")
    parser.add_argument("--num-chunks", type=int, help="chunks per episode")
    parser.add_argument("--chunk-tokens", help="tokens per chunk: N, or MIN,MAX")
    parser.add_argument(
        "--competency", choices=get_args(Competency), help='which "synthetic" generator'
    )
    parser.add_argument("--difficulty", default="{}", help="knobs of the source, as JSON")
    parser.add_argument("--data-dir", help="parent of the sources' folders ($FINEMEM_DATA)")
    parser.add_argument(
        "--closed-book",
        metavar="READER",
        help="leave out questions that this reader answers without context: its name, or JSON",
    )
    parser.add_argument(
        "--least-questions",
        type=int,
        default=30,
        help="with --closed-book: drop episodes left with fewer questions (default: 30)",
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")
    return parser


def _config(given: argparse.Namespace) -> SourceConfig:
    return SourceConfig(
        split=given.split,
        data_dir=Path(given.data_dir) if given.data_dir else None,
        num_chunks=given.num_chunks,
        chunk_tokens=_tokens(given.chunk_tokens),
        difficulty=_object("--difficulty", given.difficulty),
    )


def _closed_book(given: argparse.Namespace) -> ClosedBook | None:
    reader = given.closed_book
    if reader is None:
        return None
    config = _object("--closed-book", reader) if reader.startswith("{") else {"name": reader}
    return ClosedBook(make_reader(config), given.least_questions)


def _source(text: str) -> str | Mapping[str, float]:
    if text.startswith("{"):
        return cast("Mapping[str, float]", _object("SOURCE", text))
    return text


def _object(option: str, text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{option}: expected a JSON object, got {text!r}: {error}.") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{option}: expected a JSON object, got {text!r}.")
    return value


def _tokens(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) > 2 or not all(part.strip().isdecimal() for part in parts):
        raise ConfigError(f"--chunk-tokens: expected N or MIN,MAX, got {text!r}.")
    numbers = [int(part) for part in parts]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else numbers[0]


def _count(asked: int | None, start: int, source: Source) -> int:
    """How many episodes to write.

    Raises:
        ConfigError: fewer than one, or more than the source has.
    """
    left = None if source.size is None else source.size - start
    count = asked if asked is not None else _EPISODES if left is None else left
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


def _progress(count: int) -> Callable[[int], None]:
    """A progress bar on stderr (tqdm where it is installed), called with the number done."""
    try:
        tqdm = importlib.import_module("tqdm").tqdm
    except ImportError:
        return lambda done: _plain(done, count)
    bar = tqdm(total=count, unit="episode", file=sys.stderr)

    def advance(done: int) -> None:
        bar.update(done - bar.n)
        if done == count:
            bar.close()

    return advance


def _plain(done: int, count: int) -> None:
    sys.stderr.write(f"\r{done}/{count} episodes" + ("\n" if done == count else ""))
    sys.stderr.flush()
