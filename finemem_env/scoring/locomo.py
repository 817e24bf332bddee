"""LoCoMo's metric: F1 of stemmed tokens; over the parts of a list where several facts are asked.

Normalising deletes commas and punctuation, then the words a, an, the and "and". The publisher's
script also takes the first of several golds that a semicolon parts, in open-domain questions, and
calls an adversarial one right that is answered by "no information available" or "not mentioned";
here the adapter takes the gold, and unanswerable questions have the rule of all others.
"""

from __future__ import annotations

import re
import string
from collections import Counter

from finemem_env.scoring.porter import stem
from finemem_env.scoring.rouge import harmonic
from finemem_env.types import Question

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(?:a|an|the|and)\b")


def _tokens(text: str) -> list[str]:
    bare = _ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION))
    return [stem(word) for word in bare.split()]


def _f1(prediction: str, gold: str) -> float:
    ours, theirs = _tokens(prediction), _tokens(gold)
    return harmonic((Counter(ours) & Counter(theirs)).total(), len(ours), len(theirs))


def _listed(prediction: str, gold: str) -> float:
    """The mean over the parts of the gold of the best part of the prediction."""
    said, wanted = prediction.split(","), [part for part in gold.split(",") if part.strip()]
    return sum(max(_f1(part, one) for part in said) for one in wanted) / max(1, len(wanted))


def _score(prediction: str, question: Question) -> float:
    compare = _listed if question.type == "multi_hop" else _f1
    return max(compare(prediction, gold) for gold in question.answers)


METRICS = {
    "locomo/f1": (
        "LoCoMo: F1 of stemmed tokens; of the parts between commas for several hops",
        _score,
    )
}
