"""Answers that name more than one value: "QX417 or BD035" answers nothing, whatever the gold is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from finemem_env.scoring.matching import Form, form, tokens_of, without_articles
from finemem_env.types import Question

_Gram = tuple[str, ...]
_OPENING = 4
# The "no" behind these belongs to what follows: "has no car", "there is no doubt".
_HAVING = frozenset(("has", "have", "had", "is", "are", "was", "were", "theres", "with"))
# Yes and no in languages of many readers' data. A word with a star is an everyday word as well,
# such as the "no" of Spanish verbs: it takes back at the start or the end of an answer only.
_PAIRS = """yes/no true/false ja/nein ja/nee ja/nej oui/non sí/no* sì/no* sim/não* tak/nie*
evet/hayır ya/tidak* có*/không* да/нет* так/ні ναι/όχι نعم/لا* بله/نه כן/לא* हाँ/नहीं* हां/नहीं* হ্যাঁ/না*
ใช่/ไม่ใช่
是*/否 是*/不是 是的/不是 对*/不对 对*/错* 有*/没有
真*/假* 正确/错误 正しい/誤り はい/いいえ 예*/아니오 예*/아니요 네*/아니요"""


def _opposites() -> dict[_Gram, dict[str, bool]]:
    """What takes back each of these words, as `Form.plain`, and whether it is an everyday word."""
    opposites: dict[_Gram, dict[str, bool]] = {}
    for pair in _PAIRS.split():
        one, two = pair.split("/")
        for gold, other in ((one, two), (two, one)):
            others = opposites.setdefault(form(gold.rstrip("*")).tokens, {})
            others[form(other.rstrip("*")).plain] = other.endswith("*")
    return opposites


_OPPOSITES = _opposites()


class _Table(NamedTuple):
    """Values by their tokens, with and without articles; how many tokens those have, by the first.

    A value goes by its tokens with articles. Tokens are joined by spaces: an episode has hundreds
    of values, and the garbage collector would visit as many tuples.
    """

    grams: dict[str, str]
    sizes: dict[str, tuple[int, ...]]


def _table(values: Iterable[str]) -> _Table:
    whole = [gram for gram in map(tokens_of, values) if gram]
    named = [(bare, gram) for gram in whole if (bare := without_articles(gram)) is not gram]
    named += [(gram, gram) for gram in whole]
    grams: dict[str, str] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    one: dict[tuple[int, ...], tuple[int, ...]] = {}  # for all first tokens with the same sizes
    for gram, value in named:
        grams[" ".join(gram)] = " ".join(value)
        known = sizes.get(gram[0], ())
        if len(gram) not in known:
            both = (*known, len(gram))
            sizes[gram[0]] = one.setdefault(both, both)
    return _Table(grams, sizes)


class _Tables(dict[tuple[str, ...], _Table]):
    """Tables by list of values, bounded by the number of values: questions share few lists."""

    _MOST = 50_000

    def __init__(self) -> None:
        super().__init__()
        self._held = 0

    def __missing__(self, values: tuple[str, ...]) -> _Table:
        table = _table(values)
        if self._held + len(values) > self._MOST:
            self.clear()
            self._held = 0
        self._held += len(values)
        self[values] = table
        return table


_TABLES = _Tables()


def names_another(prediction: str, question: Question) -> bool:
    """Whether the answer holds a value of `question.excluded`, as it may hold a gold.

    What the question says, or a gold, may be said again: "A, B" within the gold "A, B, C".
    """
    table = _TABLES[question.excluded]
    others = _named(table, form(prediction))
    for text in (question.question, *question.answers):
        if not others:
            return False
        others -= _named(table, form(text))
    return bool(others)


def _named(table: _Table, text: Form) -> set[str]:
    """The values of the table that are in this text, wherever `contains` would find them."""
    found = _among(table, text.tokens)
    if text.bare is not text.plain:
        found |= _among(table, tuple(text.bare.split()))
    if text.apart is not text.plain:
        found |= _among(table, tuple(text.apart.split()))
    return found


def _among(table: _Table, tokens: _Gram) -> set[str]:
    starts = [
        (place, table.sizes[token]) for place, token in enumerate(tokens) if token in table.sizes
    ]
    grams = [" ".join(tokens[place : place + size]) for place, sizes in starts for size in sizes]
    return {table.grams[gram] for gram in grams if gram in table.grams}


def takes_back(prediction: Form, gold: Form, golds: Sequence[Form]) -> bool:
    """Whether the gold is yes or no and the answer says the other one, no gold, as well.

    After an opening "yes", a "no" counts among the next words only ("yes or no"): what follows may
    explain, as may "Yes, he has no car". "不是" holds the gold "是", and takes it back.
    """
    others = _OPPOSITES.get(gold.tokens)
    if others is None:
        return False
    valid = {answer.plain for answer in golds}
    texts = dict.fromkeys((prediction.plain, prediction.apart))
    return any(_says_other(text, gold, others, valid) for text in texts)


def _says_other(plain: str, gold: Form, others: dict[str, bool], valid: set[str]) -> bool:
    """The same of one form of the answer."""
    tokens, size = plain.split(), len(gold.tokens)
    opens = tuple(tokens[:size]) == gold.tokens
    near = f" {' '.join(_opening(tokens, size))} " if opens else plain
    for other, everyday in others.items():
        text = plain if everyday else near
        if other in gold.plain:
            text = text.replace(gold.plain, " | ")
        if other not in valid and other in (_ends(text) if everyday else text):
            return True
    return False


def _opening(tokens: Sequence[str], size: int) -> list[str]:
    """The first words, without a "no" that only denies the thing behind it."""
    near = tokens[: size + _OPENING - 1]

    def denies_a_thing(place: int) -> bool:
        after_verb = place > 0 and near[place - 1] in _HAVING
        return near[place] == "no" and after_verb and place + 1 < len(tokens)

    return [word for place, word in enumerate(near) if not denies_a_thing(place)]


def _ends(text: str) -> set[str]:
    tokens = text.split() or [""]
    return {f" {tokens[0]} ", f" {tokens[-1]} "}
