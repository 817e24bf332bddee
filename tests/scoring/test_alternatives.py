"""An answer that lists alternatives is wrong."""

from __future__ import annotations

import pytest

from finemem_env.scoring import score
from finemem_env.types import Question


def asked(*golds: str, excluded: tuple[str, ...] = (), question: str = "?") -> Question:
    return Question("q", question, golds, excluded=excluded)


@pytest.mark.parametrize(
    "prediction, expected",
    [
        ("The code is QX417.", 1.0),
        ("QX417, as I said: qx417!", 1.0),
        ("QX417 BD035", 0.0),
        ("BD035", 0.0),
        ("QX417 or BD0351", 1.0),
        ("QX417, or New Osta", 0.0),
        ("QX417, or Osta, new", 1.0),
    ],
)
def test_another_value_beside_the_gold_is_wrong(prediction: str, expected: float) -> None:
    question = asked("QX417", excluded=("BD035", "QX417", "New Osta"))
    assert score(prediction, question) == expected


def test_what_the_question_or_a_gold_says_may_be_said_again() -> None:
    question = asked("A1, B2", excluded=("A1", "B2", "C3", "A1, B2", "B2, A1", "Osta"))
    assert score("A1, B2", question) == 1.0
    assert score("A1, B2, C3", question) == 0.0
    assert score("A1, B2, A1", question) == 0.0
    assert score("In Osta: A1, B2", question) == 0.0
    told = asked("A1", excluded=("Osta", "B2"), question="What is the code of Osta?")
    assert score("The code of Osta is A1", told) == 1.0


def test_values_without_spaces_between_words_are_found() -> None:
    question = asked("维温沃", excluded=("维温沃", "阿艾安"))
    assert score("他的家乡是维温沃。", question) == 1.0
    assert score("维温沃、阿艾安", question) == 0.0


@pytest.mark.parametrize(
    "prediction, yes, no",
    [
        ("yes", 1.0, 0.0),
        ("No.", 0.0, 1.0),
        ("yes or no", 0.0, 0.0),
        ("Are both the same: yes no", 0.0, 0.0),
        ("Yes, both of them are; there is no doubt.", 1.0, 0.0),
        ("No: one of them is, yes, the other is not.", 0.0, 1.0),
        ("Yes, he has no car", 1.0, 0.0),
        ("Yes, there is no doubt.", 1.0, 0.0),
        ("Yes, but also no", 0.0, 0.0),
        ("yes, it is no", 0.0, 0.0),
        ("yes no doubt", 0.0, 0.0),
    ],
)
def test_yes_and_no_exclude_each_other(prediction: str, yes: float, no: float) -> None:
    assert score(prediction, asked("yes")) == yes
    assert score(prediction, asked("no")) == no


@pytest.mark.parametrize("metric", ["substring_exact_match", "keyword_fraction", "f1", "rouge_l"])
@pytest.mark.parametrize(
    "gold, right, wrong",
    [
        ("yes", "Yes.", "yes no"),
        ("true", "True", "true or false"),
        ("ja", "Ja.", "ja nein"),
        ("sí", "Sí.", "Sí o no"),
        ("да", "Да", "да нет"),
        ("是", "是。", "是否"),
        ("是", "是", "不是"),
        ("不是", "不是", "是不是"),
        ("否", "否", "是或否"),
        ("はい", "はい。", "はい いいえ"),
        ("예", "예.", "예 아니요"),
        ("हाँ", "हाँ।", "हाँ नहीं"),
        ("نعم", "نعم", "نعم لا"),
        ("ใช่", "ใช่", "ไม่ใช่"),
    ],
)
def test_yes_and_no_in_any_language_under_every_metric(
    metric: str, gold: str, right: str, wrong: str
) -> None:
    question = Question("q", "?", (gold,), metric=metric)
    assert score(right, question) == 1.0
    assert score(wrong, question) == 0.0


@pytest.mark.parametrize(
    "gold, prediction",
    [("否", "否，他是医生"), ("不是", "不是，他是医生"), ("没有", "没有，他有猫")],
)
def test_an_everyday_word_takes_nothing_back(gold: str, prediction: str) -> None:
    assert score(prediction, Question("q", "?", (gold,), metric="substring_exact_match")) == 1.0


def test_both_may_be_said_where_both_are_golds() -> None:
    both = Question("q", "?", ("yes", "no"), answers_mode="all", metric="substring_exact_match")
    assert score("no; yes", both) == 1.0


def test_many_lists_of_many_values_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from finemem_env.scoring import alternatives

    monkeypatch.setattr(alternatives._Tables, "_MOST", 10)
    alternatives._TABLES.clear()
    for i in range(20):
        values = tuple(f"V{i}x{j}" for j in range(4))
        assert score(f"gold {values[3]}", asked("gold", excluded=values)) == 0.0
        assert sum(map(len, alternatives._TABLES)) <= 10


@pytest.mark.parametrize(
    "gold, answer",
    [
        ("sí", "Sí, no hay problema"),
        ("sì", "Sì, no, non ancora letto"),
        ("sim", "Sim, não há problema"),
        ("tak", "Tak, nie ma problemu"),
        ("да", "Да, нет проблем"),
        ("ya", "Ya, dia tidak punya mobil"),
        ("否", "否，他是医生"),
    ],
)
def test_a_verb_that_is_negated_takes_nothing_back(gold: str, answer: str) -> None:
    question = Question("q", "?", (gold,), metric="substring_exact_match")
    assert score(answer, question) == 1.0


@pytest.mark.parametrize(
    "listed",
    [
        "home town l'Holres l'Tasdel",
        "Tasdel'Holres'Nalpis",
        "d’Holres d’Nalpis",
        "Holres, l'Nalpis",
    ],
)
def test_an_apostrophe_hides_no_other_value(listed: str) -> None:
    question = asked("Holres", excluded=("Tasdel", "Nalpis"))
    assert score("l'Holres", question) == 1.0
    assert score(listed, question) == 0.0


def test_an_article_hides_no_other_value() -> None:
    question = asked("Nikjim Zatwib", excluded=("Sassax Tonnup", "The Wexfon"))
    assert score("Nikjim the Zatwib", question) == 1.0
    assert score("Nikjim the Zatwib, Sassax the Tonnup", question) == 0.0
    assert score("Wexfon and Nikjim Zatwib", question) == 0.0
    told = asked("Nikjim", excluded=("The Wexfon",), question="Who knows Wexfon?")
    assert score("Wexfon knows Nikjim", told) == 1.0


@pytest.mark.parametrize("gold", ["yes", "no"])
def test_an_apostrophe_hides_no_other_answer(gold: str) -> None:
    assert score("l'yes l'no", asked(gold)) == 0.0
    assert score(f"l'{gold}", asked(gold)) == 1.0
