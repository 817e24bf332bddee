"""Stemming, ROUGE and title matching against numbers of the packages the publishers use."""

from __future__ import annotations

import random

import pytest

from finemem_env.scoring.porter import stem
from finemem_env.scoring.rouge import rouge_l_stemmed, rouge_lsum_stemmed
from finemem_env.scoring.titles import edit_distance, nearest_title, recommended, title_of

GOLD = "The cat sat on the mats.\nDogs were running happily through the relational garden."
PREDICTION = "A cat was sitting on a mat\nthe dog runs happily in gardens; relations conditionally"


@pytest.mark.parametrize(
    "word, expected",
    [
        ("relational", "relat"),
        ("conditionally", "condit"),
        ("running", "run"),
        ("happily", "happili"),
        ("hopping", "hop"),
        ("flies", "fli"),
        ("dies", "die"),
        ("skies", "sky"),
        ("agreed", "agre"),
        ("geologically", "geolog"),
        ("sensibilities", "sensibl"),
        ("controlling", "control"),
        ("enjoy", "enjoy"),
        ("is", "is"),
    ],
)
def test_stems(word: str, expected: str) -> None:
    assert stem(word) == expected


def test_stems_are_nltks() -> None:
    porter = pytest.importorskip("nltk.stem.porter").PorterStemmer()
    rng = random.Random(0)
    endings = ["ational", "ies", "ing", "eed", "alli", "logi", "ement", "y", "e", "ll", "ion", "s"]
    for _ in range(3000):
        word = "".join(rng.choices("abeilnostuy", k=rng.randint(1, 7))) + rng.choice(endings)
        assert stem(word) == porter.stem(word), word


def test_rouge_of_a_known_pair() -> None:
    assert rouge_l_stemmed(PREDICTION, GOLD) == pytest.approx(14 / 29)
    assert rouge_lsum_stemmed(PREDICTION, GOLD) == pytest.approx(16 / 29)
    assert rouge_l_stemmed("", GOLD) == rouge_lsum_stemmed("", GOLD) == 0.0


def test_rouge_is_the_packages() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(
        ["rougeL", "rougeLsum"], use_stemmer=True
    )
    rng = random.Random(1)
    words = (GOLD + " " + PREDICTION).replace("\n", " ").split(" ")
    for _ in range(200):
        one, two = (
            "\n".join(" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(3))
            for _ in range(2)
        )
        found = scorer.score(one, two)
        assert rouge_l_stemmed(two, one) == pytest.approx(found["rougeL"].fmeasure)
        assert rouge_lsum_stemmed(two, one) == pytest.approx(found["rougeLsum"].fmeasure)


def test_edit_distance_is_levenshteins() -> None:
    rng = random.Random(2)
    for _ in range(1000):
        one, two = ("".join(rng.choices("abc ", k=rng.randint(0, 9))) for _ in range(2))
        assert edit_distance(one, two) == _levenshtein(one, two)


def _levenshtein(one: str, two: str) -> int:
    above = list(range(len(two) + 1))
    for i, a in enumerate(one, start=1):
        row = [i]
        for j, b in enumerate(two, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
        above = row
    return above[-1]


def test_titles() -> None:
    assert title_of("<http://dbpedia.org/resource/Heat_(1995_film)>") == "Heat"
    assert recommended("Well: 1. Heat (1995)\n2.Jaws\n 3、 Up ") == ["Heat", "Jaws", "Up"]
    assert nearest_title("HEAT", ("Heat", "Hea", "Heath")) == "Heat"
    assert nearest_title("Hea", ("Heb", "Hec")) == "Heb"  # the first by name on a tie
