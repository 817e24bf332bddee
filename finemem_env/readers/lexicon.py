"""Word knowledge of the local reader: stems, function words, and what a question asks for.

English only, and only ever a bonus: in other languages words match as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from finemem_env.text import TextCache

__all__ = ["DATE", "NUMBER", "STOP", "Kind", "asked_kind", "is_closed", "stem", "verdict"]

Kind = Literal["name", "date", "number"]

_FUNCTION_WORDS = """
    a an the of in on at to for from by with and or but is are was were be been being am do does did
    has have had what which who whom whose when where why how that this these those it its as into
    than then there their they he she his her him them not no so if s t will would can could may
    might should
"""
STOP = frozenset(_FUNCTION_WORDS.split())
_IRREGULAR = """
    win won, begin began begun, lead led, fight fought, write wrote written, become became,
    give gave given, take took taken, make made, hold held, build built, grow grew grown,
    know knew known, leave left, lose lost, meet met, sell sold, send sent, speak spoke spoken,
    teach taught, think thought, find found, see saw seen, say said, go went gone, get got,
    come came, bring brought, buy bought, choose chose chosen, draw drew drawn, fall fell fallen,
    keep kept, pay paid, run ran, sing sang sung, spend spent, tell told, die died death dead,
    born birth, man men, woman women, child children, person people, wife wives, beat beaten defeat
"""
_SUFFIXES = ("ing", "ied", "ies", "ed", "es", "ly", "s", "e")
_LETTERS = 5  # of the stem that are kept: founded, founder and foundation all become "found"

_QUESTION = re.compile(
    r"\b(?:(?P<name>who|whom|whose|where)|"
    r"(?P<number>how (?:many|much|long|old|far|often)|what percent)|"
    r"(?P<date>when|(?:what|which) (?:year|date|day|month|century|decade)))\b",
    re.IGNORECASE,
)
_CLOSED = re.compile(
    r"(?!.*\bor\b)\W*(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should)\b",
    re.IGNORECASE | re.DOTALL,
)
NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|"
    r"fifty|hundred|thousand|[mb]illion|half|third|quarter|dozen|once|twice)\b",
    re.IGNORECASE,
)
DATE = re.compile(
    r"\b(?:1\d{3}|20\d\d|\d+s|january|february|march|april|may|june|july|august|september|october|"
    r"november|december|century|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b",
    re.IGNORECASE,
)


def _stripped(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3 and not word.endswith("ss"):
            return word[: -len(suffix)] + ("y" if suffix in ("ied", "ies") else "")
    return word


_FAMILY = {form: group.split()[0] for group in _IRREGULAR.split(",") for form in group.split()}


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """What makes two case-folded words match: founded, founder and foundation are one.

    Words with a digit and words of other scripts than Latin's 26 letters stay whole.
    """
    return _STEMS[word]


def _stem(word: str) -> str:
    family = _FAMILY.get(word)
    if family is not None:
        return family
    if not (word.isascii() and word.isalpha()):
        return word
    return _stripped(word)[:_LETTERS]


_STEMS: TextCache[str] = TextCache(_stem)


def asked_kind(question: str) -> Kind | None:
    """What kind of word answers the question, None where its form does not say."""
    match = _QUESTION.search(question)
    return match.lastgroup if match else None  # type: ignore[return-value]


def is_closed(question: str) -> bool:
    """Whether yes or no answers it: "Is A open?", not "Is A or B open?"."""
    return _CLOSED.match(question) is not None


def verdict(sentence: Sequence[str]) -> str:
    """The yes or no that a sentence, given as its words, begins or ends with; else ""."""
    ends = [word for word in (*sentence[-1:], *sentence[:1]) if word in ("yes", "no")]
    return ends[0] if ends else ""
