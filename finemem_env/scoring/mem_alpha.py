"""Mem-α's rules: raw lower-case containment, keyword fractions, and boxed digits.

No rule here normalises articles or punctuation, and none respects word borders: "no" is in "know".
The evaluation script is followed; where the training reward differs, the text says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from finemem_env.types import Question

_BOX = "\\boxed{"
_DIGITS = re.compile(r"\d+")
CASE_BUG = "mem-alpha/keywords_case_bug"


def without_reasoning(prediction: str) -> str:
    """What is scored: the text between the first and second </think>; "Empty" if one is open.

    The training reward leaves a </think> alone that has no <think> before it.
    """
    if "</think>" in prediction:
        prediction = prediction.split("</think>")[1].strip()
    return "Empty" if "<think>" in prediction else prediction


def first_boxed(text: str) -> str:
    """What is in the first box that is closed, all of `text` without one; in linear time."""
    start = text.find(_BOX)
    end = text.find("}", start) if start >= 0 else -1
    return text if end < 0 else text[start + len(_BOX) : end]


def _contains(prediction: str, question: Question) -> float:
    return float(question.answers[0].lower() in without_reasoning(prediction).lower())


def _keywords(prediction: str, question: Question) -> float:
    return _share(without_reasoning(prediction).lower(), question.answers[0])


def _keywords_case_bug(prediction: str, question: Question) -> float:
    """Several keywords are looked for in lower case in a text that is not: "Rome" has no "rome"."""
    text = without_reasoning(prediction)
    several = ";" in question.answers[0]
    return _share(text if several else text.lower(), question.answers[0])


def _share(text: str, gold: str) -> float:
    if ";" not in gold:
        return float(gold.lower() in text)
    parts = [part.lower().strip() for part in gold.split(";")]
    return sum(part in text for part in parts) / len(parts)


def _summary(prediction: str, question: Question) -> float:
    """Golds split at every comma, as in the training reward."""
    parts = [part.strip() for gold in question.answers for part in gold.split(",")]
    return _hits(prediction, parts)


def _summary_evaluation(prediction: str, question: Question) -> float:
    """A single gold is split at comma and space, several golds are keywords as they are."""
    golds = question.answers
    return _hits(prediction, golds if len(golds) > 1 else golds[0].split(", "))


def _hits(prediction: str, keywords: Sequence[str]) -> float:
    text = without_reasoning(prediction).lower()
    return sum(keyword.lower() in text for keyword in keywords) / len(keywords)


def _boxed_digits(prediction: str, question: Question) -> float:
    """Text equality of digits: "07" is not 7, "label: 7" is wrong, only the first box counts."""
    text = without_reasoning(prediction)
    label = first_boxed(text).strip().strip("\"'").strip()
    gold = question.answers[0].strip("\"'").strip()
    return float(_DIGITS.fullmatch(label) is not None and label == gold)


def gold_prediction(question: Question) -> str:
    """A prediction that scores 1.0 wherever one can."""
    if question.metric == CASE_BUG:
        return question.answers[0].lower()
    if question.metric.startswith("mem-alpha/summary"):
        return ", ".join(question.answers)
    return question.answers[0]


METRICS: dict[str, tuple[str, Callable[[str, Question], float]]] = {
    "mem-alpha/contains": ("Mem-α, SQuAD and HotpotQA: the first gold is in the text", _contains),
    "mem-alpha/keywords": ("Mem-α, PerLTQA: share of keywords (split at ;) in the text", _keywords),
    CASE_BUG: (
        "the same as published: capitalised keywords are never found beside others",
        _keywords_case_bug,
    ),
    "mem-alpha/summary": ("Mem-α, BookSum: share of keywords (split at ,) in the text", _summary),
    "mem-alpha/summary_evaluation": (
        "the same as in its evaluation script: split at comma and space",
        _summary_evaluation,
    ),
    "mem-alpha/boxed_digits": (
        "Mem-α, labels: the first \\boxed{} or the whole text is the gold number, as text",
        _boxed_digits,
    ),
}
