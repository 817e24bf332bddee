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
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from finemem_env.data.dialogue import header_date
from finemem_env.data.files import bucket
from finemem_env.data.published.dialects import Published, judged_under, known_rule, plain_name
from finemem_env.data.published.parquet import (
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
HUB_KNOBS: dict[str, object] = {
    "path": "",
    "hub": "",
    "revision": "",
    "data_source": "",
    "judged": True,
}


class MemalphaSource(BaseSource):
    """The instances of a split whose competency is the environment's.

    Knobs:

    - `path` (""): a parquet file, or a folder with train.parquet and test.parquet; without it
      memalpha/ in data_dir. A single file is split 80/10/10 by a hash of the row.
    - `hub` (""), `revision` (""): a hub id such as "YuWangX/Memalpha" and a commit of it instead.
    - `data_source` (""): only these sub-datasets, separated by commas.
    - `judged` (True): False leaves out the sub-datasets whose answers a judge must grade.

    test.parquet is "test"; train.parquet is "train", less the tenth of it that is "val".
    """

    knobs: ClassVar[Mapping[str, object]] = HUB_KNOBS

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        if config.num_chunks is not None or config.chunk_tokens is not None:
            raise ConfigError(
                f"source {self.name!r} holds chunks as they were cut: num_chunks and chunk_tokens "
                "do not apply."
            )
        read = self._read()
        rows = [row for row in read.rows if self._split_of(row, read) in ("", config.split)]
        self._rows = select(self, rows, _name)
        self.size: int | None = len(self._rows)
        self.provenance: Mapping[str, str] = read.provenance
        self.data_sources = frozenset(map(_name, self._rows))

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Instance `index`, as it is."""
        row = self._rows[index]
        return processed_episode(
            Fields(row.values, row.where, hint=self.hint),
            self.episode_id(index),
            self.name,
            known_rule(_name(row), row.where),
            {"data_source": _name(row), **self.provenance},
        )

    def _read(self) -> Rows:
        hub, path = str(self.difficulty["hub"]), self._path()
        split = "test" if self.config.split == "test" else "train"
        if hub:
            revision = str(self.difficulty["revision"])
            return hub_rows(hub, revision, split, COLUMNS, self.reading, check_processed)
        if not path:
            found = self.files(f"memalpha/{split}.parquet")
        else:
            named = given_path(path, self.hint)
            found = sorted(named.glob(f"**/{split}*.parquet")) if named.is_dir() else [named]
        if not found:
            raise DataError(f"{path}: expected {split}*.parquet in it. {self.hint}")
        return local_rows(one_set(found, self.hint), COLUMNS, self.reading, check_processed)

    def _path(self) -> str:
        return str(self.difficulty["path"] or self.config.path or "")

    def _split_of(self, row: ParquetRow, read: Rows) -> str:
        """The split a row belongs to, "" for any."""
        part = bucket(row.sha256, 10)
        if self._path().endswith(".parquet"):
            return "train" if part < 8 else "val" if part == 8 else "test"
        if self.config.split == "test":
            return ""
        return "val" if part == 9 else "train"


def select(source: BaseSource, rows: list[Any], name_of: Any) -> list[Any]:  # noqa: ANN401
    """The rows that the environment's competency and the source's knobs leave.

    Raises:
        ConfigError: none is left; says what there is.
    """
    wanted = {one.strip() for one in str(source.difficulty["data_source"]).split(",")} - {""}
    names = frozenset(name_of(row) for row in rows)
    judged = set() if source.difficulty["judged"] else set(judged_under(names, "own"))
    chosen = []
    for row in rows:
        name = name_of(row)
        rule = known_rule(name, source.name)
        fits = source.config.competency in (None, rule.competency)
        if fits and name not in judged and (not wanted or plain_name(name) in wanted):
            chosen.append(row)
    if not chosen:
        held = ", ".join(
            f"{plain_name(name)} ({known_rule(name, source.name).competency})"
            for name in sorted(names)
        )
        raise ConfigError(
            f"source {source.name!r}: no instance of split {source.config.split!r} fits competency "
            f"{source.config.competency or 'any'} and {dict(source.difficulty)}; there is "
            f"{held or 'nothing'}."
        )
    return chosen


def processed_episode(
    row: Fields, episode_id: str, source: str, rule: Published, metadata: Mapping[str, object]
) -> Episode:
    """The episode of one row of the processed schema.

    Raises:
        DataError: `chunks` or `questions_and_answers` are not what they should be.
    """
    chunks = json_list(row, "chunks")
    if not chunks or not all(isinstance(text, str) and text.strip() for text in chunks):
        raise row.error("chunks", "a JSON list of texts that are not blank")
    asked = [
        Fields(entry, f"{row.where}: questions_and_answers[{i}]", hint=row.hint)
        for i, entry in enumerate(json_list(row, "questions_and_answers"))
    ]
    questions = [_question(fields, i, rule) for i, fields in enumerate(asked)]
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
            **metadata,
            "instance_id": row.get("instance_id"),
            **({"questions_without_answer": dropped} if dropped else {}),
        },
    )


def check_processed(row: ParquetRow, hint: str) -> None:
    """Raise a DataError for a row that gives no episode."""
    fields = Fields(row.values, row.where, hint=hint)
    processed_episode(fields, "checked", "memalpha", known_rule(_name(row), row.where), {})


def _name(row: ParquetRow) -> str:
    """The sub-dataset of a row."""
    return str(row.values["data_source"])


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
        return tuple(dict.fromkeys(text for one in answer for text in answer_texts(one)))
    if isinstance(answer, str | int | float) and not isinstance(answer, bool):
        missing = answer != answer or not str(answer).strip()  # NaN, as tables have it
        return () if missing else (str(answer),)
    return ()
