"""How good chunk questions are: answerable from their chunk, and only from there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from finemem_env.retrieval import BM25
from finemem_env.scoring import score
from finemem_env.text import split_sentences
from finemem_env.types import Episode, Question, Reader, ReadRequest

_TOP_K = 5
_PARAGRAPH = 4  # sentences of one retrieved passage


@dataclass(frozen=True, slots=True)
class Quality:
    """Mean scores over `questions`; `failed` calls are left out.

    `from_chunk`: with the chunk's text. `from_the_rest`: with the five best passages of the other
    chunks of the episode. `from_nothing`: with an empty memory.
    """

    questions: int
    failed: int
    from_chunk: float
    from_the_rest: float
    from_nothing: float


def measure(episodes: Iterable[Episode], reader: Reader, most: int | None = None) -> Quality:
    """Ask every chunk question three times.

    Args:
        episodes: with chunk questions.
        reader: who answers.
        most: questions in all; None for every one.
    """
    count = failed = 0
    sums = [0.0, 0.0, 0.0]
    for episode in episodes:
        questions = [(t, q) for t, chunk in enumerate(episode.chunks) for q in chunk.questions]
        if most is not None:
            questions = questions[: most - count - failed]
        scores = _ask(episode, questions, reader)
        for row in scores:
            if None in row:
                failed += 1
                continue
            count += 1
            sums = [total + (score or 0.0) for total, score in zip(sums, row, strict=True)]
    chunk, rest, nothing = (total / count if count else 0.0 for total in sums)
    return Quality(count, failed, chunk, rest, nothing)


def _ask(
    episode: Episode, questions: Sequence[tuple[int, Question]], reader: Reader
) -> Iterator[tuple[float | None, ...]]:
    """Per question the scores with its chunk, with the others, with nothing; None for a failure."""
    passages = [_passages(chunk.text) for chunk in episode.chunks]
    where: dict[int, tuple[int, str]] = {}
    index = BM25()
    for t, texts in enumerate(passages):
        for text in texts:
            where[len(where)] = (t, text)
    index.update([], [(number, text) for number, (_, text) in where.items()])
    requests = []
    for t, question in questions:
        ranked = index.search(question.question, len(passages[t]) + _TOP_K)
        rest = [where[number][1] for number in ranked if where[number][0] != t][:_TOP_K]
        for items in ((episode.chunks[t].text,), tuple(rest), ()):
            requests.append(ReadRequest(question.question, items, question.type, question.choices))
    answers = iter(reader.answer(requests) if requests else [])
    for _, question in questions:
        row = [next(answers) for _ in range(3)]
        yield tuple(None if answer.failed else score(answer.text, question) for answer in row)


def _passages(text: str) -> list[str]:
    sentences = split_sentences(text)
    return [
        " ".join(sentences[start : start + _PARAGRAPH])
        for start in range(0, len(sentences), _PARAGRAPH)
    ]
