"""Overlap of a question and a sentence, against the definition."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from finemem_env.readers.candidates import QUERIES
from finemem_env.readers.lexicon import stem
from finemem_env.readers.selection import _pairs

WORDS = st.lists(st.sampled_from(["alba", "bruno", "carla"]), min_size=1, max_size=8)


@given(WORDS, WORDS)
def test_pairs_are_the_neighbours_of_both_each_once(asked: list[str], said: list[str]) -> None:
    query = QUERIES[" ".join(asked)]
    weights = {word: float(2 * place + 1) for place, word in enumerate(sorted(query.shares))}
    both = {*pairwise(stems(asked))} & {*pairwise(stems(said))}
    found = _pairs(query, stems(said), weights)
    assert sorted(found) == sorted(weights[one] + weights[other] for one, other in both)
    assert query.twin == any(one == other for one, other in pairwise(stems(asked)))


def stems(words: list[str]) -> list[str]:
    """The stems of words, in order."""
    return [stem(word) for word in words]
