"""Questions without an answer: to say so is right, and an answer with a way out is not."""

from __future__ import annotations

import dataclasses

import pytest

from finemem_env.scoring import METRICS, gold_prediction, is_judged, judge_requests, score
from finemem_env.scoring.abstention import NO_ANSWER, abstains
from finemem_env.scoring.judged import JUDGED
from finemem_env.types import Question

ABSTAIN = [
    "",
    "unknown",
    "Unknown.",
    "**Unknown**",
    "None",
    "N/A",
    "The answer is unknown.",
    "It is not mentioned.",
    "Not mentioned",
    "No information available.",
    "not enough information",
    "No mention of it.",
    "I don't know.",
    "I do not know where Mara lives",
    "I couldn’t find that.",
    "The items do not say where Mara lives.",
    "Your memory items don't specify the date.",
    "There is no information about that.",
    "Based on the provided chat, there is no information related to your background.",
    "The question cannot be answered.",
    "It cannot be determined from the items.",
    "The memory doesn't mention her dog. I cannot tell.",
    "答案未知。",
    "没有提到",
    "無法確定。",
    "I have no idea.",
    "Sorry, I don't have that information.",
    "I'm sorry, but there is no information about Mara's dog.",
    "Unfortunately, the provided context does not contain it.",
    "There isn't enough information to answer.",
    "I am unable to find the date.",
    "I'm not sure.",
    "None of the items mention her dog.",
    "Nothing in the items says where she lives.",
    "The answer is not in the items.",
    "This information is not available.",
    "The home town of Mara is not known.",
    "Unbekannt.",
    "Je ne sais pas.",
    "No se menciona.",
    "Não sei",
    "Не знаю.",
    "غير معروف",
    "पता नहीं।",
    "わかりません。",
    "알 수 없음",
    "ไม่ทราบ",
    "Bilinmiyor.",
    "không rõ",
]
ANSWER = [
    "Osta",
    "No",
    "Not Osta",
    "It is not Osta.",
    "unknown Osta",
    "Unknown, perhaps Osta.",
    "Mara lives in Osta, unknown",
    "The Unknown Soldier",
    "None of the guests",
    "I do not know: Osta",
    "I do not know. Osta.",
    "unknown\nOsta",
    "It is not mentioned, but Osta.",
    "There is no information, so Osta",
    "They do not know Osta",
    "he did not say goodbye",
    "The king did not tell his wife",
    "The treasure was not found in the cave",
    "desconocido Osta",
    "Sorry, Osta.",
    "I'm not sure, perhaps Osta",
    "Nothing is said: Osta",
    "The answer is in the items",
    "不明、オスタ",
]


@pytest.mark.parametrize("text", ABSTAIN)
def test_what_abstains(text: str) -> None:
    assert abstains(text)


@pytest.mark.parametrize("text", ANSWER)
def test_what_does_not(text: str) -> None:
    assert not abstains(text)


@pytest.mark.parametrize("metric", sorted(name for name in METRICS if not is_judged(name)))
def test_under_every_metric_only_abstaining_is_right(metric: str) -> None:
    question = Question("q", "Where?", ("Osta",), metric=metric, unanswerable=True)
    assert score("Osta", question) == 0.0
    assert score("<think>Osta?</think> The items do not say where.", question) == 1.0
    assert score("", question) == 1.0
    assert gold_prediction(question) == NO_ANSWER
    assert score(gold_prediction(question), question) == 1.0


@pytest.mark.parametrize(
    "hedged",
    [
        "unknown",
        "I do not know Osta",
        "I don't know whether Mara lives in Osta.",
        "The items do not say Osta",
        "There is no information Osta",
        "It is not mentioned in Osta",
        "The town Osta of Mara is not known.",
    ],
)
def test_abstaining_is_no_answer_to_another_question(hedged: str) -> None:
    assert score(hedged, Question("q", "Where?", ("Osta",))) == 0.0


@pytest.mark.parametrize(
    "text", ["There is no information about that.", "I have no idea", "No record of it.", "no data"]
)
def test_no_information_is_no_no(text: str) -> None:
    assert score(text, Question("q", "Is it open?", ("no",))) == 0.0
    assert score(text, Question("q", "Is it open?", ("no",), metric="mab/substring_exact_match"))


def test_a_choice_may_say_that_it_is_not_known() -> None:
    question = Question(
        "q", "?", ("B",), metric="multiple_choice", choices=("Osta", "Not mentioned")
    )
    assert score("Not mentioned", question) == 1.0


def test_a_gold_may_say_that_something_is_not_so() -> None:
    for gold in ("unknown", "he did not know his father", "not mentioned"):
        assert score(gold, Question("q", "What?", (gold,))) == 1.0
    assert score("The king did not tell his wife.", Question("q", "Whom?", ("his wife",))) == 1.0


@pytest.mark.parametrize("metric", ["judge", "mab/judge"])
def test_a_judge_is_asked_whether_the_reply_abstains(metric: str) -> None:
    question = Question("q", "Where?", ("He never says.",), metric=metric, unanswerable=True)
    (request,) = judge_requests("unknown", question)
    assert "cannot be answered" in request.text
    assert "Reason: He never says." in request.text
    (other,) = judge_requests("unknown", dataclasses.replace(question, unanswerable=False))
    assert "cannot be answered" not in other.text


@pytest.mark.parametrize(
    "kind, words",
    [
        ("temporal-reasoning", "off by one"),
        ("knowledge-update", "mention earlier ones"),
        ("single-session-preference", "good personal reply"),
        ("multi-session", "Right answer: Osta"),
    ],
)
def test_our_judge_too_has_a_rubric_for_every_kind(kind: str, words: str) -> None:
    about = {"question_type": kind, "question_date": "2023/06/01 (Thu) 10:00"}
    question = Question("q", "Where?", ("Osta",), metric="judge", metadata=about)
    (request,) = judge_requests("In Osta", question)
    assert words in request.text
    assert "Where? (asked on 2023/06/01 (Thu) 10:00)" in request.text


@pytest.mark.parametrize("metric", sorted(JUDGED))
def test_every_dialect_hears_of_the_date(metric: str) -> None:
    about = {"question_date": "2023/06/01", "keypoints": ["one"], "rubric": ["one"]}
    question = Question("q", "Where?", ("Osta",), metric=metric, metadata=about)
    texts = [request.text for request in judge_requests("In Osta", question)]
    compares = [text for text in texts if "Where?" in text]
    assert all("asked on 2023/06/01" in text for text in compares)
    assert bool(compares) == (metric != "mab/summary_judge")
