"""`python -m finemem_env convert PATH --out FILE`: turn data of your own into an episode file.

PATH is a table (.csv, .tsv, .jsonl, .json, .parquet) with a document, a question and an answer in
each row, or, with --as SOURCE, a publisher's own folder or file, wherever it lies. docs/own-data.md
explains the file that comes out, which is itself easily written by a program.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from finemem_env.cli.build import episodes_of
from finemem_env.cli.frame import Parser, program
from finemem_env.cli.options import json_object, positive
from finemem_env.cli.writing import (
    add_writing,
    check_out,
    source_config,
    split_sources,
    write,
)
from finemem_env.data.files import Reading
from finemem_env.data.registry import SOURCES, load_source
from finemem_env.data.source import SPLITS, SourceConfig
from finemem_env.data.tables import Table, table_episodes
from finemem_env.errors import ConfigError, nearest
from finemem_env.types import Competency, Task

_HINT = "docs/own-data.md explains the columns."
_COLUMNS = {
    "document": "the text to remember, or a list of chunks",
    "question": "the question",
    "answer": "its gold, or a list of golds",
    "episode": "rows with one value are one episode (default: the same document)",
    "id": "the question's id",
    "time": "when the document was told",
    "choices": "what may be chosen",
    "unanswerable": "true where there is no answer",
    "split_column": "train, val or test",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert one table, folder or file; prints what is in the result and its content hash.

    Raises:
        ConfigError: an unknown source or column option, or a file that is there already.
        DataError: the data are missing or malformed.
    """
    options = _parser().parse_args(arguments)
    out = check_out(options, options.path)
    config = source_config(options, path=Path(options.path))
    if options.source is None:
        _convert_table(options, config, out)
    else:
        _convert_source(options, config, out)
    return 0


def _parser() -> Parser:
    parser = program("finemem_env convert", __doc__)
    parser.add_argument("path", help="a table, or a publisher's folder or file")
    parser.add_argument(
        "--as", dest="source", metavar="SOURCE", help="whose files they are, such as locomo"
    )
    add_writing(parser)
    parser.add_argument(
        "--split",
        choices=(*SPLITS, "all"),
        help="of every record (default: none for a table, all for a publisher's files)",
    )
    columns = parser.add_argument_group("columns of a table")
    for name, text in _COLUMNS.items():
        plain = name in ("document", "question", "answer")
        option, default = f"--{name.replace('_', '-')}", name if plain else ""
        columns.add_argument(option, metavar="COLUMN", default=default, help=text)
    table = parser.add_argument_group("questions of a table")
    table.add_argument("--separator", default="", help="parts several answers or choices")
    table.add_argument("--competency", default="AR", choices=get_args(Competency))
    table.add_argument("--metric", default="", help="default: substring_exact_match")
    table.add_argument("--type", default="", choices=get_args(Task), help="default: fact")
    files = parser.add_argument_group("a publisher's files")
    files.add_argument(
        "--difficulty", type=json_object, default={}, metavar="JSON", help="knobs of the source"
    )
    files.add_argument("--episodes", type=positive, help="how many of a split (default: as build)")
    return parser


def _convert_table(options: argparse.Namespace, config: SourceConfig, out: Path) -> None:
    if options.split == "all":
        raise ConfigError("--split all: a table names the split of a row in --split-column.")
    if config.difficulty or options.episodes is not None:
        raise ConfigError("--difficulty and --episodes: they are for --as SOURCE.")
    table = Table(
        **{name: getattr(options, name) for name in _COLUMNS},
        separator=options.separator,
        competency=options.competency,
        metric=options.metric,
        type=options.type,
        split=options.split or "",
    )
    reading = Reading(_HINT, options.on_error == "skip")
    episodes = table_episodes(Path(options.path), table, config, reading)
    write(out, episodes, exclude=options.exclude, flaws=reading.flaws)


def _convert_source(options: argparse.Namespace, config: SourceConfig, out: Path) -> None:
    names = {name: name for name, spec in SOURCES.items() if spec.files}
    folded = {name.replace("_", "").casefold(): name for name in names}
    name = folded.get(options.source.replace("_", "").replace("-", "").casefold())
    if name is None:
        raise ConfigError(
            f"--as: {nearest('source', options.source, names)} A set without an adapter becomes an "
            "episode file as a table, or by a program of yours: docs/own-data.md."
        )
    if not Path(options.path).exists():
        raise ConfigError(f"{options.path}: expected the folder or file of {name}, found nothing.")
    sources = split_sources(config, options.split or "all", lambda own: load_source(name, own))
    count, episodes = episodes_of(sources, options.episodes)
    write(out, episodes, count, options.exclude, list(sources.values()))
