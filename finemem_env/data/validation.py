"""What must hold between the parts of an episode, wherever it comes from."""

from __future__ import annotations

from collections.abc import Iterator

from finemem_env.errors import DataError, nearest
from finemem_env.scoring import METRICS
from finemem_env.scoring.needs import has_needed, need_of
from finemem_env.text import normalise
from finemem_env.types import Episode, Question


def check_told(episode: Episode, where: str) -> None:
    """Check that `episode` tells and asks something: what every reward divides by.

    Raises:
        DataError: no chunk, a blank chunk or no final question.
    """
    if not episode.chunks:
        raise DataError(f"{where}: chunks: expected at least one chunk, found an empty list.")
    for number, chunk in enumerate(episode.chunks):
        if not chunk.text.strip():
            raise DataError(f"{where}: chunks[{number}]: text: expected a non-empty string.")
    if not episode.questions:
        raise DataError(f"{where}: questions: expected at least one final question, found none.")


def validate(episode: Episode, where: str = "episode") -> None:
    """Check `episode` as a whole; `where` starts every error message.

    Raises:
        DataError: no chunks or no final questions, a repeated chunk or question id, a question that
            is both a chunk and a final question, or one of its fields that does not fit.
    """
    check_told(episode, where)
    _unique((chunk.id for chunk in episode.chunks), f"{where}: chunks: id")
    _unique((question.id for _, _, question in _all(episode)), f"{where}: questions: id")
    for chunk in episode.chunks:
        for text in (chunk.text, *(medium.text for medium in chunk.media)):
            _check_unicode(text, f"{where}: chunk {chunk.id!r}")
    squeezed = [" ".join(chunk.text.split()) for chunk in episode.chunks]
    for place, step, question in _all(episode):
        spot = f"{where}: {place} {question.id!r}"
        _check_question(question, spot)
        _check_indices(question, step, len(episode.chunks), spot)
        _check_evidence(question, squeezed, spot)
    _check_disjoint(episode, where)


def _all(episode: Episode) -> Iterator[tuple[str, int | None, Question]]:
    for question in episode.questions:
        yield "question", None, question
    for step, chunk in enumerate(episode.chunks):
        for question in chunk.questions:
            yield "chunk question", step, question


def _unique(ids: Iterator[str], where: str) -> None:
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise DataError(f"{where}: expected different ids, found {name!r} twice.")
        seen.add(name)


def _check_unicode(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: expected valid Unicode, found a lone surrogate.") from error


def _check_question(question: Question, where: str) -> None:
    if question.metric not in METRICS:
        raise DataError(f"{where}: {nearest('metric', question.metric, METRICS)}")
    if not any(answer.strip() for answer in question.answers):
        raise DataError(f"{where}: answers: expected at least one answer, found none.")
    if (question.type == "choice" or question.metric == "multiple_choice") and (
        len(question.choices) < 2
    ):
        raise DataError(f"{where}: choices: expected at least two, found {question.choices!r}.")
    need = need_of(question.metric)
    if need and not has_needed(question):
        raise DataError(
            f"{where}: metadata: metric {question.metric!r} needs a list {need[0]!r}, found none."
        )
    for text in (question.question, *question.answers):
        _check_unicode(text, where)


def _check_indices(question: Question, step: int | None, count: int, where: str) -> None:
    after, until = question.asked_after, question.valid_until
    if after is not None and (step is not None or not 0 <= after < count):
        expected = f"a chunk index in 0..{count - 1}" if step is None else "none (chunk question)"
        raise DataError(f"{where}: asked_after: expected {expected}, found {after}.")
    if until is not None and (step is None or not step <= until < count):
        expected = "none (final question)" if step is None else f"an index in {step}..{count - 1}"
        raise DataError(f"{where}: valid_until: expected {expected}, found {until}.")


def _check_evidence(question: Question, chunks: list[str], where: str) -> None:
    for entry in question.evidence:
        if not 0 <= entry.chunk < len(chunks):
            raise DataError(
                f"{where}: evidence: expected a chunk index in 0..{len(chunks) - 1}, "
                f"found {entry.chunk}."
            )
        sentence = entry.sentence
        if sentence is not None and " ".join(sentence.split()) not in chunks[entry.chunk]:
            raise DataError(
                f"{where}: evidence: expected a sentence of chunk {entry.chunk}, found "
                f"{sentence[:60]!r}, which is not in it."
            )


def _check_disjoint(episode: Episode, where: str) -> None:
    final = {normalise(question.question) for question in episode.questions}
    for _, step, question in _all(episode):
        if step is not None and normalise(question.question) in final:
            raise DataError(
                f"{where}: chunk question {question.id!r} is also a final question: "
                f"{question.question[:60]!r}."
            )
