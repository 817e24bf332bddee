"""Word knowledge of the local reader: stems, function words, and what a question asks for.

Mostly English, and only ever a bonus: in other languages words match by their first letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from finemem_env.readers.question_words import QUESTION_WORDS, Kind
from finemem_env.text import TextCache
from finemem_env.text.search_terms import search_terms
from finemem_env.text.sentence_ends import CLOSING
from finemem_env.text.unicode_tables import MARK

_IRREGULAR = """
    win won, begin began begun, lead led, fight fought, write wrote written, become became,
    give gave given, take took taken, make made, hold held, build built, grow grew grown,
    know knew known, leave left, lose lost, meet met, sell sold, send sent, speak spoke spoken,
    teach taught, think thought, find found, see saw seen, say said, go went gone, get got,
    come came, bring brought, buy bought, choose chose chosen, draw drew drawn, fall fell fallen,
    keep kept, pay paid, run ran, sing sang sung, spend spent, tell told, die died death dead,
    born birth, man men, woman women, child children, person people, wife wives, beat beaten defeat
"""
_ENGLISH = ("what", "which", "who", "whom", "whose", "when", "where", "how", "why")
ASKING = frozenset((*_ENGLISH, *QUESTION_WORDS))  # as search terms
_SUFFIXES = ("ing", "ied", "ies", "ed", "es", "ly", "s", "e")
_LETTERS = 5  # of the stem that are kept: founded, founder and foundation all become "found"

_MARKS = tuple("?？؟⁇⁈⁉‽⸮﹖፧꘏꫱")
_AFTER_MARKS = CLOSING + "!！…. \u00a0\u202f"  # "« Où est Mara ? »", "Where is she?!"
_ARMENIAN_MARK = "՞"  # over the vowel of the word that asks
_GREEK_MARKS = (";", "\u037e")
_GREEK_QUESTION = re.compile("[\u0370-\u03ff\u1f00-\u1fff][\u0300-\u0345]?[;\u037e]\\Z")
# In other alphabets: the first letters, after the article of Arabic and the particles that Hebrew
# writes before a word. Nothing is tried again over the length of a word, which an agent may write.
_OPENING = re.compile(
    rf"(?=(?:[^\W\d_]|{MARK})++\Z)"
    rf"(?:[وبكف]?ال(?=[^\W\d_]{{3}})|[הובכלמש]{{1,16}}(?=[א-ת]{{3}}))?((?:[^\W\d_]{MARK}*+){{1,4}})"
)
_QUESTION = re.compile(
    r"\b(?:(?P<name>who|whom|whose|where)|"
    r"(?P<number>how (?:many|much|long|old|far|often)|what percent)|"
    r"(?P<date>when|(?:what|which) (?:year|date|day|month|century|decade)))\b",
    re.IGNORECASE,
)
_CLOSED = re.compile(
    r"(?=\W*(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|am|shall|might|"
    r"must|won(?=['’]t))(?:n?['’]t)?\b)(?!.*\bor\b)",
    re.IGNORECASE | re.DOTALL,
)
_YES_OR_NO = re.compile(r"\b(?:yes|true) or (?:no|false)\b", re.IGNORECASE)
_NUMBERS = """
    one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred
    thousand million billion half third quarter dozen once twice
"""
_NUMERALS = frozenset(_NUMBERS.split())
NUMBER = re.compile(rf"\d|\b(?:{'|'.join(sorted(_NUMERALS))})\b", re.IGNORECASE)
_TIMES = """
    january february march april may june july august september october november december century
    monday tuesday wednesday thursday friday saturday sunday
"""
_DATES = frozenset(_TIMES.split())
DATE = re.compile(rf"\b(?:1\d{{3}}|20\d\d|\d+s|{'|'.join(sorted(_DATES))})\b", re.IGNORECASE)


def _stripped(word: str) -> str:
    if not word.endswith(_SUFFIXES):
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3 and not word.endswith("ss"):
            return word[: -len(suffix)] + ("y" if suffix in ("ied", "ies") else "")
    return word


_FAMILY = {form: group.split()[0] for group in _IRREGULAR.split(",") for form in group.split()}


Word = tuple[str, bool, bool]
"""A search term: its stem, and whether it says a number or a date.

The stem is what makes two words match: founded, founder and foundation are one. In other alphabets
than English it is a word's first letters, in Arabic without the article. Words with a digit stay
whole. (A plain tuple: full garbage collections pass over those, not over named ones.)
"""


def _read(term: str) -> Word:
    if term.isascii() and term.isalpha():
        return _stem(term), term in _NUMERALS, term in _DATES
    return _stem(term), NUMBER.search(term) is not None, DATE.fullmatch(term) is not None


WORDS: TextCache[Word] = TextCache(_read, max_chars=600_000)


def stem(term: str) -> str:
    """What makes a search term match another."""
    return WORDS[term][0]


def _stem(word: str) -> str:
    family = _FAMILY.get(word)
    if family is not None:
        return family
    if word.isascii():
        return _stripped(word)[:_LETTERS] if word.isalpha() else word
    start = _OPENING.match(word)
    return start[1] if start else word


def asked_kind(question: str) -> Kind | None:
    """What kind of word answers the question, None where its form does not say."""
    match = _QUESTION.search(question)
    if match:
        return match.lastgroup  # type: ignore[return-value]
    if question.isascii():
        return None
    kinds = (QUESTION_WORDS.get(term) for term in search_terms(question))
    return next((kind for kind in kinds if kind), None)


def is_name(word: str) -> bool:
    """Whether a word inside a sentence is written as a name: with a capital."""
    return word[0].isupper()


def asks(sentence: str) -> bool:
    """Whether it is a question, which answers none."""
    ending = sentence.rstrip(_AFTER_MARKS)
    return (
        ending.endswith(_MARKS)
        or _ARMENIAN_MARK in sentence
        or (ending.endswith(_GREEK_MARKS) and _GREEK_QUESTION.search(ending[-3:]) is not None)
    )


def is_closed(question: str) -> bool:
    """Whether yes or no answers it: "Is A open?", "Yes or no: …", not "Is A or B open?"."""
    return _CLOSED.match(question) is not None or _YES_OR_NO.search(question) is not None


def verdict(sentence: Sequence[str]) -> str:
    """The yes or no that a sentence, given as its words, begins or ends with; else ""."""
    ends = [word for word in (*sentence[-1:], *sentence[:1]) if word in ("yes", "no")]
    return ends[0] if ends else ""
