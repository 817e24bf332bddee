"""MemoryAgentBench's rules: SQuAD-style normalisation, best of the raw and the parsed output.

Normalising deletes punctuation before articles: "the-x" becomes "thex", and "the" alone becomes
nothing, which every text contains.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable

from finemem_env.scoring import films
from finemem_env.scoring.mem_alpha import first_boxed
from finemem_env.scoring.needs import needed
from finemem_env.scoring.rouge import harmonic, rouge_l_stemmed, rouge_lsum_stemmed
from finemem_env.scoring.titles import recalled
from finemem_env.types import Question

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_ANSWER = re.compile(r"answer:([^\n]*)", re.IGNORECASE)
_PREFIX = re.compile(r"\Aanswer:", re.IGNORECASE)
_CLOSED = frozenset(("yes", "no", "noanswer"))

_Compare = Callable[[str, str], float]


def normalise(text: str) -> str:
    """Lower case, no ASCII punctuation, then no articles, white space collapsed."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def parse_output(text: str) -> str:
    """The rest of the line after the first "Answer:", else the first line."""
    match = _ANSWER.search(text)
    line = match[1] if match else text.split("\n", 1)[0]
    return _PREFIX.sub("", line.strip()).strip()


def _best(compare: _Compare) -> Callable[[str, Question], float]:
    """The better of raw and parsed output, over the golds."""

    def metric(prediction: str, question: Question) -> float:
        texts = (prediction, parse_output(prediction))
        return max(compare(text, gold) for text in texts for gold in question.answers)

    return metric


def _equal(prediction: str, gold: str) -> float:
    return float(normalise(prediction) == normalise(gold))


def _within(prediction: str, gold: str) -> float:
    return float(normalise(gold) in normalise(prediction))


def _f1(prediction: str, gold: str) -> float:
    ours, theirs = normalise(prediction), normalise(gold)
    if ours != theirs and _CLOSED & {ours, theirs}:
        return 0.0
    one, two = ours.split(), theirs.split()
    return harmonic((Counter(one) & Counter(two)).total(), len(one), len(two))


def _label(prediction: str, question: Question) -> float:
    """Strict: only the parsed output counts, and "label: 43" is not "43"."""
    parsed = parse_output(prediction)
    return max(_equal(parsed, gold) for gold in question.answers)


def _all_contained(prediction: str, question: Question) -> float:
    text = prediction.lower()
    return float(all(gold.lower() in text for gold in question.answers))


def _boxed_choice(prediction: str, question: Question) -> float:
    """Mem-α's rule for DetectiveQA: the first box, or the whole text, is the gold as it is."""
    return float(first_boxed(prediction).strip() in question.answers)


def _recall_at(places: int) -> Callable[[str, Question], float]:
    def metric(prediction: str, question: Question) -> float:
        return recalled(prediction, question.answers, needed(question), places)

    return metric


def gold_prediction(question: Question) -> str:
    """A prediction that scores 1.0 wherever one can."""
    if "recall@" in question.metric:
        return films.gold_prediction(question)
    if question.metric == "mab/all_contained":
        return "; ".join(question.answers)
    return question.answers[0]


METRICS: dict[str, tuple[str, Callable[[str, Question], float]]] = {
    "mab/exact_match": ("MemoryAgentBench: normalised equality, raw or parsed", _best(_equal)),
    "mab/substring_exact_match": (
        "MemoryAgentBench: a normalised gold is in the output, raw or parsed",
        _best(_within),
    ),
    "mab/f1": ("MemoryAgentBench: F1 of normalised tokens, raw or parsed", _best(_f1)),
    "mab/rouge_l": ("MemoryAgentBench: ROUGE-L F1 with a stemmer", _best(rouge_l_stemmed)),
    "mab/rouge_lsum": ("MemoryAgentBench: ROUGE-Lsum F1 with a stemmer", _best(rouge_lsum_stemmed)),
    "mab/label": ("MemoryAgentBench, ICL: the parsed output equals the label", _label),
    "mab/all_contained": (
        "MemoryAgentBench, EventQA: every gold is in the output, case aside",
        _all_contained,
    ),
    "mab/boxed_choice": (
        "DetectiveQA as Mem-α scores it: \\boxed{} or the output equals the gold",
        _boxed_choice,
    ),
    "mab/recall@1": ("MemoryAgentBench, ReDial: golds among the nearest titles", _recall_at(1)),
    "mab/recall@5": ("the same over five recommendations, the published headline", _recall_at(5)),
    "mab/recall@10": ("the same over ten recommendations", _recall_at(10)),
}
