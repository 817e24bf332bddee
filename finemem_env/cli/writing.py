"""What the commands that write episode files share: the file's name, the writing, the report."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from finemem_env.cli.frame import saving
from finemem_env.cli.options import positive
from finemem_env.cli.progress import Progress, begin
from finemem_env.data.combined import FileSource
from finemem_env.data.exclude import Exclusion
from finemem_env.data.registry import left_out
from finemem_env.data.schema import write_episodes
from finemem_env.data.source import SPLITS, Source, SourceConfig
from finemem_env.disk import check_output
from finemem_env.errors import ConfigError
from finemem_env.types import Episode


def add_writing(parser: argparse.ArgumentParser) -> None:
    """The options of every command that writes an episode file."""
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FILE", help="a .jsonl or .jsonl.gz to write")
    add("--num-chunks", type=positive, help="chunks per episode (default: the source's)")
    add("--chunk-tokens", type=_tokens, metavar="N", help="tokens per chunk: N, or MIN,MAX")
    add("--exclude", metavar="FILE", help="ids of questions to leave out")
    add(
        "--on-error",
        default="raise",
        choices=("raise", "skip"),
        help="what a flawed record is: an error, or left out and reported",
    )
    add("--force", action="store_true", help="replace FILE if it is there")


def check_out(options: argparse.Namespace, *read: str) -> Path:
    """The file to write, which is none of those that are `read`.

    Raises:
        ConfigError: another ending, it is there already, or it is one of those.
    """
    out: Path = options.out
    check_output(out, *(Path(path) for path in read if Path(path).is_file()))
    if not out.name.endswith((".jsonl", ".jsonl.gz")):
        raise ConfigError(f"--out: expected a name ending in .jsonl or .jsonl.gz, got {out}.")
    if out.exists() and not options.force:
        raise ConfigError(f"--out: {out} is there already; --force replaces it.")
    return out


def source_config(options: argparse.Namespace, **more: Any) -> SourceConfig:  # noqa: ANN401
    """How the source is read: what `add_writing` and `--difficulty` read, and `more` fields."""
    return SourceConfig(
        num_chunks=options.num_chunks,
        chunk_tokens=options.chunk_tokens,
        difficulty=options.difficulty,
        on_error=options.on_error,
        **more,
    )


def _tokens(text: str) -> int | tuple[int, int]:
    parts = text.split(",")
    if len(parts) > 2 or not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"expected N or MIN,MAX, got {text!r}")
    numbers = [int(part) for part in parts]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else numbers[0]


def split_sources(
    config: SourceConfig, split: str, load: Callable[[SourceConfig], Source]
) -> dict[str, Source]:
    """The source of a split, or of every split that there is ("all").

    Raises:
        ConfigError: the source does not have the split, or none of them.
    """
    if split != "all":
        return {split: load(dataclasses.replace(config, split=split))}
    sources: dict[str, Source] = {}
    refused: list[ConfigError] = []
    for name in SPLITS:
        try:
            sources[name] = load(dataclasses.replace(config, split=name))
        except ConfigError as error:
            refused.append(error)
            print(f"without split {name}: {error}", file=sys.stderr)
    if not sources:
        raise refused[0]
    whole = [s for s in sources.values() if isinstance(s, FileSource) and not s.has_splits]
    return {"train": whole[0]} if whole else sources


def write(
    out: Path,
    episodes: Iterable[Episode],
    count: int | None = None,
    exclude: str | None = None,
    sources: Sequence[object] = (),
    flaws: Sequence[str] = (),
) -> None:
    """Write `episodes`, and print what is in the file, what was left out, and the content hash.

    Args:
        out: the file.
        episodes: what to write; `count` of them where it is known.
        count: for the progress bar.
        exclude: a file of question ids.
        sources: whose flawed records are reported.
        flaws: of other records that were left out.
    """
    exclusion = Exclusion.of(exclude)
    begin("all episodes" if count is None else f"{count} episodes", out)
    totals: Counter[str] = Counter()

    def each(episode: Episode) -> None:
        totals["episodes"] += 1
        totals["chunks"] += len(episode.chunks)
        totals["final questions"] += len(episode.questions)
        totals["chunk questions"] += sum(len(chunk.questions) for chunk in episode.chunks)
        if count is not None:
            progress()

    with saving(out, f"{out} is not written."), Progress(count or 0, "episode") as progress:
        digest = write_episodes(out, _without(exclusion, episodes, totals), each)
    dropped = totals.pop("without questions", 0)
    print(f"{out}: " + ", ".join(f"{number} {what}" for what, number in totals.items()))
    if exclusion:
        print(
            f"exclude: met {len(exclusion.met)} of {len(exclusion.ids)} ids, left out {dropped} "
            "episodes without another question"
        )
    flawed = [flaw for source in sources for flaw in left_out(source)]
    every = list(dict.fromkeys([*flaws, *flawed]))
    if every:
        print("\n  ".join([f"left out {len(every)} flawed records:", *every]))
    print(f"sha256 {digest}")


def _without(
    exclusion: Exclusion | None, episodes: Iterable[Episode], totals: Counter[str]
) -> Iterator[Episode]:
    for episode in episodes:
        left = episode if exclusion is None else exclusion.apply(episode)
        if left is None:
            totals["without questions"] += 1
        else:
            yield left
