"""The only definition of answer matching: `score(prediction, question)` in [0, 1].

A metric compares a prediction with one reference. Over several gold answers, `answers_mode` "any"
takes the best one, "all" the worst one and "fraction" their mean; in the last two ROUGE-L and token
F1 compare with all golds as one text. Labels and choices take the best one in every mode.
`gold_prediction(question)` scores 1.0 under every metric.

Metrics named "mem-alpha/…" and "mab/…" are the published benchmarks' (`finemem_env.scoring`), with
rules of their own for all of this. Those that a judge decides have no score here: `judge_requests`
says what to ask it and `judged_score` reads its replies.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from finemem_env.errors import ConfigError, DataError, nearest
from finemem_env.registry import Registry
from finemem_env.scoring import films, locomo, mab, mem_alpha
from finemem_env.scoring.abstention import NO_ANSWER, abstains, declines
from finemem_env.scoring.alternatives import names_another, takes_back
from finemem_env.scoring.choices import chosen_of
from finemem_env.scoring.judged import JUDGED
from finemem_env.scoring.matching import Form, contains, equal, form, strip_reasoning
from finemem_env.scoring.rouge import common_subsequence, harmonic
from finemem_env.text import normalise
from finemem_env.text.function_words import STOP
from finemem_env.text.unicode_tables import MARKED
from finemem_env.types import JudgeRequest, Question

_CLOSED = frozenset(("yes", "no", "noanswer"))
_PARTS = re.compile(r"[;；؛\n]")
_SEMICOLON = re.compile(r"[;；؛]")
_KEYWORD_COMMA = re.compile(r"[,，،](?!\d)|(?<!\d)[,，،]|[、፣]")  # not the one in 1,000
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_TEXT_COMMAND = re.compile(r"\\text\s*\{([^{}]*)\}")
_LABEL_PREFIX = re.compile(
    r"^(?:final\s+)?(?:answer|label|category|答案|标签|標籤|类别|類別|ラベル|라벨)\s*(?:is|[:=：]|是|は)\s*",
    re.IGNORECASE,
)
_HYPHEN = re.compile(rf"(?<=[\w{MARKED}])-(?=\w)")
_UNRELATED = 0.08  # F1 of content words that a list of names from a story has with a summary


def score(prediction: str, question: Question) -> float:
    """How right `prediction` is, by `question.metric`: 0.0 wrong, 1.0 right.

    An answer that lists alternatives is wrong: one that holds a value of `question.excluded`, or
    yes and no where one of them is the gold (`alternatives`).

    Reasoning in <think> tags is removed first (Mem-α's metrics remove it in their own way). To a
    question that is unanswerable, saying so is right under every metric, and nothing else is; to
    any other it is wrong under every metric that is not a publication's.

    Raises:
        ConfigError: unknown metric, or one that needs a judge.
        DataError: a question without gold answers, or without what its metric needs beside them.
    """
    try:
        metric = METRICS[question.metric]
    except KeyError:
        raise ConfigError(nearest("metric", question.metric, METRICS)) from None
    if question.unanswerable:
        return float(abstains(strip_reasoning(prediction)))
    if metric.compare is None:
        raise ConfigError(needs_judge(question))
    if not question.answers:
        raise DataError(f"question {question.id!r} has no gold answer.")
    if not question.metric.startswith("mem-alpha/"):
        prediction = strip_reasoning(prediction)
    value = metric.compare(prediction, question)
    if value and question.excluded and names_another(prediction, question):
        return 0.0
    if not value or "/" in question.metric:
        return value
    return 0.0 if declines(prediction, (*question.answers, *question.choices)) else value


def is_judged(metric: str) -> bool:
    """Whether a judge decides this metric."""
    return metric in JUDGED


def needs_judge(question: Question) -> str:
    """What to tell a caller that has none."""
    return (
        f"question {question.id!r}: metric {question.metric!r} needs a judge, and there is none. "
        "Configure one with judge=…, a reader that is a language model (see the readers in "
        "`python -m finemem_env list`), or give the question another metric."
    )


def judge_requests(prediction: str, question: Question) -> tuple[JudgeRequest, ...]:
    """What to ask the judge about `prediction`, () for a metric that needs none.

    Raises:
        DataError: a question without what its metric needs beside the golds.
    """
    judged = JUDGED.get(question.metric)
    return () if judged is None else judged.ask(prediction, question)


def judged_score(replies: Sequence[str], question: Question) -> float | None:
    """The score by the judge's replies to `judge_requests`; None when one cannot be read."""
    return JUDGED[question.metric].read(replies, question)


def gold_prediction(question: Question) -> str:
    """A prediction that scores 1.0: the first gold, or all of them where all are asked for."""
    if question.unanswerable:
        return NO_ANSWER
    if question.metric in mem_alpha.METRICS:
        return mem_alpha.gold_prediction(question)
    if question.metric in mab.METRICS:
        return mab.gold_prediction(question)
    if question.metric in films.METRICS:
        return films.gold_prediction(question)
    if question.answers_mode == "any" or question.metric in ("boxed_label", "multiple_choice"):
        return question.answers[0]
    return "; ".join(question.answers)


def _over_golds(question: Question, values: Sequence[float]) -> float:
    if question.answers_mode == "any":
        return max(values)
    if question.answers_mode == "all":
        return min(values)
    return sum(values) / len(values)


def _references(question: Question) -> list[Form]:
    """Every gold on its own ("any"), or all of them as one text."""
    if question.answers_mode == "any":
        return [form(answer) for answer in question.answers]
    return [form(gold_prediction(question))]


def _exact(prediction: str, question: Question) -> float:
    """The golds that the list holds; what else it lists is wrong, and more than the golds costs."""
    if question.answers_mode == "any":
        return _exact_any(prediction, question)
    listed = list(map(form, _PARTS.split(prediction)))
    parts = [form(prediction), *listed]
    wanted = [list(map(form, _PARTS.split(answer))) for answer in question.answers]
    values = [
        float(all(any(equal(part, gold) for part in parts) for gold in golds)) for golds in wanted
    ]
    known = [gold for golds in wanted for gold in golds]
    others = {part.raw for part in listed if not any(equal(part, gold) for gold in known)} - {""}
    if question.answers_mode == "all":
        return 0.0 if others else min(values)
    return sum(values) / max(len(values), sum(values) + len(others))


def _exact_any(prediction: str, question: Question) -> float:
    whole = form(prediction)
    return float(any(equal(whole, form(answer)) for answer in question.answers))


def _substring(prediction: str, question: Question) -> float:
    said, golds = form(prediction), [form(answer) for answer in question.answers]
    values = [float(contains(said, gold) and not takes_back(said, gold, golds)) for gold in golds]
    return _over_golds(question, values)


def _f1(prediction: str, question: Question) -> float:
    return _best(_token_f1, prediction, question)


def _best(compare: Callable[[Form, Form], float], prediction: str, question: Question) -> float:
    """The best comparison with a reference that the answer does not take back."""
    said, golds = form(prediction), _references(question)
    kept = [gold for gold in golds if not takes_back(said, gold, golds)]
    return max((compare(said, gold) for gold in kept), default=0.0)


def _token_f1(prediction: Form, gold: Form) -> float:
    if equal(prediction, gold):
        return 1.0
    ours, theirs = prediction.bare.split(), gold.bare.split()
    # A yes or no is right or wrong as a whole, as in HotpotQA's own script.
    if _CLOSED & {" ".join(ours), " ".join(theirs)}:
        return 0.0
    return harmonic((Counter(ours) & Counter(theirs)).total(), len(ours), len(theirs))


def _keywords(prediction: str, question: Question) -> float:
    said = form(prediction)
    return _over_golds(question, [_keyword_share(said, answer) for answer in question.answers])


def _keyword_share(prediction: Form, answer: str) -> float:
    """Share of the keywords of one gold, separated by ";" or else ",", that are found."""
    separator = _SEMICOLON if _SEMICOLON.search(answer) else _KEYWORD_COMMA
    keywords = [one for one in map(form, separator.split(answer)) if one.raw] or [form(answer)]
    return sum(
        contains(prediction, keyword) and not takes_back(prediction, keyword, keywords)
        for keyword in keywords
    ) / len(keywords)


def _rouge_l(prediction: str, question: Question) -> float:
    return _best(_rouge_l_f1, prediction, question)


def _rouge_l_f1(prediction: Form, gold: Form) -> float:
    """F1 of the longest common subsequence of tokens, articles counted, without stemming."""
    if not gold.tokens:
        return float(equal(prediction, gold))
    shared = common_subsequence(prediction.tokens, gold.tokens)
    return harmonic(shared, len(prediction.tokens), len(gold.tokens))


def _rouge_l_content(prediction: str, question: Question) -> float:
    """The best F1 of content words, rescaled so that text on another story gets about nothing."""
    value = _best(_content_f1, prediction, question)
    return max(0.0, value - _UNRELATED) / (1 - _UNRELATED)


def _content_f1(prediction: Form, gold: Form) -> float:
    """`_rouge_l_f1` of content words: any two English texts have the others in common."""
    theirs = [token for token in gold.tokens if token not in STOP]
    if not theirs:
        return float(equal(prediction, gold))
    ours = [token for token in prediction.tokens if token not in STOP]
    return harmonic(common_subsequence(ours, theirs), len(ours), len(theirs))


def _boxed_label(prediction: str, question: Question) -> float:
    boxed = _BOXED.findall(prediction)
    label = _label(boxed[-1] if boxed else _LABEL_PREFIX.sub("", prediction.strip()))
    return float(any(label == _label(answer) for answer in question.answers))


def _label(text: str) -> str:
    """A label without quotes, final full stop and LaTeX; "_" and "-" join words like a space."""
    bare = _TEXT_COMMAND.sub(r"\1", text).replace("_", " ").strip(" \t\n\"'`*.$。“”")
    return normalise(_HYPHEN.sub(" ", bare)) or normalise(text)


def _multiple_choice(prediction: str, question: Question) -> float:
    chosen = chosen_of(prediction, question.choices)
    golds = {chosen_of(answer, question.choices) for answer in question.answers} - {None}
    return float(chosen in golds) if golds else _exact_any(prediction, question)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: `compare(prediction, question)` is in [0, 1]; None where a judge decides."""

    description: str
    compare: Callable[[str, Question], float] | None


_OWN: dict[str, tuple[str, Callable[[str, Question], float]]] = {
    "exact_match": ("the answer equals a gold, punctuation, case and articles aside", _exact),
    "substring_exact_match": ("a gold occurs in the answer, on word borders", _substring),
    "f1": ("F1 of shared tokens; yes and no are all or nothing", _f1),
    "keyword_fraction": ("share of the gold's keywords (split at ; or ,) that occur", _keywords),
    "rouge_l": ("F1 of the longest common subsequence of words", _rouge_l),
    "rouge_l_content": (
        "the same without English function words, above what unrelated texts share",
        _rouge_l_content,
    ),
    "boxed_label": (
        "the label in \\boxed{}, or else the whole answer, equals the gold",
        _boxed_label,
    ),
    "multiple_choice": (
        "the answer names the right choice by its text or letter",
        _multiple_choice,
    ),
}
_ALL = _OWN | films.METRICS | locomo.METRICS | mem_alpha.METRICS | mab.METRICS
METRICS: Registry[Metric] = Registry(
    "metric",
    {
        **{name: Metric(*metric) for name, metric in _ALL.items()},
        **{name: Metric(judged.description, None) for name, judged in JUDGED.items()},
    },
)
