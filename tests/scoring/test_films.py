"""Recommended films: years tell them apart, titles keep their slashes, dashes and commas."""

from __future__ import annotations

import unicodedata

import pytest

from finemem_env.errors import DataError
from finemem_env.scoring import gold_prediction, score
from finemem_env.scoring.films import film_of, recommendations
from finemem_env.types import Question

FILMS = [
    "Heat (1995)",
    "Heat (1986)",
    "Face/Off (1997)",
    "Spider-Man (2002)",
    "Me, Myself & Irene (2000)",
    "Up (2009)",
    "(500) Days of Summer (2009)",
    "Untitled",
]


def asked(*golds: str, metric: str = "recall@5") -> Question:
    return Question("q", "Which?", golds, metric=metric, metadata={"titles": FILMS})


@pytest.mark.parametrize(
    "entry, film",
    [
        ("Heat (1995)", "Heat (1995)"),
        ("heat (1986)", "Heat (1986)"),
        ("Heat", None),  # two films: the year is needed
        ("Heat (2001)", None),  # no film of that year
        ("Face/Off", "Face/Off (1997)"),
        ("Face Off (1997), with John Travolta", "Face/Off (1997)"),
        ("spiderman", "Spider-Man (2002)"),
        ("Me, Myself & Irene", "Me, Myself & Irene (2000)"),
        ("(500) Days of Summer (2009)", "(500) Days of Summer (2009)"),
        ("Heat（1986年）", "Heat (1986)"),
        ("Untitled (1999)", "Untitled"),  # the list does not know its year
    ],
)
def test_which_film_a_recommendation_is(entry: str, film: str | None) -> None:
    assert film_of(entry, FILMS) == film


@pytest.mark.parametrize(
    "text, entries",
    [
        ("Try:\n1. Heat (1995)\n\n2) Up\nEnjoy!", ["Heat (1995)", "Up"]),
        ("- Heat (1995)\n* Up", ["Heat (1995)", "Up"]),
        ("Me, Myself & Irene (2000), Up (2009)", ["Me, Myself & Irene (2000)", "Up (2009)"]),
        ("Heat, Up; Jaws", ["Heat", "Up", "Jaws"]),
        ("300\nUp", ["300", "Up"]),
        ("《英雄》、《活着》；《霸王别姬》", ["英雄", "活着", "霸王别姬"]),
        ("１．英雄（2002年）\n２．活着", ["英雄（2002年）", "活着"]),
        ("英雄（2002），活着（1994）", ["英雄（2002）", "活着（1994）"]),
        ("", []),
    ],
)
def test_what_the_entries_are(text: str, entries: list[str]) -> None:
    assert recommendations(text) == entries


@pytest.mark.parametrize(
    "text, golds, expected",
    [
        ("1. Heat (1995)\n2. Up (2009)", ("Heat (1995)", "Up (2009)"), 1.0),
        ("1. Heat (1986)", ("Heat (1995)",), 0.0),
        ("1. Heat", ("Heat (1995)",), 0.0),
        ("1. Off", ("Face/Off (1997)",), 0.0),
        ("1. Face/Off\n2. Spider-Man", ("Face/Off (1997)", "Heat (1995)"), 0.5),
        ("1. a\n2. b\n3. c\n4. d\n5. e\n6. Up", ("Up (2009)",), 0.0),  # five places
    ],
)
def test_recall(text: str, golds: tuple[str, ...], expected: float) -> None:
    # Short entries are near to "Up" by edit distance, so the sixth is what counts here.
    films = [film for film in FILMS if "6. Up" not in text or film != "Up (2009)"]
    question = Question("q", "?", golds, metric="recall@5", metadata={"titles": films})
    assert score(text, question) == expected
    assert score(gold_prediction(asked(*golds)), asked(*golds)) == 1.0


def test_the_published_rule_knows_no_years() -> None:
    """MemoryAgentBench's metric on the same titles: films of different years are one."""
    for text in ("1. Heat", "1. Heat (1986)"):
        assert score(text, asked("Heat (1995)", metric="mab/recall@5")) == 1.0
    assert score("1. Spider-Man", asked("Heat (1995)", metric="mab/recall@5")) == 0.0


@pytest.mark.parametrize("metric", ["recall@1", "recall@5", "recall@10", "mab/recall@5"])
def test_recall_needs_titles(metric: str) -> None:
    with pytest.raises(DataError, match="titles"):
        score("1. Heat", Question("q", "?", ("Heat (1995)",), metric=metric))


def test_the_normal_form_of_unicode_makes_no_other_film() -> None:
    titles = ["Ré (1999)", "Rex (1999)"]
    for shape in ("NFC", "NFD"):
        assert film_of(unicodedata.normalize(shape, "Ré"), titles) == "Ré (1999)"
        (told, _) = (unicodedata.normalize(shape, title) for title in titles)
        assert film_of("Ré", [told, "Rex (1999)"]) == told
