"""The ways in which the oracle may write down what answers a question.

A note holds evidence sentences as they were told, shortened, or behind the question; or the
oracle's own words. It is made once per answer, so that questions with the same evidence and golds
share it, and knows the steps after which it must be in memory.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from finemem_env.scoring import gold_prediction, score
from finemem_env.scoring.metrics import is_judged
from finemem_env.session import Session
from finemem_env.text import approx_tokens, normalise
from finemem_env.text.function_words import STOP
from finemem_env.text.search_terms import search_terms
from finemem_env.text.sentence_ends import SOLID_STOPS, SPACED_STOPS
from finemem_env.types import Question

Key = tuple[str, tuple[str, ...]]
Form = tuple[tuple[str, int], ...]  # texts, each with the first step that may write it
_COMMON = 0.15  # share of the questions that hold a common word
_RAREST = 3  # words that stand for a labelled text
_GOLDS = 4  # most golds whose words are tried

_SENTENCE_END = re.compile(
    rf"(?<![{SPACED_STOPS}])[{SPACED_STOPS}]+(?=\s|$)|[{SOLID_STOPS}]+|[\r\n]+"
)


@dataclass(slots=True)
class Note:
    """One way or another to write down what answers some questions.

    `forms`: ways in order of preference, each the texts to write with the step that each may be
    written at. `uses`: question key → steps after which it needs the note, the last being the one
    that asks.
    """

    forms: list[Form]
    uses: dict[Key, set[int]] = field(default_factory=dict)

    def copy(self) -> Note:
        """One whose forms and uses can be changed apart from this one's."""
        return Note(list(self.forms), {key: set(steps) for key, steps in self.uses.items()})

    @property
    def steps(self) -> set[int]:
        """The steps after which it must be in memory."""
        return set().union(*self.uses.values())

    def texts(self, step: int) -> list[str]:
        """What must be in memory after `step`."""
        needed = any(step in steps for steps in self.uses.values())
        return [text for text, start in self.forms[0] if start <= step] if needed else []

    def asked(self, step: int) -> list[Key]:
        """Its questions that are asked after `step`."""
        return [key for key, steps in self.uses.items() if step == max(steps)]


def key_of(question: Question) -> Key:
    """What tells questions apart: one text may have other golds later on."""
    return normalise(question.question), question.answers


class Wording:
    """How many of a session's questions hold each word."""

    def __init__(self, session: Session) -> None:
        questions = [*session.finals, *(question for step in session.drawn for question in step)]
        texts = {_one_line(question.question).casefold() for question in questions}
        self._counts = Counter(word for text in texts for word in set(text.split()))
        self._many = max(2, _COMMON * len(texts))

    def telling(self, text: str) -> str:
        """The text without words of so many questions that they tell none from another."""
        return " ".join(
            word for word in text.split() if self._counts[word.casefold()] <= self._many
        )

    def rarest(self, text: str) -> str:
        """The few words of the text that the fewest questions hold, in their order."""
        words = list(dict.fromkeys(_brief(text).split())) or text.split()
        rare = set(sorted(words, key=lambda word: self._counts[word.casefold()])[:_RAREST])
        return " ".join(word for word in words if word in rare)


def evidence_forms(question: Question, *, bold: bool) -> list[Form]:
    """The evidence sentences, each with its chunk; none when they do not hold the answer."""
    if question.type not in ("fact", "multi_hop"):
        return []
    told = [(entry.sentence, entry.chunk) for entry in question.evidence if entry.sentence]
    holding = [entry for entry in told if _holds(entry[0], question)]
    forms: list[Form] = []
    if question.type == "multi_hop" and len(told) == len(question.evidence):
        forms.append(tuple(told))
    if holding:
        text, chunk = holding[-1]
        forms += [((form, chunk),) for form in (text, *([_brief(text)] if bold else []))]
    return list(dict.fromkeys(filter(None, forms)))


def _holds(sentence: str, question: Question) -> bool:
    """Whether a sentence is an answer; where only a judge could say, whether a gold is in it."""
    if is_judged(question.metric):
        return any(normalise(answer) in normalise(sentence) for answer in question.answers)
    return score(sentence, question) == 1.0


def _brief(sentence: str) -> str:
    """The sentence without full stop, function words and question words."""
    kept = [word for word in _one_line(sentence).split() if word.casefold() not in STOP]
    return " ".join(kept)


def own_forms(
    question: Question, start: int, wording: Wording, answer_tokens: int, *, bold: bool
) -> list[Form]:
    """Texts that make the reader give the gold answer, from step `start` on.

    Args:
        question: with its golds.
        start: first step that may write them.
        wording: of the questions of the session.
        answer_tokens: the longest answer.
        bold: with such as work with some readers and metrics only, and must be tried.
    """
    texts = _sure_words(question, wording, answer_tokens)
    if bold:
        texts += _bold_words(question, wording, answer_tokens)
    return [((text, start),) for text in dict.fromkeys(texts) if text.strip()]


def _sure_words(question: Question, wording: Wording, answer_tokens: int) -> list[str]:
    gold, line = gold_prediction(question), _one_line(question.question)
    if question.type == "label":
        return [f"{line} label: {gold}"]
    if question.type == "summary":
        return [_findable(_opening(gold, answer_tokens), line)]
    gold = _one_line(gold)
    return [f"{wording.telling(line)} → {gold}", f"{line} → {gold}"]


def _bold_words(question: Question, wording: Wording, answer_tokens: int) -> list[str]:
    gold, line = gold_prediction(question), _one_line(question.question)
    golds = [gold, *question.answers[:_GOLDS]] if question.answers_mode == "any" else [gold]
    if question.type == "label":
        return [f"{text} label: {gold}" for text in (_brief(line), wording.rarest(line))]
    if question.type == "summary":
        return [_findable(_opening(text, answer_tokens), line) for text in golds]
    told = list(map(_one_line, golds))
    return [
        *(f"{line} → {text}" for text in told),
        # Where surplus words cost: a question is no answer, but says what the next line is about.
        *(f"{line}?\n{text}" for text in told),
        *(f"{_brief(wording.telling(line))} {text}" for text in told),
        *told,
    ]


def _findable(text: str, question: str) -> str:
    """The text, with words of the question behind it where it would not be found by any."""
    if not set(search_terms(question)).isdisjoint(search_terms(text)):
        return text
    return f"{text} {_brief(question) or question}"


def _one_line(text: str) -> str:
    """The text as one sentence: no line breaks, nothing that ends a sentence."""
    return " ".join(_SENTENCE_END.sub(" ", text).split())


def _opening(text: str, tokens: int) -> str:
    """The first words of `text`, `tokens` tokens of them."""
    kept: list[str] = []
    for word in text.split():
        if approx_tokens(" ".join([*kept, word])) > tokens:
            break
        kept.append(word)
    return " ".join(kept)
