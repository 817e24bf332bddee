"""Which of the verified candidates become the chunk questions of an episode."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from finemem_env.chunk_qa.candidates import CandidateQuestion, NearDuplicates
from finemem_env.text import normalise, words
from finemem_env.types import Episode, Question

_SAME_ANSWER = 2  # questions of one chunk with the same answer, while there are others
_NEVER = -1


def choose(
    episode: Episode, found: Mapping[int, Sequence[CandidateQuestion]], keep: int
) -> Episode:
    """`episode` with at most `keep` of the candidates as the questions of each chunk in `found`.

    Near-duplicates of a final question or of an earlier chunk's are left out. A question that a
    later chunk answers otherwise holds up to the chunk before that one.

    Args:
        episode: chunks that are not in `found` keep their questions.
        found: candidates by chunk index, best first.
        keep: most questions of a chunk.
    """
    kept = [question.question for t, chunk in enumerate(episode.chunks) if t not in found
            for question in chunk.questions]  # fmt: skip
    texts = [*(question.question for question in episode.questions), *kept]
    known = NearDuplicates([*texts, *(row.question for rows in found.values() for row in rows)])
    for question in texts:
        known.add(question)
    ends = _ends(found)
    chunks = list(episode.chunks)
    for t in sorted(found):
        questions: list[Question] = []
        for candidate in _varied(found[t]):
            until = ends.get((t, candidate))
            if len(questions) < keep and until != _NEVER and known.add(candidate.question):
                name = f"{chunks[t].id}-q{len(questions)}"
                questions.append(candidate.as_question(name, t, until))
        chunks[t] = dataclasses.replace(chunks[t], questions=tuple(questions))
    return dataclasses.replace(episode, chunks=tuple(chunks))


def _varied(candidates: Sequence[CandidateQuestion]) -> list[CandidateQuestion]:
    """In order, but those with an answer that came up often enough last."""
    count: Counter[str] = Counter()
    first: list[CandidateQuestion] = []
    last: list[CandidateQuestion] = []
    for candidate in candidates:
        answer = normalise(candidate.answer)
        count[answer] += 1
        (first if count[answer] <= _SAME_ANSWER else last).append(candidate)
    return first + last


def _ends(
    found: Mapping[int, Sequence[CandidateQuestion]],
) -> dict[tuple[int, CandidateQuestion], int]:
    """The last chunk at which an answer holds, where a chunk answers the same question otherwise.

    `_NEVER` for a question that its own chunk answers in two ways.
    """
    asked: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for t, candidates in found.items():
        for candidate in candidates:
            asked[_words(candidate)].append((t, normalise(candidate.answer)))
    ends = {}
    for t, candidates in found.items():
        for candidate in candidates:
            mine = normalise(candidate.answer)
            same = asked[_words(candidate)]
            others = [at for at, answer in same if answer != mine and at >= t]
            if others:
                ends[t, candidate] = min(others) - 1 if min(others) > t else _NEVER
    return ends


def _words(candidate: CandidateQuestion) -> str:
    return " ".join(words(candidate.question))
