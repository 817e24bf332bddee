"""Your own data: rows of a document, a question and its answer become episodes.

    document,question,answer
    "Mara lives in Osta. She keeps goats.","Where does Mara live?",Osta

CSV, TSV, JSON lines, a JSON list or parquet. Rows with the same document are one episode, or those
with the same value of an episode column, whose documents follow each other as the rows first name
them. A document is cut into chunks between sentences; a list of texts is chunks as they are. Any
column may have any name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from finemem_env.data.dialogue import pack_sentences
from finemem_env.data.files import Reading, read_csv, read_jsonl, read_list
from finemem_env.data.published.memalpha import answer_texts
from finemem_env.data.published.parquet import local_rows
from finemem_env.data.source import SPLITS, AutoTokens, SourceConfig
from finemem_env.errors import ConfigError, DataError, nearest
from finemem_env.fields import Fields
from finemem_env.scoring import METRICS
from finemem_env.scoring.abstention import NO_ANSWER
from finemem_env.types import Chunk, Competency, Episode, Question, Task

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0", "")
# A chunk is a tenth of its document, at most so many tokens, unless told otherwise.
_MOST_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class Table:
    """Which column holds what ("" for none), and what holds for every question.

    `separator` parts several answers or choices in one text, "" for none. `split` is that of every
    record, "" for the column's or none.

    Raises:
        ConfigError: an unknown competency, metric, type or split.
    """

    document: str = "document"
    question: str = "question"
    answer: str = "answer"
    episode: str = ""
    id: str = ""
    time: str = ""
    choices: str = ""
    unanswerable: str = ""
    split_column: str = ""
    separator: str = ""
    competency: str = "AR"
    metric: str = ""
    type: str = ""
    split: str = ""

    def __post_init__(self) -> None:
        """Refuse what no episode could have."""
        known: tuple[tuple[str, str, Iterable[str]], ...] = (
            ("competency", self.competency, get_args(Competency)),
            ("metric", self.metric, METRICS),
            ("type", self.type, get_args(Task)),
            ("split", self.split, SPLITS),
        )
        for what, value, names in known:
            if value and value not in tuple(names):
                raise ConfigError(nearest(what, value, names))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is named."""
        required = (self.document, self.question, self.answer)
        optional = (self.episode, self.id, self.time, self.choices, self.unanswerable)
        return tuple(name for name in (*required, *optional, self.split_column) if name)


@dataclass(frozen=True, slots=True)
class _TableRow:
    episode: str
    document: str | tuple[str, ...]
    time: str | None
    split: str
    question: Question


def read_table(path: Path, table: Table, reading: Reading) -> list[Fields]:
    """The rows of a table file.

    Raises:
        ConfigError: another ending.
        DataError: the file cannot be read, or lacks a column.
    """
    readers: dict[str, Callable[[], list[Fields]]] = {
        ".csv": lambda: read_csv(path, table.columns, reading),
        ".tsv": lambda: read_csv(path, table.columns, reading, delimiter="\t"),
        ".jsonl": lambda: read_jsonl(path, reading),
        ".json": lambda: read_list(path, reading),
        ".parquet": lambda: [row.fields for row in local_rows([path], table.columns, reading).rows],
    }
    if path.suffix not in readers or not path.is_file():
        raise ConfigError(
            f"{path}: expected a file that ends in {', '.join(SUFFIXES)}, or --as SOURCE for a "
            "publisher's own files (`python -m finemem_env list` names the sources)."
        )
    return readers[path.suffix]()


def table_episodes(
    path: Path, table: Table, config: SourceConfig, reading: Reading
) -> list[Episode]:
    """The episodes of a table file, in the order in which the rows first name them.

    Args:
        path: the file.
        table: its columns.
        config: how documents are cut; only packing is looked at.
        reading: what becomes of flawed rows.

    Raises:
        ConfigError: a file that is no table.
        DataError: a flawed row, or no sound one.
    """
    rows = reading.each(lambda row: _row(row, table), read_table(path, table, reading))
    if not rows:
        first = f" The first: {reading.flaws[0]}" if reading.flaws else ""
        raise DataError(f"{path}: expected at least one sound row, found none.{first}")
    groups: dict[str, list[_TableRow]] = {}
    for row in rows:
        groups.setdefault(row.episode, []).append(row)
    episodes = []
    for number, (name, members) in enumerate(groups.items()):
        episode_id = name if table.episode else f"{path.stem}/{number}"
        episodes.append(_episode(episode_id, path.stem, members, table, config))
    return episodes


def _row(row: Fields, table: Table) -> _TableRow:
    listed = isinstance(row.get(table.document), list)
    document = row.texts(table.document) if listed else row.text(table.document).strip()
    if not document:
        raise row.error(table.document, "a document, or a list of texts")
    split = row.text(table.split_column) if table.split_column else table.split
    if split and split not in SPLITS:
        raise row.error(table.split_column, f"one of {', '.join(SPLITS)}")
    return _TableRow(
        episode=_named(row, table.episode) if table.episode else repr(document),
        document=document,
        time=_optional(row, table.time),
        split=split,
        question=_question(row, table),
    )


def _optional(row: Fields, column: str) -> str | None:
    value = _value(row, column) if column else None
    return str(value).strip() or None if value is not None else None


def _named(row: Fields, column: str) -> str:
    name = _optional(row, column)
    if name is None:
        raise row.error(column, "what names the row's episode")
    return name


def _value(row: Fields, column: str) -> object:
    """What a row holds; None also for NaN, which tables have where there is nothing."""
    value = row.get(column)
    return None if value != value else value


def _question(row: Fields, table: Table) -> Question:
    unanswerable = _flag(row, table.unanswerable)
    golds = _parts(row, table.answer, table.separator)
    if not golds and not unanswerable:
        raise row.error(table.answer, "an answer (--unanswerable COLUMN marks rows without one)")
    choices = _parts(row, table.choices, table.separator) if table.choices else ()
    return Question(
        id=_optional(row, table.id) or "",
        question=row.text(table.question).strip(),
        answers=golds or (NO_ANSWER,),
        metric=table.metric or ("multiple_choice" if choices else "substring_exact_match"),
        type=cast(Task, table.type or ("choice" if choices else "fact")),
        choices=choices,
        unanswerable=unanswerable,
    )


def _parts(row: Fields, column: str, separator: str) -> tuple[str, ...]:
    value = row.get(column)
    if isinstance(value, str) and separator:
        value = value.split(separator)
    return tuple(text.strip() for text in answer_texts(value))


def _flag(row: Fields, column: str) -> bool:
    value = (_optional(row, column) or "").casefold()
    if column and value not in (*_TRUE, *_FALSE):
        raise row.error(column, f"one of {', '.join((*_TRUE, *_FALSE))}")
    return bool(column) and value in _TRUE


def _episode(
    name: str, source: str, rows: Sequence[_TableRow], table: Table, config: SourceConfig
) -> Episode:
    documents: Mapping[str | tuple[str, ...], str | None] = {
        row.document: row.time for row in reversed(rows)
    }
    ordered = dict.fromkeys(row.document for row in rows)
    told = [(text, documents[one]) for one in ordered for text in _cut(one, len(ordered), config)]
    questions = [
        row.question if row.question.id else dataclasses.replace(row.question, id=f"q{number}")
        for number, row in enumerate(rows)
    ]
    splits = {row.split for row in rows}
    if len(splits) > 1:
        raise DataError(
            f"episode {name!r}: {table.split_column}: expected one split for all its rows, found "
            f"{', '.join(sorted(splits))}."
        )
    split = splits.pop()
    return Episode(
        episode_id=name,
        competency=cast(Competency, table.competency),
        source=source,
        chunks=tuple(Chunk(f"c{i}", text, time) for i, (text, time) in enumerate(told)),
        questions=tuple(questions),
        metadata={"split": split} if split else {},
    )


def _cut(document: str | tuple[str, ...], documents: int, config: SourceConfig) -> Sequence[str]:
    """A document in chunks; a list of texts is chunks already, unless packing is asked for."""
    if not isinstance(document, str):
        if config.chunk_tokens is None and config.num_chunks is None:
            return document
        document = "\n".join(document)
    size = config.count_tokens(document)
    if config.num_chunks is not None:
        most = -(-size // max(1, config.num_chunks // documents))
    elif config.chunk_tokens is not None:
        _, most = config.token_range((_MOST_TOKENS, _MOST_TOKENS))
    else:
        most = AutoTokens(_MOST_TOKENS).choose(size)
    return pack_sentences(document, most, config.count_tokens)
