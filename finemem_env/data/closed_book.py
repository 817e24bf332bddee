"""Drops final questions that a reader answers without any context, as Mem-α and Fine-Mem do.

What a model knows by heart says nothing about a memory. A question stays when its gold is shorter
than five tokens and no gold occurs in the reader's answer, case aside (Mem-α, arXiv 2509.25911).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from finemem_env.text import approx_tokens
from finemem_env.types import Answer, Episode, Question, Reader, ReadRequest

_MOST_GOLD_TOKENS = 4
_LEAST_QUESTIONS = 30
_ANSWER_TOKENS = 40


@dataclass
class ClosedBook:
    """The filter, and what it did so far.

    Args:
        reader: answers the questions with no items at all.
        least: an episode with fewer questions left is dropped (Mem-α: 30 for SQuAD, 10 for
            HotpotQA).
        most_gold_tokens: longest first gold of a question that stays.
        count_tokens: counts a text.
    """

    reader: Reader
    least: int = _LEAST_QUESTIONS
    most_gold_tokens: int = _MOST_GOLD_TOKENS
    count_tokens: Callable[[str], int] = approx_tokens
    known: int = 0
    long: int = 0
    failed: int = 0
    episodes_dropped: int = 0

    def __call__(self, episodes: Iterable[Episode]) -> Iterator[Episode]:
        """Those of `episodes` that keep enough questions, each with what is left."""
        for episode in episodes:
            kept = self._filter(episode.questions)
            if len(kept) < self.least:
                self.episodes_dropped += 1
                continue
            about = {"reader": self.reader.version, "asked": len(episode.questions)}
            yield dataclasses.replace(
                episode, questions=kept, metadata={**episode.metadata, "closed_book": about}
            )

    def summary(self) -> str:
        """One line on what was dropped."""
        return (
            f"closed book ({self.reader.version}): dropped {self.known} questions answered without "
            f"context, {self.long} with a long gold, {self.failed} whose call failed, and "
            f"{self.episodes_dropped} episodes left with fewer than {self.least} questions"
        )

    def _filter(self, questions: tuple[Question, ...]) -> tuple[Question, ...]:
        short = [
            question
            for question in questions
            if self.count_tokens(question.answers[0]) <= self.most_gold_tokens
        ]
        self.long += len(questions) - len(short)
        answers = self.reader.answer([_request(question) for question in short]) if short else []
        kept = []
        for question, answer in zip(short, answers, strict=True):
            if answer.failed:
                self.failed += 1
            elif _knows(answer, question):
                self.known += 1
            else:
                kept.append(question)
        return tuple(kept)


def _request(question: Question) -> ReadRequest:
    return ReadRequest(question.question, (), question.type, question.choices, "", _ANSWER_TOKENS)


def _knows(answer: Answer, question: Question) -> bool:
    said = answer.text.casefold()
    if question.unanswerable:
        return False
    return any(gold.strip().casefold() in said for gold in question.answers if gold.strip())
