"""Every rule of the two published dialects, one row for each way in which it can surprise."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finemem_env.errors import ConfigError, DataError
from finemem_env.scoring import (
    METRICS,
    gold_prediction,
    is_judged,
    judge_requests,
    judged_score,
    mab,
    mem_alpha,
    score,
)
from finemem_env.scoring.judged import content_request, content_verdict
from finemem_env.types import Question

TITLES = ["Heat", "Alien", "Aliens", "The Matrix", "Jaws", "Up"]


def asked(metric: str, *golds: str, **metadata: object) -> Question:
    return Question("q", "What?", golds, metric=metric, metadata=metadata)


@pytest.mark.parametrize(
    "prediction, golds, expected",
    [
        ("It was in PARIS, I think", ("Paris",), 1.0),
        ("I know nothing", ("no",), 1.0),  # no word borders
        ("New-York", ("New York",), 0.0),  # no punctuation normalisation
        ("Beatles", ("The Beatles",), 0.0),  # no article normalisation
        ("Rome", ("Paris", "Rome"), 0.0),  # the first gold only
        ("<think>Rome?</think> Paris", ("Rome",), 0.0),
        ("<think>Rome?</think> Paris", ("Paris",), 1.0),
        ("a</think>b</think>c", ("b",), 1.0),  # between the first and the second mark
        ("a</think>b</think>c", ("c",), 0.0),
        ("Paris <think>", ("Paris",), 0.0),  # unclosed: the literal "Empty" is scored
        ("Paris <think>", ("empty",), 1.0),
    ],
)
def test_mem_alpha_contains(prediction: str, golds: tuple[str, ...], expected: float) -> None:
    assert score(prediction, asked("mem-alpha/contains", *golds)) == expected


@pytest.mark.parametrize(
    "prediction, gold, fixed, published",
    [
        ("Rome and Paris", "Rome;Paris", 1.0, 0.0),  # the published case bug
        ("rome and Paris", "Rome; Paris", 1.0, 0.5),
        ("ROME", "Rome", 1.0, 1.0),  # a single keyword is compared in lower case
        ("rome, paris", "Rome;Paris", 1.0, 1.0),
        ("nothing", "Rome;Paris", 0.0, 0.0),
        ("rome", "Rome;", 1.0, 1.0),  # the empty keyword after ";" is in every text
    ],
)
def test_mem_alpha_keywords_with_and_without_the_case_bug(
    prediction: str, gold: str, fixed: float, published: float
) -> None:
    assert score(prediction, asked("mem-alpha/keywords", gold)) == fixed
    assert score(prediction, asked("mem-alpha/keywords_case_bug", gold)) == published


@pytest.mark.parametrize(
    "prediction, golds, training, evaluation",
    [
        ("An Owl in a barn", ("owl, Barn, mill",), 2 / 3, 2 / 3),
        ("owl barn", ("owl,barn",), 1.0, 0.0),  # evaluation splits at ", " alone
        ("owl", ("owl", "barn"), 0.5, 0.5),
        ("owl and barn", ("owl, barn", "mill"), 2 / 3, 0.0),  # a list is keywords as they are
    ],
)
def test_mem_alpha_summary_keywords(
    prediction: str, golds: tuple[str, ...], training: float, evaluation: float
) -> None:
    assert score(prediction, asked("mem-alpha/summary", *golds)) == pytest.approx(training)
    assert score(prediction, asked("mem-alpha/summary_evaluation", *golds)) == pytest.approx(
        evaluation
    )


@pytest.mark.parametrize(
    "prediction, gold, expected",
    [
        (r"\boxed{7}", "7", 1.0),
        (r"It is \boxed{ 7 }.", "7", 1.0),
        ("7", "7", 1.0),
        ("  '7' ", "7", 1.0),
        ('\\boxed{"7"}', "7", 1.0),
        (r"\boxed{07}", "7", 0.0),  # digits are compared as text
        (r"\boxed{7} or \boxed{8}", "7", 1.0),  # the first box
        (r"\boxed{8} or \boxed{7}", "7", 0.0),
        ("label: 7", "7", 0.0),
        ("7.", "7", 0.0),
        (r"\boxed{seven}", "seven", 0.0),  # nothing but digits can be right
        (r"\boxed{\text{7}}", "7", 0.0),  # the box ends at the first brace
        ("7</think>", "7", 0.0),
    ],
)
def test_mem_alpha_boxed_digits(prediction: str, gold: str, expected: float) -> None:
    assert score(prediction, asked("mem-alpha/boxed_digits", gold)) == expected


@pytest.mark.parametrize(
    "text, normal",
    [
        ("The  Quick, brown FOX!", "quick brown fox"),
        ("the-x", "thex"),  # punctuation goes before articles
        ("U.S.A.", "usa"),
        ("The", ""),
        ("an apple a day", "apple day"),
        ("¿qué?", "¿qué"),  # only ASCII punctuation
    ],
)
def test_mab_normalises(text: str, normal: str) -> None:
    assert mab.normalise(text) == normal


@pytest.mark.parametrize(
    "text, parsed",
    [
        ("Paris\nor Rome", "Paris"),
        ("I think.\nANSWER: Paris \nmore", "Paris"),
        ("Answer: Answer: Paris", "Paris"),
        ("First. answer:", ""),
        ("\nParis", ""),  # the first line is empty
        ("Answer: one\nAnswer: two", "one"),
    ],
)
def test_mab_parses_the_output(text: str, parsed: str) -> None:
    assert mab.parse_output(text) == parsed


@pytest.mark.parametrize(
    "metric, prediction, golds, expected",
    [
        ("exact_match", "The Beatles!", ("beatles",), 1.0),
        ("exact_match", "So.\nAnswer: Rome", ("Rome",), 1.0),  # parsed
        ("exact_match", "Rome\nItaly", ("Rome",), 1.0),  # the first line
        ("exact_match", "Rome\nItaly", ("rome italy",), 1.0),  # raw
        ("exact_match", "in Rome", ("Paris", "in rome"), 1.0),
        ("substring_exact_match", "I know", ("no",), 1.0),  # no word borders
        ("substring_exact_match", "New-York City", ("newyork",), 1.0),
        ("substring_exact_match", "anything", ("the",), 1.0),  # normalised to nothing
        ("substring_exact_match", "Rome", ("in Rome",), 0.0),
        ("f1", "yes it is", ("yes",), 0.0),  # yes and no are all or nothing
        ("f1", "yes", ("yes",), 1.0),
        ("f1", "noanswer", ("no",), 0.0),
        ("f1", "big red dog", ("red dog",), 0.8),
        ("f1", "dog dog", ("dog",), 2 / 3),  # a multiset
        ("label", "43", ("43",), 1.0),
        ("label", "label: 43", ("43",), 0.0),  # strict
        ("label", "Answer: 43", ("43",), 1.0),
        ("label", "see below\n43", ("43",), 0.0),  # only the parsed output counts
        ("all_contained", "He LEFT and came back", ("left", "Came"), 1.0),
        ("all_contained", "He left", ("left", "came"), 0.0),
        ("boxed_choice", r"So \boxed{B. The cook}", ("B. The cook",), 1.0),
        ("boxed_choice", "B. the cook", ("B. The cook",), 0.0),
    ],
)
def test_mab_metrics(metric: str, prediction: str, golds: tuple[str, ...], expected: float) -> None:
    assert score(prediction, asked(f"mab/{metric}", *golds)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "prediction, golds, at1, at5",
    [
        ("Try these:\n1. Heat (1995)\n2. Jaws", ("Heat", "Jaws"), 0.5, 1.0),
        ("1. Matrix\n2. Allien", ("The Matrix", "Alien"), 0.5, 1.0),  # the nearest title
        ("jaws, HEAT", ("Heat",), 0.0, 1.0),  # no list: commas part the entries
        ("1. Jaws\n\n\n\n\n2. Heat", ("Heat",), 0.0, 0.0),  # blank lines take places
        ("1) Jaws\n2) Heat", ("Heat",), 0.0, 1.0),
    ],
)
def test_mab_recall(prediction: str, golds: tuple[str, ...], at1: float, at5: float) -> None:
    assert score(prediction, asked("mab/recall@1", *golds, titles=TITLES)) == at1
    assert score(prediction, asked("mab/recall@5", *golds, titles=TITLES)) == at5


def test_recall_needs_the_titles() -> None:
    with pytest.raises(DataError, match="titles"):
        score("1. Heat", asked("mab/recall@5", "Heat"))


@pytest.mark.parametrize("metric", sorted(name for name in METRICS if "/" in name))
@settings(max_examples=60, deadline=None)
@given(
    st.text(max_size=60),
    st.lists(st.text("aB,; 19-.", min_size=1, max_size=12), min_size=1, max_size=3),
)
def test_scores_stay_in_the_unit_interval(metric: str, prediction: str, golds: list[str]) -> None:
    question = asked(metric, *golds, titles=TITLES, keypoints=["one", "two"], rubric=["one"])
    if is_judged(metric):
        assert judge_requests(prediction, question)
        replies = [prediction] * len(judge_requests(prediction, question))
        assert judged_score(replies, question) in (None, 0.0, 1.0)
    else:
        assert 0.0 <= score(prediction, question) <= 1.0


@pytest.mark.parametrize(
    "metric, golds",
    [(name, ("Rome;Paris",)) for name in mem_alpha.METRICS if "keywords" in name]
    + [(name, ("7",)) for name in mem_alpha.METRICS if "boxed" in name]
    + [(name, ("owl, barn",)) for name in mem_alpha.METRICS if "summary" in name]
    + [(name, ("Heat", "Jaws")) for name in mab.METRICS if "@1" not in name or "@10" in name],
)
def test_the_gold_scores_one(metric: str, golds: tuple[str, ...]) -> None:
    question = asked(metric, *golds, titles=TITLES)
    assert score(gold_prediction(question), question) == 1.0


@pytest.mark.parametrize(
    "reply, ours, mem_alpha_rule, mab_rule",
    [
        ("Yes.", 1.0, 1.0, 1.0),
        ("no", 0.0, 0.0, 0.0),
        ("yes, as noted", 1.0, 0.0, 1.0),  # "no" is in "noted"
        ("Yes, I know it is", 1.0, 0.0, 1.0),
        ("No. A yes would need more", 0.0, 0.0, 1.0),
        ("correct", None, 0.0, 0.0),  # ours cannot be read: a failed call
        ("<think>yes maybe</think> no", 0.0, 0.0, 0.0),  # reasoning is no verdict
        ("<think>no?</think> Yes.", 1.0, 1.0, 1.0),
        ("so it is</think>yes", 1.0, 1.0, 1.0),  # the tag may be opened in the prompt
        ("", None, None, None),  # nothing was said: a failed call
        (" \n", None, None, None),
        ("<think>yes, it says so</think>", None, None, None),
        ("<think>The answer is right, yes", None, None, None),
    ],
)
def test_the_judges_yes_and_no(
    reply: str, ours: float | None, mem_alpha_rule: float | None, mab_rule: float | None
) -> None:
    assert judged_score([reply], asked("judge", "x")) == ours
    assert judged_score([reply], asked("mem-alpha/judge", "x")) == mem_alpha_rule
    assert judged_score([reply], asked("mab/judge", "x")) == mab_rule


@pytest.mark.parametrize("metric", ["judge", "mem-alpha/judge", "mab/judge", "mab/summary_judge"])
def test_judged_metrics_refuse_to_fall_back(metric: str) -> None:
    with pytest.raises(ConfigError, match=r"needs a judge, .* judge=…"):
        score("x", asked(metric, "x"))


@pytest.mark.parametrize(
    "metadata, words",
    [
        ({}, "only part of what was asked"),
        ({"question_type": "multi-session"}, "only part of what was asked"),
        ({"question_type": "temporal-reasoning"}, "off by one"),
        ({"question_type": "knowledge-update"}, "mention earlier ones"),
        ({"question_type": "single-session-preference"}, "rubric"),
        ({"question_type": "multi-session", "abstention": True}, "cannot be answered"),
    ],
)
def test_the_conversation_judge_is_asked_by_question_type(
    metadata: dict[str, object], words: str
) -> None:
    question = Question("q", "Where?", ("Rome",), metric="mab/judge", metadata=metadata)
    (request,) = judge_requests("<think>hm</think>In Rome", question)
    assert words in request.text
    assert "In Rome" in request.text
    assert "hm" not in request.text
    assert (request.prompt, request.max_tokens, request.temperature) == ("judge/1", 10, 0.0)


@pytest.mark.parametrize(
    "replies, expected",
    [
        (['{"fluency": 1}', '{"recall": 1}', '{"precision": 1, "sentence_count": 2}'], 0.5),
        (['{"fluency": 0}', '{"recall": 2}', '{"precision": 2, "sentence_count": 2}'], 0.0),
        (['{"fluency": 1}', '{"recall": 0}', '{"precision": 2, "sentence_count": 2}'], 0.0),
        (['{"fluency": 1}', '{"recall": 9}', '{"precision": 9, "sentence_count": 1}'], 1.0),
        (['so: {"fluency": 1} {"fluency": 0}', '{"recall": 2}', '{"precision": 1}'], None),
        (["fluent", '{"recall": 2}', '{"precision": 1, "sentence_count": 1}'], None),
    ],
)
def test_the_summary_judge(replies: list[str], expected: float | None) -> None:
    question = asked("mab/summary_judge", "A book.", keypoints=["one", "two"])
    assert len(judge_requests("A summary.", question)) == 3
    assert judged_score(replies, question) == expected


def test_the_summary_judge_needs_key_points() -> None:
    with pytest.raises(DataError, match="keypoints"):
        judge_requests("x", asked("mab/summary_judge", "y"))


@pytest.mark.parametrize(
    "reply, expected",
    [
        ('```json\n{"VALID": true, "ISSUES": [], "EXPLANATION": "ok"}\n```', 1.0),
        ('{"VALID": false, "ISSUES": ["placeholder"], "EXPLANATION": ""}', 0.0),
        ('{"VALID": "true"}', None),
        ("VALID", None),
    ],
)
def test_the_content_judge(reply: str, expected: float | None) -> None:
    request = content_request("episodic", "On 3 May the user moved to $Rome.")
    assert "the user moved to $Rome" in request.text
    assert (request.max_tokens, request.temperature) == (512, 0.1)
    assert content_verdict(reply) == expected
