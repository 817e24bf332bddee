"""Questions that are never asked, by id: those with a gold that is known to be wrong, for instance.

A file of ids is text with one id a line ("#" at its start or after a space begins a comment), or
JSON: a list, or one value a line (.jsonl), of ids or of objects with a "question_id" or "id", as
audits of data sets publish them. An id is that of the question, or "<episode id>/<question id>"
where questions of several episodes share ids.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from finemem_env.errors import ConfigError, DataError
from finemem_env.fields import parse_json
from finemem_env.types import Episode, Question

_KEYS = ("question_id", "id")
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")  # "1_0_0#0" is an id


@dataclass(slots=True)
class Exclusion:
    """The ids, and those of them that were met in an episode so far."""

    ids: frozenset[str]
    met: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, ids: Sequence[str] | str | os.PathLike[str] | None) -> Exclusion | None:
        """The exclusion of a list of ids or of a file of them, None for none.

        Raises:
            ConfigError: neither a list of texts nor a file that is there.
            DataError: a file without ids, or of another form.
        """
        if ids is None:
            return None
        if isinstance(ids, str | os.PathLike):
            return cls(frozenset(_read(Path(ids))))
        if not isinstance(ids, Sequence) or not all(isinstance(name, str) for name in ids):
            raise ConfigError(f"exclude: expected question ids or a file of them, got {ids!r}.")
        return cls(frozenset(ids)) if ids else None

    @property
    def version(self) -> str:
        """How many ids, and the start of the SHA-256 of them."""
        digest = hashlib.sha256("\n".join(sorted(self.ids)).encode()).hexdigest()
        return f"{len(self.ids)} ids {digest[:12]}"

    def apply(self, episode: Episode) -> Episode | None:
        """`episode` without these questions, None if it has no final question left."""

        def kept(questions: Iterable[Question]) -> tuple[Question, ...]:
            return tuple(question for question in questions if not self._holds(episode, question))

        chunks = tuple(
            dataclasses.replace(chunk, questions=kept(chunk.questions))
            if chunk.questions
            else chunk
            for chunk in episode.chunks
        )
        questions = kept(episode.questions)
        if not questions:
            return None
        return dataclasses.replace(episode, chunks=chunks, questions=questions)

    def _holds(self, episode: Episode, question: Question) -> bool:
        names = {question.id, f"{episode.episode_id}/{question.id}"} & self.ids
        self.met |= names
        return bool(names)


def _read(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"exclude: expected question ids or a file of them, and {str(path)!r} cannot be read: "
            f"{error}."
        ) from error
    if path.suffix == ".json":
        ids = _ids(parse_json(text, str(path)), str(path))
    elif path.suffix == ".jsonl":
        values = [parse_json(line, str(path)) for line in text.splitlines() if line.strip()]
        ids = _ids(values, str(path))
    else:
        lines = (_COMMENT.sub("", line).strip() for line in text.splitlines())
        ids = [line for line in lines if line]
    if not ids:
        raise DataError(f"{path}: expected at least one question id, found none.")
    return ids


def _ids(values: object, where: str) -> list[str]:
    if not isinstance(values, list):
        raise DataError(f"{where}: expected a list of question ids, found {type(values).__name__}.")
    return [_id(value, where) for value in values]


def _id(value: object, where: str) -> str:
    if isinstance(value, Mapping):
        value = next((value[key] for key in _KEYS if key in value), None)
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise DataError(
        f'{where}: expected question ids, or objects with a "question_id" or "id", found '
        f"{str(value)[:60]!r}."
    )
