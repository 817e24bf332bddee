"""Filters on candidates, and near-duplicates against a brute-force definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finemem_env.chunk_qa.candidates import (
    CandidateQuestion,
    NearDuplicates,
    holding_sentence,
    sound,
)
from finemem_env.text import words

TEXT = "It rained. Mara lives in Osta, near the old mill. She is 41 years old."


@pytest.mark.parametrize(
    ("question", "answer", "good"),
    [
        ("Where does Mara live?", "Osta", True),
        ("How old is Mara?", "41", True),
        ("Where is it that Mara lives?", "near the old mill", True),
        ("Where does Mara live?", "Paris", False),  # not in the chunk
        ("Does Mara live in Osta?", "Osta", False),  # in the question
        ("Is Mara old or young?", "yes", False),
        ("How old is Mara?", "4", False),  # part of a number
        ("How old is Mara?", "", False),
        ("How old?", "41", False),  # too short to be understood
        ("What is said here?", TEXT, False),  # too long to be an answer
    ],
)
def test_sound(question: str, answer: str, good: bool) -> None:
    assert sound(CandidateQuestion(question, answer), TEXT) is good


def test_holding_sentence_shares_most_with_the_question() -> None:
    text = "Osta is far. Mara lives in Osta. Osta is cold."
    assert holding_sentence(text, "Where does Mara live?", "Osta") == "Mara lives in Osta."
    assert holding_sentence(text, "Where does Mara live?", "Paris") is None


def test_candidate_as_question() -> None:
    question = CandidateQuestion(
        "Where does Mara live?", "Osta", "Mara lives in Osta."
    ).as_question("c3-q0", 3, 7)
    assert (question.id, question.valid_until, question.type) == ("c3-q0", 7, "fact")
    assert question.metric == "substring_exact_match"
    assert [(one.chunk, one.sentence) for one in question.evidence] == [(3, "Mara lives in Osta.")]


@given(
    st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=7), max_size=25),
    st.booleans(),
)
def test_near_duplicates_are_those_of_the_definition(
    questions: list[list[str]], counted: bool
) -> None:
    known = NearDuplicates(" ".join(one) for one in questions if counted)
    kept: list[frozenset[str]] = []
    for letters in questions:
        text = " ".join(letters)
        asked = frozenset(words(text))
        new = all(len(asked & one) < 0.8 * len(asked | one) for one in kept)
        assert known.add(text) is new
        if new:
            kept.append(asked)


def test_near_duplicates_of_final_questions_are_known() -> None:
    known = NearDuplicates()
    assert known.add("Where does Mara live now?")
    assert not known.add("where does mara LIVE now")
    assert known.add("Where does Tom live?")


def test_many_questions_cost_little() -> None:
    questions = [f"What did p{i} say about place{i % 97} in the year {i}?" for i in range(5000)]
    known = NearDuplicates(questions)
    assert all(map(known.add, questions))
    assert max(map(len, known._index.values())) < 100  # all that one is compared with
