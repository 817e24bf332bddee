r"""Memalpha, the published parquet of Mem-α (arXiv 2509.25911), and sets of its schema.

One row of train.parquet or test.parquet; `chunks` and `questions_and_answers` are JSON texts:

    {"instance_id": 7, "prompt": "…", "data_source": "squad", "num_chunks": 10, "num_questions": 96,
     "chunks": "[\"[Dialogue between User and Assistant on 2024-01-01 00:00]\\n<User>…\", …]",
     "questions_and_answers": "[{\"question\": \"When …?\", \"answer\": \"1973\"}, …]",
     "metadata": "{}"}

An instance is an episode as it was cut: packing options do not apply. The released file holds no
evidence and no questions about single chunks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from finemem_env.data.dialogue import header_date
from finemem_env.data.files import bucket, split_of
from finemem_env.data.published.dialects import (
    ORIGINAL,
    Published,
    judged_under,
    known_rule,
    plain_name,
)
from finemem_env.data.published.parquet import (
    Check,
    ParquetRow,
    Rows,
    given_path,
    hub_rows,
    local_rows,
    one_set,
)
from finemem_env.data.source import BaseSource, SourceConfig, SourceSpec
from finemem_env.errors import ConfigError, DataError
from finemem_env.fields import Fields
from finemem_env.types import Chunk, Episode, Question

COLUMNS = ("chunks", "questions_and_answers", "data_source")


class PublishedRows(BaseSource):
    """A source of the rows of published files, or of a hub's copy of them."""

    knobs: ClassVar[Mapping[str, object]] = {
        "path": "",
        "hub": "",
        "revision": "",
        "data_source": "",
        "judged": True,
    }

    def path(self) -> str:
        """The file or folder that was given, "" for none."""
        return str(self.difficulty["path"] or self.config.path or "")

    def hub_rows(self, split: str, columns: Sequence[str], check: Check | None = None) -> Rows:
        """The rows of a split of the hub that was given."""
        hub, revision = (str(self.difficulty[knob]) for knob in ("hub", "revision"))
        return hub_rows(hub, revision, split, columns, self.reading, check)

    def hold(self, rows: Sequence[Fields], read: Rows) -> None:
        """Take `rows` as the episodes: some of those that were read."""
        self.rows = tuple(rows)
        self.size: int | None = len(self.rows)
        self.provenance: Mapping[str, str] = read.provenance
        self.data_sources = frozenset(map(name_of, self.rows))

    def select(self, rows: Iterable[Fields]) -> list[Fields]:
        """The rows that the environment's competency and the knobs leave.

        Raises:
            ConfigError: none is left; says what there is.
        """
        wanted = {name.strip() for name in str(self.difficulty["data_source"]).split(",")} - {""}
        named = [(name_of(row), row) for row in rows]
        rules = {name: known_rule(name, self.name) for name, _ in named}
        judged = [] if self.difficulty["judged"] else judged_under(frozenset(rules), "own")
        kept = [
            row
            for name, row in named
            if self.config.competency in (None, rules[name].competency)
            and name not in judged
            and (not wanted or plain_name(name) in wanted)
        ]
        if not kept:
            held = (f"{plain_name(name)} ({rules[name].competency})" for name in sorted(rules))
            raise ConfigError(
                f"source {self.name!r}: no instance of split {self.config.split!r} fits competency "
                f"{self.config.competency or 'any'} and {dict(self.difficulty)}; there is "
                f"{', '.join(held) or 'nothing'}."
            )
        return kept

    def processed(self, row: Fields, index: int) -> Episode:
        """The episode of a row that holds chunks as they were cut."""
        about = {"data_source": plain_name(name_of(row)), **self.provenance}
        return processed_episode(row, self.episode_id(index), self.name, about)


class MemalphaSource(PublishedRows):
    """The instances of a split whose competency is the environment's.

    Knobs:

    - `path` (""): a parquet file, or a folder with train.parquet and test.parquet; without it
      memalpha/ in data_dir. A single file is split 80/10/10 by a hash of the row.
    - `hub` (""), `revision` (""): a hub id such as "YuWangX/Memalpha" and a commit of it instead.
    - `data_source` (""): only these sub-datasets, separated by commas.
    - `judged` (True): False leaves out the sub-datasets whose answers a judge must grade.

    test.parquet is "test"; train.parquet is "train", less the tenth of it that is "val".
    """

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        if config.num_chunks is not None or config.chunk_tokens is not None:
            raise ConfigError(
                f"source {self.name!r} holds chunks as they were cut: num_chunks and chunk_tokens "
                "do not apply."
            )
        read = self._read()
        own = [row.fields for row in read.rows if self._split_of(row) in ("", config.split)]
        self.hold(self.select(own), read)

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Instance `index`, as it is."""
        return self.processed(self.rows[index], index)

    def _read(self) -> Rows:
        path, split = self.path(), "test" if self.config.split == "test" else "train"
        if self.difficulty["hub"]:
            return self.hub_rows(split, COLUMNS, processed_episode)
        if not path:
            files = self.files(f"memalpha/{split}.parquet")
        else:
            named = given_path(path, self.hint)
            files = sorted(named.glob(f"**/{split}*.parquet")) if named.is_dir() else [named]
        if not files:
            raise DataError(f"{path}: expected {split}*.parquet in it. {self.hint}")
        return local_rows(one_set(files, self.hint), COLUMNS, self.reading, processed_episode)

    def _split_of(self, row: ParquetRow) -> str:
        """The split a row belongs to, "" for any."""
        if self.path().endswith(".parquet"):
            return split_of(row.sha256)
        if self.config.split == "test":
            return ""
        return "val" if bucket(row.sha256, 10) == 9 else "train"


def processed_episode(
    row: Fields,
    episode_id: str = "checked",
    source: str = "memalpha",
    metadata: Mapping[str, object] | None = None,
) -> Episode:
    """The episode of one row of the processed schema.

    Raises:
        DataError: `chunks` or `questions_and_answers` are not what they should be.
    """
    rule = known_rule(name_of(row), row.where)
    chunks = json_list(row, "chunks")
    if not chunks or not all(isinstance(text, str) and text.strip() for text in chunks):
        raise row.error("chunks", "a JSON list of texts that are not blank")
    entries = [
        Fields(entry, f"{row.where}: questions_and_answers[{i}]", hint=row.hint)
        for i, entry in enumerate(json_list(row, "questions_and_answers"))
    ]
    questions = [_question(fields, i, rule) for i, fields in enumerate(entries)]
    known = tuple(question for question in questions if question is not None)
    if not known:
        raise row.error("questions_and_answers", "at least one question with an answer")
    dropped = len(questions) - len(known)
    return Episode(
        episode_id=episode_id,
        competency=rule.competency,
        source=source,
        chunks=tuple(Chunk(f"c{i}", text, header_date(text)) for i, text in enumerate(chunks)),
        questions=known,
        metadata={
            **(metadata or {}),
            "instance_id": row.get("instance_id"),
            **({"questions_without_answer": dropped} if dropped else {}),
        },
    )


def name_of(row: Fields) -> str:
    """The sub-dataset of a row of either schema.

    Raises:
        DataError: the row is of neither.
    """
    metadata = row.get("metadata")
    if "context" in row and isinstance(metadata, Mapping) and metadata.get("source"):
        return f"{metadata['source']}{ORIGINAL}"
    if isinstance(row.get("data_source"), str):
        return row.text("data_source", "")
    raise DataError(
        f"{row.where}: expected rows with a context and metadata.source, or with chunks and "
        f"data_source; found the columns {', '.join(map(repr, row))}."
    )


def json_list(row: Fields, key: str) -> list[Any]:
    """A list that is written as JSON text, or as it is.

    Raises:
        DataError: it is neither.
    """
    value = row.get(key)
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise row.error(key, "a list as JSON text") from error
    if not isinstance(found, list):
        raise row.error(key, "a list as JSON text")
    return found


def _question(fields: Fields, number: int, rule: Published) -> Question | None:
    golds = answer_texts(fields.get("answer"))
    if not golds:
        return None
    several = len(golds) > 1 and rule.task == "summary"
    return Question(
        id=f"q{number}",
        question=fields.text("question"),
        answers=golds,
        metric=rule.metric("own"),
        answers_mode="fraction" if several else rule.answers_mode,
        type=rule.task,
    )


def answer_texts(answer: object) -> tuple[str, ...]:
    """The golds in an answer: a text, a number, {"text": …} or a list of these; blanks left out."""
    if isinstance(answer, Mapping):
        answer = answer.get("text")
    if isinstance(answer, list):
        return tuple(dict.fromkeys(text for entry in answer for text in answer_texts(entry)))
    if isinstance(answer, str | int | float) and not isinstance(answer, bool):
        missing = answer != answer or not str(answer).strip()  # NaN, as tables have it
        return () if missing else (str(answer),)
    return ()
