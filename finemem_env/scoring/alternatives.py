"""Answers that name more than one value: "QX417 or BD035" answers nothing, whatever the gold is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from finemem_env.scoring.matching import Form, form, tokens_of
from finemem_env.types import Question

_Gram = tuple[str, ...]
_OPENING = 4
_OPPOSITES: dict[_Gram, str] = {("yes",): "no", ("no",): "yes"}


class _Table(NamedTuple):
    """Values as tokens, and how many tokens a value has."""

    grams: frozenset[_Gram]
    sizes: tuple[int, ...]


class _Tables(dict[tuple[str, ...], _Table]):
    """Tables by list of values, bounded by the number of values: questions share few lists."""

    _MOST = 50_000

    def __init__(self) -> None:
        super().__init__()
        self._held = 0

    def __missing__(self, values: tuple[str, ...]) -> _Table:
        grams = frozenset(gram for gram in map(tokens_of, values) if gram)
        table = _Table(grams, tuple(sorted(set(map(len, grams)))))
        if self._held + len(values) > self._MOST:
            self.clear()
            self._held = 0
        self._held += len(values)
        self[values] = table
        return table


_TABLES = _Tables()


def names_another(prediction: str, question: Question) -> bool:
    """Whether the answer holds a value of `question.excluded`, on token borders.

    What the question says, or a gold, may be said again: "A, B" within the gold "A, B, C".
    """
    table = _TABLES[question.excluded]
    others = table.grams.intersection(_grams(form(prediction).tokens, table.sizes))
    for text in (question.question, *question.answers):
        if not others:
            return False
        others = others.difference(_grams(form(text).tokens, table.sizes))
    return bool(others)


def _grams(tokens: _Gram, sizes: Iterable[int]) -> Iterable[_Gram]:
    return (tokens[i : i + size] for size in sizes for i in range(len(tokens) - size + 1))


def takes_back(prediction: Form, gold: Form, golds: Sequence[Form]) -> bool:
    """Whether the gold is yes or no and the answer says the other one, no gold, as well.

    After an opening "yes", a "no" counts among the next words only ("yes or no"): what follows may
    explain.
    """
    other = _OPPOSITES.get(gold.tokens)
    if other is None or any(answer.tokens == (other,) for answer in golds):
        return False
    opens = prediction.tokens[:1] == gold.tokens
    return other in prediction.tokens[: _OPENING if opens else None]
