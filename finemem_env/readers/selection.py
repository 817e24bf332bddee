"""Which sentence of the shown items answers a question: idf-weighted overlap, then the newest.

Sums over sets are exact (`fsum`), since their order changes from process to process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from math import fsum, log
from typing import NamedTuple

from finemem_env.readers.candidates import CANDIDATES, Candidate, Query
from finemem_env.text import tie_key

# One unit is the weight of a word that a single shown sentence holds.
_BEFORE = 0.4  # share that a question word counts which only the sentence before holds
_PAIR = 0.15  # share that two neighbours in the question count again, being neighbours here
_KIND = 0.6  # units for a new word of the asked kind
_EXACT = 0.03  # units per word that matches as written, not only by its stem
_RANK = 0.18  # units lost per rank of the item
_LONG = 0.3  # units lost by a sentence that must be cut to fit into the answer

_CLOSE = 0.85  # share of the best match from which a sentence with a number or date is a rival
_EQUAL = 0.98  # the same where nothing says which is newer
_ALIKE = 0.5  # shared words over all words of two sentences that say the same of the same subject
DECIMALS = 9  # scores this close are ties
_NONE: frozenset[str] = frozenset()


class Scored(NamedTuple):
    """A candidate of one request, in the `item` of that index.

    `match` is how well its own words fit the question; in `score` its place counts as well.
    """

    item: int
    candidate: Candidate
    match: float
    score: float


@lru_cache(maxsize=8192)
def idf(df: int, n: int) -> float:
    """Weight of a term that `df` of `n` texts hold."""
    return log(1 + (n - df + 0.5) / (df + 0.5))


def score_sentences(
    query: Query, items: Sequence[str], limit: int
) -> tuple[list[Scored], dict[str, float]]:
    """Every sentence that may answer, with its score, and the weights of the question's stems.

    None may where the shown texts do not name whom or what the question asks about: values without
    their subjects, and text that says nothing of this subject, answer nothing.

    Args:
        query: the question.
        items: shown texts, best ranked first.
        limit: longest answer, in `approx_tokens`.
    """
    found = [(rank, candidate) for rank, item in enumerate(items) for candidate in CANDIDATES[item]]
    if _misses(query, found):
        return [], {}
    shared = [query.terms & candidate.terms for _, candidate in found]
    counts: dict[str, int] = {}
    for terms in shared:
        for term in terms:
            counts[term] = counts.get(term, 0) + 1
    weights = {
        term: share * idf(counts.get(term, 0), len(found)) for term, share in query.shares.items()
    }
    unit = idf(1, len(found)) if found else 1.0
    scored: list[Scored] = []
    before, last = _NONE, -1  # what the sentence before shares, and its item
    for (rank, candidate), common in zip(found, shared, strict=True):
        if not candidate.asks:
            match = _match(query, candidate, common, weights, unit)
            score = match - unit * (_RANK * rank + _LONG * (candidate.tokens > limit))
            if before and last == rank:
                score += _BEFORE * fsum([weights[term] for term in before - common])
            scored.append(Scored(rank, candidate, match, score))
        before, last = common, rank
    return scored, weights


def _misses(query: Query, found: Sequence[tuple[int, Candidate]]) -> bool:
    """Whether too little of the question's subject stands in the sentences."""
    missing = query.subject
    most = len(missing) - query.least
    for _, candidate in found:
        missing -= candidate.terms
        if len(missing) <= most:
            return False
    return query.least > 0


def _match(
    query: Query,
    candidate: Candidate,
    shared: frozenset[str],
    weights: Mapping[str, float],
    unit: float,
) -> float:
    match = 0.0
    if shared:
        match = fsum([weights[term] for term in shared])
        match += _EXACT * unit * len(query.exact.intersection(candidate.words))
        if len(shared) > 1 or query.twin:
            match += _PAIR * fsum(_pairs(query, candidate.sequence, weights))
    if query.kind and not query.terms.issuperset(getattr(candidate.hints, query.kind)):
        match += _KIND * unit
    return match


def _pairs(query: Query, sequence: Sequence[str], weights: Mapping[str, float]) -> list[float]:
    """The weights of each pair of neighbours in the question that are neighbours here."""
    after = query.after
    find = after.get
    found = {one for one, other in pairwise(sequence) if find(one) == other}
    pairs = [weights[one] + weights[after[one]] for one in found]
    if query.pairs:
        others = query.pairs.intersection(pairwise(sequence))
        pairs += [weights[one] + weights[other] for one, other in others]
    return pairs


def best(question: str, scored: Sequence[Scored]) -> Scored:
    """The best sentence; among rivals that say the same of the same subject, the newest.

    Rivals that carry serial numbers or dates lose to the largest of their kind. What remains is
    decided by a hash, never by age or place, so that keeping a superseded fact costs.
    """
    most = max([one.score for one in scored])
    near = [one for one in scored if one.score > most - 1e-6]  # few are left to be rounded
    if len(near) > 1:
        top = round(most, DECIMALS)
        near = [one for one in near if round(one.score, DECIMALS) >= top]
    first = _drawn(question, near)
    rivals = [one for one in scored if one.match >= _CLOSE * first.match]
    if len(rivals) > 1:
        close = (_CLOSE if first.candidate.order else _EQUAL) * first.match
        rivals = [one for one in rivals if one.match >= close and alike(one, first)]
    return rivals[0] if len(rivals) == 1 else _drawn(question, list(_current(rivals)))


def _current(rivals: Sequence[Scored]) -> Iterable[Scored]:
    """The rivals that no other one of the same kind of order supersedes."""
    newest: dict[int, tuple[int, ...]] = {}
    for rival in rivals:
        order = rival.candidate.order
        if order:
            newest[order[0]] = max(order, newest.get(order[0], order))
    for rival in rivals:
        order = rival.candidate.order
        if not order or order == newest[order[0]]:
            yield rival


def _drawn(question: str, equals: Sequence[Scored]) -> Scored:
    if len(equals) == 1:
        return equals[0]
    return max(equals, key=lambda rival: tie_key(question, rival.candidate.text))


def alike(sentence: Scored, other: Scored) -> bool:
    """Whether two sentences share so many words that at most one of them holds."""
    a, b = sentence.candidate.topic, other.candidate.topic
    shared = len(a & b)
    return shared >= _ALIKE * (len(a) + len(b) - shared)


def bridge(
    query: Query, first: Scored, scored: Sequence[Scored], weights: Mapping[str, float]
) -> list[Scored]:
    """The other sentences, scored by what `first` names and by what it leaves open."""
    hints = first.candidate.hints
    wanted = {term: weights[term] for term in query.terms - first.candidate.terms}
    for term in {*hints.name, *hints.number} - query.terms:
        held = sum(term in sentence.candidate.terms for sentence in scored)
        wanted[term] = idf(held, len(scored))
    bridges = []
    for sentence in scored:
        match = fsum(map(wanted.__getitem__, wanted.keys() & sentence.candidate.terms))
        if match and not alike(sentence, first):
            bridges.append(sentence._replace(match=match, score=match))
    return bridges
