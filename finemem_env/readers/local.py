"""The default reasoning agent: deterministic, without a model, and never longer than it may be.

It answers from the shown texts alone, by `ReadRequest.task`:

- fact: the sentence that fits the question best (`selection`), cut to `answer_tokens` (`windows`),
  and to a span of it where the question asks for a name, a date or a number;
- multi_hop: that sentence and the one that goes on from what it names;
- label: the label that the five most similar labelled example lines vote for. An example is one
  line, "<text> label: <label>" or "<text> -> <label>" (`text.parse_example`);
- summary: the shown texts, best ranked first, as far as `answer_tokens` reaches;
- choice: the choice whose words stand in the sentences that fit the question best.

A question that yes or no answers gets one of them only where a text says all of the question with
it ("Is the gate of Osta open → yes"): this reader draws no conclusions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from math import fsum
from typing import NamedTuple

from finemem_env.readers.candidates import EXAMPLES, QUERIES, Candidate, Example, Query, stems
from finemem_env.readers.lexicon import verdict
from finemem_env.readers.selection import DECIMALS, Scored, best, bridge, idf, score_sentences
from finemem_env.readers.windows import cut, trim
from finemem_env.text import approx_tokens, normalise, split_sentences, tie_key, words
from finemem_env.types import Answer, ReadRequest, Task

_VOTES = 5
_SPAN = 24  # tokens of what is quoted for a name, a date or a number
_CUT = 0.85  # of an answer's tokens, for a stretch of a sentence that is longer than an answer
_COVERED = 0.8  # of the question's content words, in a sentence that answers with yes or no
_ALIKE = 0.4  # of such a sentence's words, in the question's content
_NOTHING = Answer("")
_Place = tuple[int, int]  # item, sentence


class LocalReader:
    """Reads by word overlap; the same request always gets the same answer.

    `Answer.used` names the sentences the answer was taken from, item by item as in the request; the
    core, where there is one, is read as one more item after them. It costs no tokens.
    """

    version = "local/2"

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        """One answer per request, in order; "" where no shown text says anything."""
        return [_answer(request, request.texts) for request in requests]


def _answer(request: ReadRequest, texts: Sequence[str]) -> Answer:
    if request.task in ("fact", "multi_hop") and QUERIES[request.question].closed:
        return _closed(request, texts)
    return _TASKS[request.task](request, texts)


def _place(scored: Scored) -> _Place:
    return scored.item, scored.candidate.index


def _fact(request: ReadRequest, texts: Sequence[str]) -> Answer:
    query = QUERIES[request.question]
    scored, weights = score_sentences(query, texts, request.answer_tokens)
    if not scored:
        return _NOTHING
    chosen = best(request.question, scored)
    room = _room(chosen, request.answer_tokens, request)
    return Answer(_quoted(chosen.candidate, room, query, weights), (_place(chosen),))


def _quoted(candidate: Candidate, room: int, query: Query, weights: Mapping[str, float]) -> str:
    """What answers best of a sentence, in at most `room` tokens."""
    if candidate.tokens <= room:
        return candidate.text
    return cut(candidate.text, room, query, weights)


def _room(scored: Scored, room: int, request: ReadRequest) -> int:
    """Tokens that a quotation may have: a span where the question asks for a name or a number.

    And fewer where the sentence is too long to be an answer. Else text whose full stops were
    deleted would be quoted forty tokens at a time, and sentences, which are shorter, would not.
    """
    limit = request.answer_tokens
    if QUERIES[request.question].kind:
        return min(room, _SPAN)
    return min(room, int(_CUT * limit)) if scored.candidate.tokens > limit else room


def _multi_hop(request: ReadRequest, texts: Sequence[str]) -> Answer:
    query, limit = QUERIES[request.question], request.answer_tokens
    scored, weights = score_sentences(query, texts, limit)
    if not scored:
        return _NOTHING
    first = best(request.question, scored)
    others = bridge(query, first, scored, weights)
    room = limit - 1  # for the space between the two
    if not others or room < 2:
        return _fact(request, texts)
    second = best(request.question, others)
    share = max(room // 2, room - second.candidate.tokens)
    head = _quoted(first.candidate, _room(first, share, request), query, weights)
    rest = _room(second, room - approx_tokens(head), request)
    tail = _quoted(second.candidate, rest, query, weights)
    return Answer(f"{head} {tail}".strip(), (_place(first), _place(second)))


def _closed(request: ReadRequest, texts: Sequence[str]) -> Answer:
    """The yes or no of the sentence that says the whole question; else what a fact would get."""
    query = QUERIES[request.question]
    scored, _ = score_sentences(query, texts, request.answer_tokens)
    stated = [
        one for one in scored if verdict(one.candidate.words) and _says(one, query.heads.keys())
    ]
    if stated:
        chosen = best(request.question, stated)
        return Answer(verdict(chosen.candidate.words), (_place(chosen),))
    answer = _TASKS[request.task](request, texts)
    return _NOTHING if {"yes", "no"}.intersection(words(answer.text)) else answer


def _says(scored: Scored, content: Set[str]) -> bool:
    """Whether a sentence says all that the question does, and not much else: it is no word list."""
    shared = len(content & scored.candidate.terms)
    return shared >= _COVERED * len(content) and shared >= _ALIKE * len(scored.candidate.terms)


def _summary(request: ReadRequest, texts: Sequence[str]) -> Answer:
    parts: list[str] = []
    used: list[_Place] = []
    room = request.answer_tokens
    for i, text in enumerate(texts):
        for j, sentence in enumerate(split_sentences(text)):
            part = trim(sentence, room)
            if not part:
                return Answer(" ".join(parts), tuple(used))
            parts.append(part)
            used.append((i, j))
            room -= approx_tokens(part) + 1
    return Answer(" ".join(parts), tuple(used))


def _label(request: ReadRequest, texts: Sequence[str]) -> Answer:
    if not any(EXAMPLES[text] for text in texts):
        return _fact(request, texts)
    voters = _nearest(request.question, texts)
    if not voters:
        return _NOTHING
    votes: defaultdict[str, float] = defaultdict(float)
    for voter in voters:
        votes[normalise(voter.example.label)] += voter.likeness
    winner = max(
        votes, key=lambda label: (round(votes[label], DECIMALS), tie_key(request.question, label))
    )
    won = [voter for voter in voters if normalise(voter.example.label) == winner]
    text = trim(won[0].example.label, request.answer_tokens)
    return Answer(text, tuple((voter.item, voter.example.index) for voter in won))


class _Voter(NamedTuple):
    likeness: float
    item: int
    example: Example


def _nearest(question: str, texts: Sequence[str]) -> list[_Voter]:
    """The example lines most like the question, the nearest first, at most `_VOTES`.

    Likeness: idf of the shared words over the root of the example's length.
    """
    query = QUERIES[question]
    # A line that is stored twice has one vote.
    lines = {one.line: (i, one) for i, text in enumerate(texts) for one in EXAMPLES[text]}
    examples = list(lines.values())
    shared = [query.terms & example.terms for _, example in examples]
    counts = Counter([term for terms in shared for term in terms])
    weigh = {term: idf(df, len(examples)) for term, df in counts.items()}.__getitem__
    likeness = [
        round(fsum(map(weigh, terms)) / example.root, DECIMALS) if terms else 0.0
        for terms, (_, example) in zip(shared, examples, strict=True)
    ]
    least = sorted(likeness, reverse=True)[:_VOTES][-1]
    near = [
        _Voter(value, i, example)
        for value, (i, example) in zip(likeness, examples, strict=True)
        if value and value >= least
    ]
    near.sort(key=lambda voter: (-voter.likeness, tie_key(question, voter.example.line)))
    return near[:_VOTES]


def _choice(request: ReadRequest, texts: Sequence[str]) -> Answer:
    query = QUERIES[request.question]
    scored, weights = score_sentences(query, texts, request.answer_tokens)
    if not scored or not request.choices:
        return _fact(request, texts)
    whole = fsum(weights.values()) or 1.0
    ranked = []
    for choice in request.choices:
        named = stems(choice) - query.terms or stems(choice)
        for sentence in scored:
            share = len(named & sentence.candidate.terms) / max(len(named), 1)
            support = round(share * (1 + sentence.match / whole), DECIMALS)
            ranked.append((support, tie_key(request.question, choice), choice, _place(sentence)))
    support, _, choice, place = max(ranked)
    return Answer(trim(choice, request.answer_tokens), (place,)) if support else _NOTHING


_TASKS: dict[Task, Callable[[ReadRequest, Sequence[str]], Answer]] = {
    "fact": _fact,
    "multi_hop": _multi_hop,
    "label": _label,
    "summary": _summary,
    "choice": _choice,
}
