r"""MemoryAgentBench (arXiv 2507.05257): the four splits as published, or Mem-α's processed set.

One row of data/Accurate_Retrieval-*.parquet (Test_Time_Learning, Long_Range_Understanding,
Conflict_Resolution); `metadata` fields that a sub-dataset does not use are null:

    {"context": "Document 1:\nMany important complexity classes …",
     "questions": ["In what country is Normandy located?", …],
     "answers": [["France", "France"], …],
     "metadata": {"source": "ruler_qa1_197K", "qa_pair_ids": ["ruler_qa1_197K_no0", …],
                  "question_types": null, "question_dates": null, "question_ids": null,
                  "keypoints": null, "previous_events": null, "haystack_sessions": null,
                  "demo": null}}

A row is an episode; its context is cut here. Files with the columns of Memalpha are recognised and
read as they were cut. The set is for testing: there is only split "test".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from finemem_env.data.files import Reading, parsed, read_json
from finemem_env.data.published.context import cut_context
from finemem_env.data.published.dialects import Published, known_rule, plain_name
from finemem_env.data.published.memalpha import (
    PublishedRows,
    answer_texts,
    name_of,
    processed_episode,
)
from finemem_env.data.published.parquet import (
    ParquetRow,
    Rows,
    given_path,
    hub_file,
    local_rows,
    one_set,
)
from finemem_env.data.sessions import date_prefix
from finemem_env.data.source import SourceConfig, SourceSpec
from finemem_env.errors import ConfigError, DataError
from finemem_env.fields import Fields
from finemem_env.scoring.titles import title_of
from finemem_env.types import Competency, Episode, Question

PARTS: dict[Competency, str] = {
    "AR": "Accurate_Retrieval",
    "TTL": "Test_Time_Learning",
    "LRU": "Long_Range_Understanding",
    "CR": "Conflict_Resolution",
}
_CACHED_EPISODES = 8
_ENTITIES = "entity2id.json"


class MemoryAgentBenchSource(PublishedRows):
    """The contexts of the environment's competency, cut at run time, with all their questions.

    Knobs as of `memalpha`, where `path` is a folder (the default is memoryagentbench/ in data_dir)
    or a file, `hub` an id such as "ai-hyz/MemoryAgentBench", and `data_source` names sub-datasets.

    `chunk_tokens` is the budget of sentence packing; the default is the protocol's, for this
    project's own protocols 512 tokens for single facts and 4,096 otherwise, as published. The
    recommendations of ReDial need entity2id.json beside the parquet files.
    """

    def __init__(self, spec: SourceSpec, config: SourceConfig) -> None:
        super().__init__(spec, config)
        if config.split != "test":
            raise ConfigError(
                f"source {self.name!r} is a test set: use split='test'; training on its questions "
                "would make every score on it worthless."
            )
        if config.num_chunks is not None:
            raise ConfigError(f"source {self.name!r}: num_chunks does not apply; use chunk_tokens.")
        read = self._read()
        chosen = self.select(self.sound(_known, read.rows))
        if any(name_of(row).startswith("recsys") for row in chosen):
            self._titles()
        self.hold(self.sound(self._checked, chosen), read)
        self._built: dict[int, Episode] = {}

    def build(self, rng: np.random.Generator, index: int) -> Episode:
        """Context `index`, cut; the last few are kept, since cutting millions of tokens is slow."""
        if index not in self._built:
            if len(self._built) == _CACHED_EPISODES:
                self._built.clear()
            self._built[index] = self._build(rng, index)
        return self._built[index]

    def _build(self, rng: np.random.Generator, index: int) -> Episode:
        row = self.rows[index]
        if "context" not in row:
            return self.processed(row, index)
        rule = known_rule(name_of(row), row.where)
        about = {"data_source": plain_name(name_of(row)), **self.provenance}
        chunks, chosen = cut_context(row.text("context"), rule, self.config, rng)
        return Episode(
            episode_id=self.episode_id(index),
            competency=rule.competency,
            source=self.name,
            chunks=chunks,
            questions=self._questions(row, rule),
            metadata={**about, "original": True, **chosen},
        )

    def _checked(self, row: Fields) -> Fields:
        """`row`, found to be sound; only its context is not cut, which is slow."""
        if "context" not in row:
            processed_episode(row)
        elif row.text("context") and not self._questions(row, known_rule(name_of(row), row.where)):
            raise row.error("questions", "at least one question")
        return row

    def _questions(self, row: Fields, rule: Published) -> tuple[Question, ...]:
        questions = row.texts("questions")
        golds = row.items("answers")
        if len(golds) != len(questions):
            raise row.error("answers", f"{len(questions)} lists of golds, one a question")
        titles = self._titles() if name_of(row).startswith("recsys") else {}
        extras = Fields(row.mapping("metadata"), f"{row.where}: metadata", hint=self.hint)
        return tuple(
            Question(
                id=_listed(extras, "qa_pair_ids", i) or f"q{i}",
                question=question,
                answers=_golds(row, answers, titles),
                metric=rule.metric("own"),
                answers_mode=rule.answers_mode,
                type=rule.task,
                query_prefix=date_prefix(_listed(extras, "question_dates", i)),
                metadata=_metadata(extras, i, titles),
                unanswerable="_abs" in _listed(extras, "question_ids", i),
            )
            for i, (question, answers) in enumerate(zip(questions, golds, strict=True))
        )

    def _titles(self) -> Mapping[str, str]:
        """Title by entity id."""
        if self.difficulty["hub"]:
            hub, revision = str(self.difficulty["hub"]), str(self.difficulty["revision"])
            path = hub_file(hub, revision, _ENTITIES)
        else:
            path = self._folder() / _ENTITIES
        if not path.is_file():
            raise DataError(
                f"{path} is missing; the recommendations (recsys_redial_full) need it. {self.hint} "
                "Choose other sub-datasets with difficulty={'data_source': …} to do without."
            )
        return parsed(_read_titles, path, self.reading)

    def _folder(self) -> Path:
        path = self.path()
        if path:
            named = given_path(path, self.hint)
            return named if named.is_dir() else named.parent
        return self.file("memoryagentbench")

    def _read(self) -> Rows:
        path = self.path()
        parts = [PARTS[one] for one in PARTS if self.config.competency in (None, one)]
        if self.difficulty["hub"]:
            return self._read_hub(parts)
        if path.endswith(".parquet"):
            return local_rows([given_path(path, self.hint)], (), self.reading)
        folder = self._folder()
        paths = [
            file
            for part in parts
            if (files := sorted(folder.glob(f"**/{part}[-.]*parquet")))
            for file in one_set(files, self.hint)
        ]
        if not paths and (files := sorted(folder.glob("**/test*.parquet"))):
            paths = one_set(files, self.hint)
        if not paths:
            raise DataError(
                f"{folder}: expected {parts[0]}-*.parquet (or test.parquet of the processed set) "
                f"in it. {self.hint}"
            )
        return local_rows(paths, (), self.reading)

    def _read_hub(self, parts: Sequence[str]) -> Rows:
        """The original's splits, or the processed set's "test"."""
        try:
            read = [self.hub_rows(part, ()) for part in parts]
        except DataError as error:
            try:
                return self.hub_rows("test", ())
            except DataError:
                raise error from None
        rows = tuple(row for split in read for row in split.rows)
        return Rows.of(rows, read[0].commit)


def _known(row: ParquetRow) -> Fields:
    """`row`, found to be of a sub-dataset that has a rule."""
    known_rule(name_of(row.fields), row.fields.where)
    return row.fields


def _golds(row: Fields, answers: object, titles: Mapping[str, str]) -> tuple[str, ...]:
    golds = answer_texts(answers)
    if not golds:
        raise row.error("answers", "at least one gold a question", answers)
    if not titles:
        return golds
    ids = [entity.strip() for text in golds for entity in text.split(",")]
    for entity in ids:
        if entity not in titles:
            raise row.error("answers", f"entity ids of {_ENTITIES}", entity)
    return tuple(dict.fromkeys(titles[entity] for entity in ids))


def _listed(extras: Fields, key: str, number: int) -> str:
    values = extras.get(key)
    if isinstance(values, list) and number < len(values) and values[number] is not None:
        return str(values[number])
    return ""


def _metadata(extras: Fields, number: int, titles: Mapping[str, str]) -> dict[str, object]:
    """What metrics need beside the golds: question type, key points, titles."""
    metadata: dict[str, object] = {}
    for key, plural in (("question_type", "question_types"), ("question_date", "question_dates")):
        if value := _listed(extras, plural, number):
            metadata[key] = value
    points = extras.get("keypoints")
    if isinstance(points, list) and points:
        metadata["keypoints"] = [str(point) for point in points]
    if titles:
        metadata["titles"] = _unique_titles(tuple(titles.values()))
    return metadata


@lru_cache(maxsize=2)
def _unique_titles(titles: tuple[str, ...]) -> list[str]:
    """One list that all questions share."""
    return sorted(set(titles))


def _read_titles(path: Path, reading: Reading) -> dict[str, str]:
    entities = read_json(path, reading)
    if not isinstance(entities, dict) or not entities:
        raise DataError(f"{path}: expected an object of entity to id. {reading.hint}")
    return {str(number): title_of(str(entity)) for entity, number in entities.items()}
