"""Packing: nothing lost, nothing cut, nothing larger than asked, and questions dealt out once."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from finemem_env.data.packing import (
    Passage,
    deal_questions,
    draw_targets,
    pack,
    sentence_spans,
    split_evenly,
)
from finemem_env.data.passages import Layout
from finemem_env.text import approx_tokens, normalise, split_sentences
from finemem_env.types import Evidence, Question

WORDS = st.sampled_from(["Ana", "met", "Dr. Who", "in", "Rome", "42", "中文", "why", "e.g.", "x"])
SENTENCES = st.builds(
    lambda words, end: " ".join(words) + end,
    st.lists(WORDS, min_size=1, max_size=6),
    st.sampled_from([".", "!", "?", "。", ""]),
)
TEXTS = st.lists(SENTENCES, min_size=1, max_size=5).map(" ".join)
PASSAGES = st.lists(
    st.builds(Passage, TEXTS, st.sampled_from(["", "A title", "Another one"])),
    min_size=1,
    max_size=6,
)
TARGETS = st.lists(st.integers(1, 50), min_size=1, max_size=7)


def _told(passages: list[Passage], layout: Layout) -> list[str]:
    """Sentences in the order in which the chunks tell them, without those that a piece cuts.

    Those of the passage: at the start of a piece, "42. Ana." is a sentence with its number.
    """
    return [
        text[start:end]
        for chunk in layout.chunks
        for piece in chunk.pieces
        for text in [passages[piece.passage].text]
        for start, end in sentence_spans(text)
        if piece.start <= start and end <= piece.end
    ]


def test_a_number_that_begins_a_chunk_is_no_loss() -> None:
    passages = [Passage("Ana. Ana. 42. Ana.", "")]
    chunks = pack(passages, [1, 1, 4], approx_tokens)
    assert [chunk.text for chunk in chunks] == ["Ana.", "Ana.", "42. Ana."]
    assert _told(passages, Layout.of(passages, chunks)) == ["Ana.", "Ana.", "42.", "Ana."]


@given(PASSAGES, TARGETS)
def test_pack_never_loses_or_cuts_a_sentence(passages: list[Passage], targets: list[int]) -> None:
    chunks = pack(passages, targets, approx_tokens)
    told = _told(passages, Layout.of(passages, chunks))
    every = [sentence for passage in passages for sentence in split_sentences(passage.text)]
    assert told == every[: len(told)]
    if len(chunks) < len(targets):
        assert told == every


def test_pack_stops_where_the_targets_run_out_inside_a_passage() -> None:
    passages = [Passage("Ana. Ana met Ana.", ""), Passage("Rome.", "")]
    (chunk,) = pack(passages, [4], approx_tokens)
    assert chunk.text == "Ana."


@given(PASSAGES, TARGETS)
def test_pack_keeps_titles_and_targets(passages: list[Passage], targets: list[int]) -> None:
    for chunk, target in zip(pack(passages, targets, approx_tokens), targets, strict=False):
        assert chunk.pieces
        for piece in chunk.pieces:
            passage = passages[piece.passage]
            part = passage.text[piece.start : piece.end]
            assert (f"{passage.title}\n{part}" if passage.title else part) in chunk.text
        if approx_tokens(chunk.text) > target:
            # Only a single sentence may be too long.
            (piece,) = chunk.pieces
            text = passages[piece.passage].text[piece.start : piece.end]
            assert len(split_sentences(text)) == 1


@given(PASSAGES, st.integers(1, 9))
def test_split_evenly_tells_every_passage_once(passages: list[Passage], count: int) -> None:
    chunks = split_evenly(passages, count, approx_tokens)
    assert 1 <= len(chunks) <= count
    assert [p.passage for chunk in chunks for p in chunk.pieces] == list(range(len(passages)))
    assert [len(passages[p.passage].text) for c in chunks for p in c.pieces] == [
        piece.end for chunk in chunks for piece in chunk.pieces
    ]


def test_split_evenly_makes_equal_chunks() -> None:
    passages = [Passage(f"Sentence number {i} is here.") for i in range(40)]
    sizes = [len(chunk.pieces) for chunk in split_evenly(passages, 10, approx_tokens)]
    assert sizes == [4] * 10


def test_a_passage_is_cut_only_when_it_is_larger_than_its_chunk() -> None:
    short, long = Passage("One two three.", "T"), Passage("A b c. D e f. G h i. J k l.", "T")
    chunks = pack([short, long, short], [12, 12, 12, 12], approx_tokens)
    assert [chunk.text for chunk in chunks] == [
        "T\nOne two three.",
        "T\nA b c. D e f.",
        "T\nG h i. J k l.",
        "T\nOne two three.",
    ]


def test_targets_are_uniform_over_the_bounds() -> None:
    drawn = draw_targets(np.random.default_rng(0), 4000, (100, 2048))
    assert min(drawn) >= 100
    assert max(drawn) <= 2048
    assert abs(np.mean(drawn) - 1074) < 30
    assert draw_targets(np.random.default_rng(0), 3, (500, 500)) == (500, 500, 500)


@given(TEXTS)
def test_sentence_spans_are_the_sentences(text: str) -> None:
    assert tuple(text[start:end] for start, end in sentence_spans(text)) == split_sentences(text)


def test_evidence_is_every_sentence_that_the_span_touches() -> None:
    passages = [Passage("Ana is 7. Bob is 9. Cy is 3.")]
    layout = Layout.of(passages, pack(passages, [9, 9, 9], approx_tokens))
    start = passages[0].text.index("7")
    assert layout.evidence(0, start, start + 1) == (Evidence(0, "Ana is 7."),)
    assert layout.evidence(0, start, start + 5) == (
        Evidence(0, "Ana is 7."),
        Evidence(0, "Bob is 9."),
    )
    assert layout.evidence(5, 0, 1) == ()


def test_evidence_that_did_not_fit_is_none() -> None:
    passages = [Passage("Ana is 7. Bob is 9. Cy is 3.")]
    layout = Layout.of(passages, pack(passages, [9], approx_tokens))
    assert layout.chunks[0].text == "Ana is 7. Bob is 9."
    assert layout.evidence(0, 20, 25) == ()


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4)), max_size=60), st.integers(0, 99))
def test_questions_are_dealt_out_once(drawn: list[tuple[int, int]], seed: int) -> None:
    questions = [
        Question(f"q{i}", f"Question {number}?", ("a",), evidence=(Evidence(step),))
        for i, (number, step) in enumerate(drawn)
    ]
    reserved, final = deal_questions(np.random.default_rng(seed), questions, 5, most=20)
    dealt = [question for part in (*reserved, final) for question in part]
    texts = [normalise(question.question) for question in dealt]
    assert len(set(texts)) == len(texts)
    assert len(final) <= 20
    for step, part in enumerate(reserved):
        assert len(part) <= 5
        assert all(question.evidence[0].chunk == step for question in part)
    if len(dealt) < 20:
        assert set(texts) == {normalise(question.question) for question in questions}
    if questions:
        assert final


def test_a_question_on_two_chunks_is_never_a_chunk_question() -> None:
    evidence = (Evidence(0), Evidence(1))
    questions = [Question(f"q{i}", f"Q {i}?", ("a",), evidence=evidence) for i in range(9)]
    reserved, final = deal_questions(np.random.default_rng(0), questions, 2)
    assert reserved == [(), ()]
    assert len(final) == 9
