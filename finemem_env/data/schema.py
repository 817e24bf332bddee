"""The episode file, `finemem-episode/1`: JSON lines, one episode a line, optionally gzipped.

    {"schema": "finemem-episode/1", "episode_id": "…", "competency": "AR", "source": "squad",
     "split": "train",
     "chunks": [{"id": "c0", "text": "…", "time": "2024-01-01", "questions": [Q], "metadata": {}}],
     "questions": [Q], "shared": {}, "metadata": {}}
    Q = {"id": "q0", "question": "…", "answers": ["…"], "answers_mode": "any", "metric": "…",
         "type": "fact", "evidence": [[3, "the sentence"], [4, null]]}
        and where they differ from their defaults "choices", "query_prefix", "asked_after" and
        "valid_until" (0-based chunk indices), "unanswerable" (true: there is no answer, and
        "answers" may be left out), "metadata" (what the metric needs beside the golds),
        "excluded" (values that an answer must not hold beside the gold: a list of texts, or the
        number of one of the episode's lists, {"excluded": [["…"], …]}, which questions share)

A chunk's "media" (`media`) are read with the episode and written as data. "split" is kept in the
episode's metadata. "shared" holds metadata that every question has, such as the titles of all
films, once. docs/own-data.md explains every field.

This file owns shape and types; `validate` owns what must hold between the parts. Files are written
aside and renamed, and the same episodes always give the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple, cast, get_args

from finemem_env.data.files import Reading
from finemem_env.data.media import MEDIUM_KEYS, medium_dict, read_record
from finemem_env.data.validation import validate
from finemem_env.errors import DataError
from finemem_env.fields import Fields, strict_json
from finemem_env.scoring.abstention import NO_ANSWER
from finemem_env.types import AnswersMode, Chunk, Competency, Episode, Evidence, Question, Task

SCHEMA = "finemem-episode/1"
_SPLITS = ("train", "val", "test")
_EPISODE = {
    "schema",
    "episode_id",
    "competency",
    "source",
    "split",
    "chunks",
    "questions",
    "shared",
    "metadata",
    "excluded",
}
_CHUNK = {"id", "text", "time", "questions", "metadata", "media"}
_QUESTION = {
    "id",
    "question",
    "answers",
    "answers_mode",
    "metric",
    "type",
    "choices",
    "query_prefix",
    "asked_after",
    "valid_until",
    "evidence",
    "metadata",
    "unanswerable",
    "excluded",
}
_Lists = tuple[tuple[str, ...], ...]


class _Common(NamedTuple):
    """What the questions of an episode share: metadata, and lists of excluded values."""

    metadata: Mapping[str, object]
    excluded: _Lists


def to_dict(episode: Episode) -> dict[str, object]:
    """The JSON object of one episode; fields that hold their default are left out."""
    shared = _shared(episode)
    chunks = []
    for chunk in episode.chunks:
        record: dict[str, object] = {"id": chunk.id, "text": chunk.text}
        if chunk.time is not None:
            record["time"] = chunk.time
        record["questions"] = [_question_dict(question, shared) for question in chunk.questions]
        if chunk.metadata:
            record["metadata"] = dict(chunk.metadata)
        if chunk.media:
            record["media"] = list(map(medium_dict, chunk.media))
        chunks.append(record)
    metadata = dict(episode.metadata)
    split = {"split": metadata.pop("split")} if metadata.get("split") in _SPLITS else {}
    return {
        "schema": SCHEMA,
        "episode_id": episode.episode_id,
        "competency": episode.competency,
        "source": episode.source,
        **split,
        "chunks": chunks,
        "questions": [_question_dict(question, shared) for question in episode.questions],
        **({"shared": shared.metadata} if shared.metadata else {}),
        "metadata": metadata,
        **({"excluded": list(map(list, shared.excluded))} if shared.excluded else {}),
    }


def _shared(episode: Episode) -> _Common:
    """What is written once: lists of excluded values that several questions have, and metadata.

    Of metadata the lists and mappings that every one of several questions has, and the same.
    """
    first, *others = questions = (
        *episode.questions,
        *(question for chunk in episode.chunks for question in chunk.questions),
    )
    counts = Counter(question.excluded for question in questions if question.excluded)
    lists = tuple(values for values, count in counts.items() if count > 1)
    metadata = {
        key: value
        for key, value in first.metadata.items()
        if others
        and isinstance(value, list | tuple | Mapping)
        and value
        and all((own := other.metadata.get(key)) is value or own == value for other in others)
    }
    return _Common(metadata, lists)


def _question_dict(question: Question, shared: _Common) -> dict[str, object]:
    record: dict[str, object] = {
        "id": question.id,
        "question": question.question,
        "answers": list(question.answers),
        "answers_mode": question.answers_mode,
        "metric": question.metric,
        "type": question.type,
    }
    optional: dict[str, object] = {
        "choices": list(question.choices),
        "query_prefix": question.query_prefix,
        "asked_after": question.asked_after,
        "valid_until": question.valid_until,
        "evidence": [[entry.chunk, entry.sentence] for entry in question.evidence],
        "metadata": {k: v for k, v in question.metadata.items() if k not in shared.metadata},
        "unanswerable": question.unanswerable or None,
        "excluded": list(question.excluded),
    }
    if question.excluded in shared.excluded:
        optional["excluded"] = shared.excluded.index(question.excluded)
    record.update(
        {key: value for key, value in optional.items() if value not in (None, "", [], {})}
    )
    return record


def from_dict(record: object, where: str = "episode", folder: Path | None = None) -> Episode:
    """The episode that a JSON object describes; `where` starts every error message.

    The paths of media begin at `folder`, that of the episode file; without one there must be none.

    Raises:
        DataError: a missing or unknown key, a wrong type, a part that contradicts another, or a
            medium that is not there or not of its kind.
    """
    fields = Fields(record, where, _EPISODE)
    if fields.text("schema") != SCHEMA:
        raise fields.error("schema", f"{SCHEMA!r}")
    wanted = fields.error("excluded", "a list of lists of texts")
    lists = tuple(_list_of_texts(entry, wanted) for entry in fields.items("excluded", []))
    shared, metadata = _Common(fields.mapping("shared"), lists), fields.mapping("metadata")
    if "split" in fields:
        metadata = {**metadata, "split": fields.option("split", _SPLITS)}
    episode = Episode(
        episode_id=fields.text("episode_id"),
        competency=cast(Competency, fields.option("competency", get_args(Competency))),
        source=fields.text("source"),
        chunks=tuple(_chunk(chunk, shared, folder) for chunk in fields.children("chunks", _CHUNK)),
        questions=_questions(fields, shared),
        metadata=metadata,
    )
    validate(episode, where)
    return episode


def _chunk(fields: Fields, shared: _Common, folder: Path | None) -> Chunk:
    return Chunk(
        id=fields.text("id"),
        text=fields.text("text"),
        time=None if fields.get("time") is None else fields.text("time"),
        questions=_questions(fields, shared, []),
        metadata=fields.mapping("metadata"),
        media=tuple(
            read_record(medium, folder) for medium in fields.children("media", MEDIUM_KEYS, [])
        ),
    )


def _questions(
    fields: Fields, shared: _Common, default: list[object] | None = None
) -> tuple[Question, ...]:
    entries = fields.children("questions", _QUESTION, default)
    return tuple(_question(entry, shared) for entry in entries)


def _question(fields: Fields, shared: _Common) -> Question:
    unanswerable = fields.flag("unanswerable")
    golds = fields.texts("answers", [] if unanswerable else None)
    return Question(
        id=fields.text("id"),
        question=fields.text("question"),
        answers=golds or ((NO_ANSWER,) if unanswerable else ()),
        metric=fields.text("metric"),
        answers_mode=cast(AnswersMode, fields.option("answers_mode", get_args(AnswersMode), "any")),
        type=cast(Task, fields.option("type", get_args(Task), "fact")),
        choices=fields.texts("choices", []),
        query_prefix=fields.text("query_prefix", ""),
        asked_after=fields.index("asked_after"),
        valid_until=fields.index("valid_until"),
        evidence=tuple(_evidence(entry, fields) for entry in fields.items("evidence", [])),
        metadata={**shared.metadata, **fields.mapping("metadata")},
        unanswerable=unanswerable,
        excluded=_excluded(fields, shared.excluded),
    )


def _excluded(fields: Fields, lists: _Lists) -> tuple[str, ...]:
    """A question's own list, or the episode's list of that number."""
    excluded = fields.get("excluded")
    if type(excluded) is int and 0 <= excluded < len(lists):
        return lists[excluded]
    wanted = "a list of texts, or the number of one of the episode's lists of excluded values"
    return () if excluded is None else _list_of_texts(excluded, fields.error("excluded", wanted))


def _list_of_texts(values: object, error: DataError) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
        raise error
    return tuple(values)


def _evidence(entry: object, fields: Fields) -> Evidence:
    if isinstance(entry, list) and len(entry) == 2:
        chunk, sentence = entry
        if type(chunk) is int and (sentence is None or isinstance(sentence, str)):
            return Evidence(chunk, sentence)
    raise fields.error("evidence", "a list of [chunk index, sentence text or null]")


def canonical_line(episode: Episode) -> bytes:
    """The one line (UTF-8, newline included) that stands for `episode` in files and hashes.

    Raises:
        DataError: text that is not valid Unicode, or metadata that is not JSON.
    """
    try:
        text = json.dumps(to_dict(episode), ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise DataError(f"episode {episode.episode_id!r} cannot be written: {error}") from error


def content_hash(episodes: Iterable[Episode]) -> str:
    """SHA-256 (hex) over the canonical lines, the same for plain and gzipped files."""
    digest = hashlib.sha256()
    for episode in episodes:
        digest.update(canonical_line(episode))
    return digest.hexdigest()


def read_episodes(path: Path | str, reading: Reading | None = None) -> Iterator[Episode]:
    """Episodes of a `.jsonl` or `.jsonl.gz` file, in order, each validated.

    Args:
        path: the file.
        reading: leaves bad lines out and notes them where it says so; without it they raise.

    Raises:
        DataError: an unreadable or empty file, or a bad line (named by number).
    """
    reading = reading or Reading("")
    seen: dict[str, int] = {}

    def episode(numbered: tuple[int, bytes]) -> Episode:
        number, line = numbered
        where = f"{path}, line {number}"
        read = from_dict(_decode(line, where), where, Path(path).absolute().parent)
        before = seen.setdefault(read.episode_id, number)
        if before != number:
            raise DataError(
                f"{where}: episode_id {read.episode_id!r} is already used in line {before}."
            )
        return read

    number = 0
    for number, line in enumerate(_lines(Path(path)), start=1):
        if line.strip():
            yield from reading.each(episode, [(number, line)])
    if not seen:
        first = f" {reading.flaws[0]}" if reading.flaws else ""
        raise DataError(
            f"{path}: expected at least one episode, found none in {number} lines.{first}"
        )


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as raw:
            zipped = raw.peek(2)[:2] == b"\x1f\x8b"
            yield from gzip.GzipFile(fileobj=raw) if zipped else raw
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as an episode file: {error}") from error


def _decode(line: bytes, where: str) -> object:
    try:
        return strict_json(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: expected UTF-8 text, found {error}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: expected a JSON object, found invalid JSON: {error}.") from error


def write_episodes(
    path: Path | str,
    episodes: Iterable[Episode],
    each: Callable[[Episode], None] = lambda episode: None,
) -> str:
    """Write `episodes` to `path` (gzipped when it ends in .gz) and return their content hash.

    The file appears under its name only when it is complete. `each` is called after every episode.

    Raises:
        DataError: an episode that could not be read again, or no episode at all.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    seen: set[str] = set()
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as raw, _compressor(path, raw) as out:
            for episode in episodes:
                line = _readable_line(episode, seen)
                digest.update(line)
                out.write(line)
                each(episode)
        if not seen:
            raise DataError(f"{path}: expected at least one episode to write, found none.")
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
    return digest.hexdigest()


def _readable_line(episode: Episode, seen: set[str]) -> bytes:
    """The line of `episode`, which `read_episodes` accepts after those with the ids in `seen`."""
    where = f"episode {episode.episode_id!r}"
    line = canonical_line(episode)
    from_dict(_decode(line, where), where)
    if episode.episode_id in seen:
        raise DataError(f"{where}: expected different episode ids, found this one twice.")
    seen.add(episode.episode_id)
    return line


def _compressor(path: Path, raw: IO[bytes]) -> IO[bytes]:
    if path.suffix != ".gz":
        return raw
    return cast("IO[bytes]", gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0))
