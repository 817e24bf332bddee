"""What generators hand to the pipeline, and the filters that every candidate must pass."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from finemem_env.scoring.matching import contains, form
from finemem_env.text import normalise, split_sentences, words
from finemem_env.types import Episode, Evidence, Question

METRIC = "substring_exact_match"
MAX_ANSWER_WORDS = 8
_SIMILAR = 0.8  # Jaccard overlap of two questions' words that makes them one
_NOT_FACTOIDS = frozenset(("yes", "no", "true", "false", "none", "unknown"))


@dataclass(frozen=True, slots=True)
class CandidateQuestion:
    """A question about one chunk, its answer, and the sentence that holds it where it is known."""

    question: str
    answer: str
    sentence: str | None = None

    def as_question(self, name: str, chunk: int, valid_until: int | None = None) -> Question:
        """The chunk question with id `name`."""
        return Question(
            id=name,
            question=self.question,
            answers=(self.answer,),
            metric=METRIC,
            valid_until=valid_until,
            evidence=(Evidence(chunk, self.sentence),),
        )


@dataclass(frozen=True, slots=True)
class ChunkJob:
    """One chunk to write questions about."""

    episode: Episode
    chunk: int

    @property
    def text(self) -> str:
        """The chunk's text."""
        return self.episode.chunks[self.chunk].text


@runtime_checkable
class Generator(Protocol):
    """Writes candidates, best first."""

    @property
    def version(self) -> str:
        """What pins its behaviour."""
        ...

    def generate(self, jobs: Sequence[ChunkJob]) -> list[list[CandidateQuestion] | None]:
        """Candidates for each job, in order; None where a call failed and is to be repeated."""
        ...


def sound(candidate: CandidateQuestion, text: str) -> bool:
    """Whether it is a short factoid: its answer stands in the chunk and not in the question."""
    answer = form(candidate.answer)
    return (
        0 < len(answer.tokens) <= MAX_ANSWER_WORDS
        and normalise(candidate.answer) not in _NOT_FACTOIDS
        and len(words(candidate.question)) >= 3
        and not contains(form(candidate.question), answer)
        and contains(form(text), answer)
    )


def holding_sentence(text: str, question: str, answer: str) -> str | None:
    """The sentence of `text` that holds `answer` and shares most words with the question."""
    wanted = set(words(question))
    best, most = None, -1
    for sentence in split_sentences(text):
        if contains(form(sentence), form(answer)):
            shared = len(wanted & set(words(sentence)))
            if shared > most:
                best, most = sentence, shared
    return best


class NearDuplicates:
    """Recognises a question that asks what an earlier one asked, in nearly the same words.

    Two questions are the same when the Jaccard overlap of their words is at least .8. Sets that
    overlap so much share one of their first few words in any fixed order; that of the rarest first
    keeps the lists short that are searched.

    Args:
        questions: all that may come, for the order of their words.
    """

    def __init__(self, questions: Iterable[str] = ()) -> None:
        self._count = Counter(word for question in questions for word in set(words(question)))
        self._texts: set[str] = set()
        self._index: dict[str, list[frozenset[str]]] = defaultdict(list)

    def add(self, question: str) -> bool:
        """Remember `question`; False if it repeats an earlier one, which is then not remembered."""
        text = normalise(question)
        content = frozenset(words(question))
        prefix = self._prefix(content)
        if text in self._texts or any(
            len(content & other) >= _SIMILAR * len(content | other)
            for word in prefix
            for other in self._index[word]
        ):
            return False
        self._texts.add(text)
        for word in prefix:
            self._index[word].append(content)
        return True

    def _prefix(self, content: frozenset[str]) -> list[str]:
        ordered = sorted(content, key=lambda word: (self._count[word], word))
        return ordered[: len(ordered) - math.ceil(_SIMILAR * len(ordered)) + 1]
