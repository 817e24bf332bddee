"""Porter's stemmer with the extensions of NLTK, which ROUGE with a stemmer is defined by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

_Condition = Callable[[str], bool]
_Rule = tuple[str, str, _Condition | None]

_EXCEPTIONS = """
    skies>sky sky>sky dying>die lying>lie tying>tie news>news innings>inning inning>inning
    outings>outing outing>outing cannings>canning canning>canning howe>howe proceed>proceed
    exceed>exceed succeed>succeed
"""
_IRREGULAR = dict(pair.split(">") for pair in _EXCEPTIONS.split())


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """The stem of a lower-case word."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 2:
        return word
    for step in (_step1a, _step1b, _step1c, _step2, _step3, _step4, _step5a, _step5b):
        word = step(word)
    return word


def _consonants(word: str) -> list[bool]:
    """Per letter, whether it is a consonant; a y is one at the start and after a vowel."""
    consonants: list[bool] = []
    for place, letter in enumerate(word):
        if letter == "y":
            consonants.append(place == 0 or not consonants[-1])
        else:
            consonants.append(letter not in "aeiou")
    return consonants


def _measure(word: str) -> int:
    """How often a vowel is followed by a consonant: m of [C](VC)^m[V]."""
    kinds = _consonants(word)
    return sum(1 for one, two in pairwise(kinds) if not one and two)


def _has_vowel(word: str) -> bool:
    return not all(_consonants(word))


def _doubled(word: str) -> bool:
    return len(word) >= 2 and word[-1] == word[-2] and _consonants(word)[-1]


def _short(word: str) -> bool:
    """Consonant, vowel, consonant other than w, x, y at the end; or a word of vowel, consonant."""
    kinds = _consonants(word)
    if len(word) == 2:
        return not kinds[0] and kinds[1]
    return len(word) > 2 and kinds[-3:] == [True, False, True] and word[-1] not in "wxy"


def _positive(word: str) -> bool:
    return _measure(word) > 0


def _large(word: str) -> bool:
    return _measure(word) > 1


def _apply(word: str, rules: Sequence[_Rule]) -> str:
    """The first rule whose suffix fits decides, whether its condition holds or not."""
    for suffix, replacement, condition in rules:
        if word.endswith(suffix):
            base = word[: len(word) - len(suffix)]
            return base + replacement if condition is None or condition(base) else word
    return word


def _step1a(word: str) -> str:
    if word.endswith("ies") and len(word) == 4:
        return word[:-1]
    rules: list[_Rule] = [("sses", "ss", None), ("ies", "i", None), ("ss", "ss", None)]
    return _apply(word, [*rules, ("s", "", None)])


def _step1b(word: str) -> str:
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _positive(word[:-3]) else word
    for suffix in ("ed", "ing"):
        base = word[: len(word) - len(suffix)]
        if word.endswith(suffix) and _has_vowel(base):
            return _repair(base)
    return word


def _repair(base: str) -> str:
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if _doubled(base):
        return base if base[-1] in "lsz" else base[:-1]
    return base + "e" if _measure(base) == 1 and _short(base) else base


def _step1c(word: str) -> str:
    base = word[:-1]
    fits = word.endswith("y") and len(base) > 1 and _consonants(base)[-1]
    return base + "i" if fits else word


def _step2(word: str) -> str:
    if word.endswith("alli") and _positive(word[:-4]):
        return _step2(word[:-2])
    if word.endswith("logi"):
        return word[:-1] if _positive(word[:-3]) else word
    return _apply(word, _STEP2)


def _step3(word: str) -> str:
    return _apply(word, _STEP3)


def _step4(word: str) -> str:
    return _apply(word, _STEP4)


def _ion(base: str) -> bool:
    return _large(base) and base[-1] in "st"


def _step5a(word: str) -> str:
    if not word.endswith("e"):
        return word
    base = word[:-1]
    if _large(base) or (_measure(base) == 1 and not _short(base)):
        return base
    return word


def _step5b(word: str) -> str:
    return word[:-1] if word.endswith("ll") and _large(word[:-1]) else word


def _rules(pairs: str, condition: _Condition) -> list[_Rule]:
    return [(suffix, to, condition) for suffix, to in (pair.split(">") for pair in pairs.split())]


_STEP2 = _rules(
    """
    ational>ate tional>tion enci>ence anci>ance izer>ize bli>ble alli>al entli>ent eli>e ousli>ous
    ization>ize ation>ate ator>ate alism>al iveness>ive fulness>ful ousness>ous aliti>al iviti>ive
    biliti>ble fulli>ful
    """,
    _positive,
)
_STEP3 = _rules("icate>ic ative> alize>al iciti>ic ical>ic ful> ness>", _positive)
_BEFORE_ION = "al> ance> ence> er> ic> able> ible> ant> ement> ment> ent>"
_AFTER_ION = "ou> ism> ate> iti> ous> ive> ize>"
_STEP4 = [*_rules(_BEFORE_ION, _large), ("ion", "", _ion), *_rules(_AFTER_ION, _large)]
