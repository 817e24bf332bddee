"""Metrics that a judge decides: what it is asked, and how its replies become a score.

No model is called here. Wordings are ours (prompt files "judge/1" and "nugget/1"), criteria, reply
formats, token limits and parsing rules those of the publications. A judge's reasoning in <think>
tags is no part of its verdict, and a reply of which nothing else is left is a failed call under
every rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from finemem_env.prompts import load_prompt
from finemem_env.scoring.matching import strip_reasoning
from finemem_env.scoring.mem_alpha import without_reasoning
from finemem_env.scoring.needs import needed
from finemem_env.types import JudgeRequest, Question

PROMPT = "judge/1"
NUGGETS = "nugget/1"
_CONTENT_TOKENS = 512  # and temperature 0.1: Mem-α's server
_SHORT_TOKENS = 10  # MemoryAgentBench's yes or no
_OWN_TOKENS = 64  # room for a sentence, since a reply that is cut is a failed call
_LONG_TOKENS = 4096  # lists of key points
_MOST = 1e9  # what a judge counts is less
_OBJECT = re.compile(r"\{[^{}]*\}")
_FIRST_WORD = re.compile(r"[^\W\d_]+")

# LongMemEval's question types; the others are judged as conversations.
_SECTIONS = {
    "temporal-reasoning": "temporal",
    "knowledge-update": "update",
    "single-session-preference": "rubric",
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A judged metric: `ask` gives the calls for a prediction, `read` the score of their replies.

    `read` gives None when a reply cannot be read, which counts as a failed call.
    """

    description: str
    ask: Callable[[str, Question], tuple[JudgeRequest, ...]]
    read: Callable[[Sequence[str], Question], float | None]


def _request(section: str, tokens: int, heat: float = 0.0, **values: str) -> JudgeRequest:
    return JudgeRequest(load_prompt(PROMPT).fill(section, **values), PROMPT, tokens, heat)


def _compare(section: str, prediction: str, question: Question, tokens: int) -> JudgeRequest:
    return _request(
        section,
        tokens,
        question=_dated(question),
        gold="; ".join(question.answers),
        prediction=prediction,
    )


def _dated(question: Question) -> str:
    """The question with the day on which it is asked, where that is known."""
    date = question.metadata.get("question_date")
    return f"{question.question} (asked on {date})" if date else question.question


def _section(question: Question, default: str) -> str:
    """The rubric for a kind of question: no answer, a date, a change, a preference, or another."""
    if question.unanswerable or question.metadata.get("abstention"):
        return "abstention"
    return _SECTIONS.get(str(question.metadata.get("question_type", "")), default)


def _verdict(reply: str) -> str:
    """What a judge says after its reasoning, in lower case; "" when that is all there is."""
    return strip_reasoning(reply).strip().lower()


def _ask_ours(prediction: str, question: Question) -> tuple[JudgeRequest, ...]:
    section = _section(question, "answer")
    return (_compare(section, strip_reasoning(prediction), question, _OWN_TOKENS),)


def _read_ours(replies: Sequence[str], question: Question) -> float | None:
    """The first word decides; anything but yes or no cannot be read."""
    words = _FIRST_WORD.findall(_verdict(replies[0]))
    return {"yes": 1.0, "no": 0.0}.get(words[0] if words else "")


def _ask_rubric(prediction: str, question: Question) -> tuple[JudgeRequest, ...]:
    return (_compare("rubric", without_reasoning(prediction), question, _CONTENT_TOKENS),)


def _read_rubric(replies: Sequence[str], question: Question) -> float | None:
    """Mem-α's rule: "yes" and nowhere "no", so that "yes, as noted" is wrong."""
    reply = _verdict(replies[0])
    return float("yes" in reply and "no" not in reply) if reply else None


def _ask_conversation(prediction: str, question: Question) -> tuple[JudgeRequest, ...]:
    section = _section(question, "conversation")
    return (_compare(section, strip_reasoning(prediction), question, _SHORT_TOKENS),)


def _read_conversation(replies: Sequence[str], question: Question) -> float | None:
    """MemoryAgentBench's rule: "yes" anywhere in the reply."""
    reply = _verdict(replies[0])
    return float("yes" in reply) if reply else None


def _ask_summary(prediction: str, question: Question) -> tuple[JudgeRequest, ...]:
    points = needed(question)
    text = strip_reasoning(prediction)
    numbered = "\n".join(f"{i}. {point}" for i, point in enumerate(points, start=1))
    return (
        _request("fluency", _LONG_TOKENS, prediction=text),
        _request("recall", _LONG_TOKENS, points=numbered, prediction=text),
        _request("precision", _LONG_TOKENS, gold="\n\n".join(question.answers), prediction=text),
    )


def _read_summary(replies: Sequence[str], question: Question) -> float | None:
    """Fluency (0 or 1) times the F1 of key points found and sentences supported."""
    points = question.metadata.get("keypoints")
    total = len(points) if isinstance(points, list | tuple) else 0
    numbers = [
        _number(replies[0], "fluency"),
        _number(replies[1], "recall"),
        _number(replies[2], "precision"),
        _number(replies[2], "sentence_count"),
    ]
    read = [number for number in numbers if number is not None]
    if len(read) < len(numbers) or not total or read[0] not in (0.0, 1.0):
        return None
    fluency, recalled, supported, sentences = read
    recall = min(1.0, recalled / total)
    precision = min(1.0, supported / sentences) if sentences else 0.0
    if not fluency or not recall or not precision:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def _number(reply: str, key: str) -> float | None:
    value = _last_object(reply).get(key)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST:
        return float(value)
    return None


def _last_object(reply: str) -> dict[str, object]:
    """The last JSON object in a reply that has one; {} for one that says a key twice."""
    for text in reversed(_OBJECT.findall(strip_reasoning(reply))):
        try:
            value = json.loads(text, object_pairs_hook=_unambiguous)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return {}


def _unambiguous(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else {}


def _ask_nuggets(prediction: str, question: Question) -> tuple[JudgeRequest, ...]:
    text = strip_reasoning(prediction)
    return tuple(
        JudgeRequest(
            load_prompt(NUGGETS).fill(
                "nugget", question=_dated(question), prediction=text, criterion=str(nugget)
            ),
            NUGGETS,
            _CONTENT_TOKENS,
        )
        for nugget in needed(question)
    )


def _read_nuggets(replies: Sequence[str], question: Question) -> float | None:
    """The mean over the criteria, each 0, 0.5 or 1."""
    scores = [_number(reply, "score") for reply in replies]
    read = [score for score in scores if score is not None and score in (0.0, 0.5, 1.0)]
    return sum(read) / len(read) if read and len(read) == len(replies) else None


def content_request(store: str, content: str) -> JudgeRequest:
    """Mem-α's content judge on one written text of the store "core", "semantic" or "episodic".

    It sees the content alone, not the chunk: it says nothing about faithfulness.
    """
    return _request(store, _CONTENT_TOKENS, 0.1, content=content)


def content_verdict(reply: str) -> float | None:
    """1.0 for a valid content, 0.0 for an invalid one, None for a reply that cannot be read."""
    valid = _last_object(reply).get("VALID")
    return float(valid) if isinstance(valid, bool) else None


JUDGED: dict[str, Judged] = {
    "judge": Judged("a judge says whether the answer is right", _ask_ours, _read_ours),
    "mem-alpha/judge": Judged(
        'Mem-α, LongMemEval: a judge with a rubric; "no" anywhere in its reply is a no',
        _ask_rubric,
        _read_rubric,
    ),
    "mab/judge": Judged(
        'MemoryAgentBench, LongMemEval: a judge by question type; "yes" anywhere is a yes',
        _ask_conversation,
        _read_conversation,
    ),
    "beam/nuggets": Judged(
        "BEAM: a judge gives 0, 0.5 or 1 for every criterion, and their mean counts",
        _ask_nuggets,
        _read_nuggets,
    ),
    "mab/summary_judge": Judged(
        "MemoryAgentBench, summaries: fluency times F1 of key points, three judge calls",
        _ask_summary,
        _read_summary,
    ),
}
