"""What models and agents write is handled in linear time, whatever they write.

Nothing is timed: at a million characters a quadratic scan takes hours, a linear one milliseconds.
"""

from __future__ import annotations

import struct

import pytest

from baselines.managers.notes import _SENTENCE_END
from finemem_env.data.adapters.beam import _MARK
from finemem_env.data.dialogue import header_date
from finemem_env.data.synthetic.png import _idat
from finemem_env.fields import strict_json
from finemem_env.operations import parse
from finemem_env.operations.extract import find_values
from finemem_env.readers.lexicon import stem
from finemem_env.readers.prompted import parse_reply
from finemem_env.scoring import METRICS, is_judged, score, strip_reasoning
from finemem_env.scoring.films import film_of, recommendations
from finemem_env.scoring.judged import content_verdict
from finemem_env.scoring.mem_alpha import first_boxed
from finemem_env.scoring.titles import edit_distance
from finemem_env.text import approx_tokens, sentence_key, split_sentences, words
from finemem_env.types import Question

SIZE = 16_000
BEFORE = ("", "answer", "\\boxed{")
UNITS = (" ", "\n", "\t \n", "<think>", "</think>", "{", '[{"', '\\"', "```", "a.", "1.", "\u0301",
         "\\boxed{", "\\text{", "answer: ", "used: 1\n", "*", "(", "(1999) ", "KEEP 1\n", "1)\n",
         "✿FUNCTION✿", "option ", "-", ", ", "a'", "க்", "no ")  # fmt: skip


def text(before: str, unit: str, size: int = SIZE) -> str:
    return before + unit * (size // len(unit))


@pytest.mark.parametrize("unit", UNITS)
def test_actions_and_replies_of_any_form(unit: str) -> None:
    for before in BEFORE:
        given = text(before, unit)
        parse(given, ["One.", "Two."])
        find_values(given)
        parse_reply(given, 5)
        content_verdict(given)
        strip_reasoning(given)


@pytest.mark.parametrize("unit", UNITS)
def test_texts_that_are_stored(unit: str) -> None:
    given = text("", unit)
    assert approx_tokens(given) <= len(given)
    assert len(words(given)) <= len(given)
    assert sum(map(len, split_sentences(given))) <= len(given)
    sentence_key(given)


FILMS = ["Heat (1995)", "Alien (1979)"]


@pytest.mark.parametrize("metric", [name for name in METRICS if not is_judged(name)])
def test_predictions_under_every_metric(metric: str) -> None:
    question = Question(
        "q", "Which?", tuple(FILMS), metric, choices=tuple(FILMS), metadata={"titles": FILMS}
    )
    for before in BEFORE:
        for unit in (" ", "\n", "\\boxed{", "(1999) ", "(1999)   ", "option "):
            assert 0.0 <= score(text(before, unit, SIZE // 2), question) <= 1.0


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("unit", [" ", "\n", "\\boxed{", "used", "* "])
def test_a_million_characters_of_a_reply(before: str, unit: str) -> None:
    given = text(before, unit, 1_000_000)
    assert parse_reply(given, 5)[1] == ()
    assert first_boxed(given) == given
    assert recommendations(given) is not None
    assert film_of(given[:SIZE], FILMS) in (None, *FILMS)


def test_a_long_recommendation_is_looked_up_by_its_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[int] = []

    def distance(one: str, two: str) -> int:
        compared.append(len(one))
        return edit_distance(one, two)

    monkeypatch.setattr("finemem_env.scoring.titles.edit_distance", distance)
    titles = [f"Film number {i}" for i in range(40)]
    for metric in ("recall@1", "mab/recall@1"):
        question = Question("q", "?", ("Film number 7",), metric, metadata={"titles": titles})
        assert score("Film number 7", question) == 1.0
        assert score("a" * 200_000, question) == 0.0
    assert 0 < max(compared) <= 1024


def test_the_first_closed_box_counts() -> None:
    assert first_boxed("\\boxed{a \\boxed{7} 8}") == "a \\boxed{7"
    assert first_boxed("7} \\boxed{8") == "7} \\boxed{8"
    assert first_boxed("so \\boxed{ 7 }, \\boxed{8}") == " 7 "


LONG = 200_000


def test_words_of_an_agent_are_stemmed_once() -> None:
    for word in ("\u05d4" * LONG + "1", "\u0627\u0644" * LONG + "1", "\u0434\u0301" * LONG + "_"):
        assert stem(word) == word
    assert stem("\u05e9\u05d1\u05d1\u05d9\u05ea\u05d9") == stem("\u05d1\u05d9\u05ea\u05d9")
    assert stem("\u0648\u0627\u0644\u0643\u062a\u0627\u0628") == "\u0643\u062a\u0627\u0628"


def test_marks_of_publishers_are_looked_for_once() -> None:
    assert _MARK.sub("", "a" + " " * LONG + "b ->-> 1,2") == "a" + " " * LONG + "b"
    assert header_date("[" + "2024-01-01 " * LONG) is None
    assert header_date("[Dialogue at 2024-01-01 09:30 on 2024-01-02 10:00]\nHello") == "2024-01-02"
    assert _SENTENCE_END.sub(" ", "." * LONG + "a. b") == "." * LONG + "a  b"


def test_a_key_that_is_there_twice_is_counted_once() -> None:
    keys = ", ".join(f'"k{i}": 1' for i in range(LONG))
    with pytest.raises(ValueError, match="the key 'k7' twice"):
        strict_json(f'{{{keys}, "k7": 1}}')


def test_a_picture_in_very_many_parts_is_joined_once() -> None:
    part = struct.pack(">I", 1) + b"IDATx" + bytes(4)
    assert _idat(bytes(8) + part * LONG) == b"x" * LONG


def test_replies_are_read_as_before() -> None:
    assert parse_reply("> **Answer:** Osta\n\n* Used items: 1, 2.", 2) == (
        "Osta",
        ((0, None), (1, None)),
    )
    assert parse_reply("Used: 2\n\nAnswer:\n Osta", 2) == ("Osta", ((1, None),))
    assert film_of("1. **Heat**  (1995), a classic", FILMS) == "Heat (1995)"
