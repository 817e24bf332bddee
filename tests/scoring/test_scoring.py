from __future__ import annotations

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from finemem_env.errors import ConfigError, DataError
from finemem_env.scoring import METRICS, gold_prediction, score, strip_reasoning
from finemem_env.scoring.matching import form
from finemem_env.types import AnswersMode, Question


def asked(
    metric: str, *golds: str, mode: AnswersMode = "any", choices: tuple[str, ...] = ()
) -> Question:
    return Question("q", "?", golds, metric=metric, answers_mode=mode, choices=choices)


# Without those that need more than golds: a judge, or the list of all titles (test_films.py).
MEASURED = sorted(
    name
    for name, metric in METRICS.items()
    if "/" not in name and metric.compare is not None and not name.startswith("recall@")
)
golds = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=30), st.sampled_from(["no", "1,000", "The A", "U.S.", "$"])
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(MEASURED), golds, st.sampled_from(["any", "all", "fraction"]))
def test_the_gold_scores_one_under_every_metric(
    metric: str, answers: list[str], mode: AnswersMode
) -> None:
    # A gold that shows nothing, such as a control character, is none.
    assume(all(form(answer).raw and "think>" not in answer.casefold() for answer in answers))
    assume(metric != "boxed_label" or "\\boxed" not in answers[0])
    question = asked(metric, *answers, mode=mode)
    assert score(gold_prediction(question), question) == 1.0


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(MEASURED),
    st.text(max_size=60),
    golds,
    st.sampled_from(["any", "all", "fraction"]),
)
def test_scores_stay_in_the_unit_interval(
    metric: str, prediction: str, answers: list[str], mode: AnswersMode
) -> None:
    assert 0.0 <= score(prediction, asked(metric, *answers, mode=mode)) <= 1.0


@pytest.mark.parametrize(
    "prediction, gold, expected",
    [
        ("I know nothing about it", "no", 0.0),
        ("No, they were not.", "no", 1.0),
        ("The answer: Denver Broncos!", "denver broncos", 1.0),
        ("It was Beatles", "The Beatles", 1.0),
        ("the Denver Broncos' win", "Denver Broncos", 1.0),
        ("Einstein's theory", "Einstein", 1.0),
        ("Einstein’s theory", "Einstein's", 1.0),
        ("he didn’t", "didn't", 1.0),
        ("in the U.S. Senate", "US", 1.0),
        ("1,300 people", "1300", 1.0),
        ("1,300 people", "1,300", 1.0),
        ("1,300 people", "300", 0.0),
        ("3.5 million", "3", 0.0),
        ("3.5 million", "3.5", 1.0),
        ("It was 3.", "3", 1.0),
        ("3,5 Meter", "3", 0.0),
        ("3,5 Meter", "5", 0.0),
        ("3,5 Meter", "3,5", 1.0),
        ("312,5 m", "312.5", 1.0),
        ("1,2,3", "2", 1.0),
        ("1, 2", "2", 1.0),
        ("1\u00a0300\u202f000 personnes", "1300000", 1.0),
        ("1.300.000 Einwohner", "1,300,000", 1.0),
        ("1.300,50 Euro", "1300.50", 1.0),
        ("1.300", "1300", 0.0),
        ("٣٫٥", "3.5", 1.0),
        ("١٬٣٠٠", "1300", 1.0),
        ("a well-known author", "well known", 1.0),
        ("a/b testing", "b", 1.0),
        ("Vitamin C", "Vitamin A", 0.0),
        ("vitamin A is good", "Vitamin A", 1.0),
        ("他住在北京市", "北京", 1.0),
        ("STRASSE 5", "straße", 1.0),
        ("Ｐａｒｉｓ", "Paris", 1.0),
        ("cost: $5", "$", 1.0),
        ("cost: 5", "$", 0.0),
        ("<think>Paris or Rome?</think> Rome", "Paris", 0.0),
        ("<think>Paris or", "Paris", 0.0),
        ("Paris perhaps</think>Rome", "Paris", 0.0),
        ("", "Paris", 0.0),
    ],
)
def test_substring_exact_match(prediction: str, gold: str, expected: float) -> None:
    assert score(prediction, asked("substring_exact_match", gold)) == expected


@pytest.mark.parametrize(
    "prediction, gold, expected",
    [
        ("the cat.", "Cat", 1.0),
        ("label: 43", "43", 0.0),
        ("043", "43", 0.0),
        ("a cat sat", "cat", 0.0),
        ("+", "-", 0.0),
    ],
)
def test_exact_match(prediction: str, gold: str, expected: float) -> None:
    assert score(prediction, asked("exact_match", gold)) == expected


@pytest.mark.parametrize("metric", ["exact_match", "substring_exact_match", "keyword_fraction"])
def test_answers_mode_any_all_fraction(metric: str) -> None:
    def graded(mode: AnswersMode, prediction: str) -> float:
        return score(prediction, asked(metric, "red", "blue", "green", mode=mode))

    assert [graded("any", p) for p in ("red", "pink")] == [1.0, 0.0]
    assert [graded("all", p) for p in ("green; red; blue", "red; blue")] == [1.0, 0.0]
    assert graded("fraction", "blue; red") == pytest.approx(2 / 3)


def test_a_list_of_everything_equals_no_golds() -> None:
    def graded(mode: AnswersMode, prediction: str) -> float:
        return score(prediction, asked("exact_match", "red", "blue", mode=mode))

    assert [graded("all", p) for p in ("blue; red", "red; blue; pink")] == [1.0, 0.0]
    assert graded("fraction", "red; pink") == 0.5
    assert graded("fraction", "red; blue; pink; green") == 0.5


@pytest.mark.parametrize(
    "gold, one",
    [
        ("红色、蓝色", "蓝色"),
        ("红色，蓝色", "蓝色"),
        ("红色；蓝色", "红色"),
        ("أحمر، أزرق", "أزرق"),
        ("أحمر؛ أزرق", "أحمر"),
    ],
)
def test_keywords_are_parted_as_their_script_does(gold: str, one: str) -> None:
    assert score(one, asked("keyword_fraction", gold)) == 0.5


def test_a_list_is_parted_by_wide_semicolons() -> None:
    assert score("红色；蓝色", asked("exact_match", "蓝色", "红色", mode="all")) == 1.0


def test_f1_counts_shared_tokens_and_decides_yes_and_no_as_a_whole() -> None:
    assert score("the big red dog", asked("f1", "a red dog")) == pytest.approx(2 * 2 / 5)
    assert score("dog dog", asked("f1", "dog")) == pytest.approx(2 / 3)
    assert score("yes it is", asked("f1", "yes")) == 0.0
    assert score("cat", asked("f1", "dog", "cat")) == 1.0
    assert score("red blue", asked("f1", "red", "blue", mode="all")) == 1.0


def test_keyword_fraction_splits_one_gold_and_ignores_case() -> None:
    question = asked("keyword_fraction", "Paris; 1,000 soldiers; Rome")
    assert score("PARIS fell to 1000 soldiers", question) == pytest.approx(2 / 3)
    assert score("Rome", asked("keyword_fraction", "Paris, Rome")) == 0.5
    assert score("1,000", asked("keyword_fraction", "1,000")) == 1.0


def longest_common_subsequence(a: list[str], b: list[str]) -> int:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = (
                table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
            )
    return table[-1][-1]


def test_rouge_l_equals_the_textbook_table() -> None:
    rng = random.Random(3)
    for _ in range(100):
        ours = [rng.choice("bcdefg") for _ in range(rng.randint(1, 80))]
        theirs = [rng.choice("bcdefg") for _ in range(rng.randint(1, 80))]
        expected = 2 * longest_common_subsequence(ours, theirs) / (len(ours) + len(theirs))
        assert score(" ".join(ours), asked("rouge_l", " ".join(theirs))) == pytest.approx(expected)


def test_rouge_of_content_words_pays_nothing_for_text_on_another_story() -> None:
    gold = "Mara sold the mill of Osta and left it to her son"
    question = asked("rouge_l_content", gold)
    assert score(gold, question) == 1.0
    assert score("It is the one that was and the other of it", question) == 0.0
    assert score("She left", asked("rouge_l", gold)) > 0.0
    long = " ".join(f"w{i}" for i in range(60))
    assert score(f"left {long}", question) == 0.0  # F1 1/33
    mean = 2 * 4 / (8 + 6)  # Mara, sold, mill, Osta of Mara, sold, mill, Osta, left, son
    assert score("Mara sold one mill near Osta last year", question) == pytest.approx(
        (mean - 0.08) / 0.92
    )
    assert score("", asked("rouge_l_content", "it is")) == 0.0
    assert score("it is", asked("rouge_l_content", "it is")) == 1.0


def test_rouge_l_takes_the_best_reference() -> None:
    question = asked("rouge_l", "a fox ran home", "the dog sat still")
    assert score("dog sat", question) == pytest.approx(2 * 2 / (2 + 4))


@pytest.mark.parametrize(
    "prediction, gold, expected",
    [
        (r"so \boxed{card arrival}", "card_arrival", 1.0),
        (r"\boxed{7} no, \boxed{12}", "12", 1.0),
        (r"\boxed{\text{Lost-Card}}", "lost_card", 1.0),
        (r"\boxed{07}", "7", 0.0),
        (r"\boxed{7", "7", 0.0),
        ("'12'", "12", 1.0),
        ("label: 12.", "12", 1.0),
        ("हिन्दी-भाषा", "हिन्दी_भाषा", 1.0),
        ("12 or 13", "12", 0.0),
        ("+", "-", 0.0),
        ("", "12", 0.0),
    ],
)
def test_boxed_label(prediction: str, gold: str, expected: float) -> None:
    assert score(prediction, asked("boxed_label", gold)) == expected


@pytest.mark.parametrize(
    "prediction, gold, expected",
    [
        ("B", "B", 1.0),
        ("(b) York", "York", 1.0),
        ("The answer is B", "York", 1.0),
        ("York", "B", 1.0),
        ("They flew to New York.", "York", 0.0),
        ("They flew to New York.", "New York", 1.0),
        ("York and London", "York", 0.0),
        ("A dog ran to London", "London", 1.0),
        ("Z", "York", 0.0),
        ("", "York", 0.0),
        ("A) New York, not London", "New York", 1.0),
        ("The answer is A because B is wrong", "New York", 1.0),
        ("**B**", "York", 1.0),
        ("Ｂ。", "York", 1.0),
        ("正确答案是B项", "York", 1.0),
        ("Ответ: B", "York", 1.0),
        ("(A) (B) (C)", "New York", 0.0),
        ("A. B. C.", "New York", 0.0),
        ("The answer is A/B", "New York", 0.0),
        ("a) b) c)", "New York", 0.0),
        ("Option A or option B", "York", 0.0),
        ("Option A, option B", "York", 0.0),
        ("The answer is B, not A", "York", 1.0),
        ("Answer: A, B or C", "New York", 0.0),
        ("A) New York B) York C) London", "New York", 0.0),
    ],
)
def test_multiple_choice(prediction: str, gold: str, expected: float) -> None:
    choices = ("New York", "York", "London")
    assert score(prediction, asked("multiple_choice", gold, choices=choices)) == expected


def test_a_choice_may_begin_with_an_initial() -> None:
    question = asked("multiple_choice", "B. Keller", choices=("B. Keller", "C. Brandt"))
    assert score("A) B. Keller", question) == 1.0
    assert score("A) B.", question) == 0.0


def test_multiple_choice_prefers_the_text_of_a_choice_to_its_letter() -> None:
    assert score("A", asked("multiple_choice", "A", choices=("B", "A"))) == 1.0
    assert score("A", asked("multiple_choice", "B", choices=("B", "A"))) == 0.0
    assert score("C", asked("multiple_choice", "C++", choices=("C++", "C"))) == 0.0


def test_the_normal_form_has_no_case_punctuation_and_articles() -> None:
    assert form("  The  QUICK, brown fox! ").bare.strip() == "quick brown fox"
    assert form("The").raw == "the"
    assert form("!?").raw == "!?"


def test_what_cannot_be_scored_raises() -> None:
    with pytest.raises(ConfigError, match="needs a judge"):
        score("x", asked("judge", "x"))
    with pytest.raises(ConfigError, match=r"Did you mean 'exact_match'\?"):
        score("x", asked("exactmatch", "x"))
    with pytest.raises(DataError, match="has no gold answer"):
        score("x", asked("f1"))


@pytest.mark.parametrize("name", ["think", "thinking", "THINK", "Thinking"])
def test_reasoning_is_no_part_of_an_answer(name: str) -> None:
    assert strip_reasoning(f"<{name}>Rome?</{name}>Paris") == "Paris"
    assert strip_reasoning(f"Rome?</{name}>Paris") == "Paris"
    assert strip_reasoning(f"Paris<{name}>Rome?") == "Paris"
    assert strip_reasoning("I think Paris") == "I think Paris"
