"""Normal forms in which a prediction and a gold answer are compared. Used by scoring only.

A normal form is a sequence of tokens, and text is matched on token borders: "no" is not in "know",
and "3" is not in "3.5", "3,5" or "1,300". Case, Unicode width, thousands separators, the dots of
abbreviations, possessive 's, and punctuation do not matter. Where a script does not part words by
spaces (`text.words`), each letter with its marks is a token, so that words inside a run of them are
found; a name is also found behind or before an apostrophe ("l'Aquila", "Ankara'da"). Articles are
ignored except at the end, where "a" is a name ("Vitamin A"). Spellings that writers of one language
exchange are one: vowel signs of Arabic and Hebrew, digits, accents that capitals lack.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from finemem_env.text import TextCache, normalise
from finemem_env.text.primitives import split_words
from finemem_env.text.spellings import exchanged
from finemem_env.text.unicode_tables import MARK

_ARTICLES = frozenset(("a", "an", "the"))
_PARTED = re.compile(r"\d[.,]\d")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
# What much of the world writes: "1 300" with a space that breaks no line, "1.300.000", "312,5".
_SPACES = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_POINTS = re.compile(
    r"(?<![\d.,])\d{1,3}(?:(?:\.\d{3}){2,}|(?:\.\d{3})+(?=,\d{1,2}(?!\d)))(?!\.?\d)"
)
_COMMA = re.compile(r"(?<![\d.,])(\d+),(?=\d{1,2}(?![\d,]|\.\d))")
_DECIMAL = re.compile(r"(?<!\d)(\d+(?:\.\d+)+)")
_INITIALS = re.compile(rf"(?<![^\W_])[^\W\d_](?:\.[^\W\d_])+(?![^\W_]|{MARK})")
_POSSESSIVE = re.compile(r"(?<=\w)['’]s(?![^\W_])")
_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
# One that parts two words, as in French and Turkish, not the one of "can't".
_PARTING = re.compile(r"(?<=\w)['’](?=\w)(?!(?:s|t|d|m|re|ve|ll)(?![^\W_]))")
# Up to the last closing tag, since some chat templates open the tag in the prompt.
_REASONING = re.compile(r"\A.*</think(?:ing)?>|<think(?:ing)?>.*\Z", re.DOTALL | re.IGNORECASE)


class Form(NamedTuple):
    """One text ready for comparison; `plain` keeps articles, `bare` drops all but a last one.

    In `apart`, apostrophes part words. All are tokens joined and framed by single spaces, so that
    `in` respects token borders; " " when there is no token, and then only `raw` tells texts apart.
    """

    raw: str
    plain: str
    bare: str
    apart: str
    tokens: tuple[str, ...]  # of `plain`


def _derive(text: str) -> Form:
    raw = normalise(text)
    told = _told(text, raw)
    tokens = _tokens(told)
    bare = plain = apart = _framed(tokens)
    if not _ARTICLES.isdisjoint(tokens):
        bare = _framed(list(without_articles(tuple(tokens))))
    if "'" in told or "’" in told:
        apart = _framed(_tokens(_PARTING.sub(" ", told)))
    return Form(raw, plain, bare, apart, tuple(tokens))


def _told(text: str, raw: str) -> str:
    """The normal form of a text, with spellings that are exchanged made one."""
    if text.isascii():
        return raw
    return exchanged(normalise(_SPACES.sub("", text)) if _SPACES.search(text) else raw)


def _framed(tokens: list[str]) -> str:
    return f" {' '.join(tokens)} " if tokens else " "


def _tokens(text: str) -> list[str]:
    """Tokens of an NFKC case-folded text; each step is skipped where its mark does not occur."""
    if "'" in text or "’" in text:
        text = _APOSTROPHE.sub("", _POSSESSIVE.sub("", text))
    if _PARTED.search(text):
        text = _POINTS.sub(lambda match: match[0].replace(".", ""), text)
        text = _COMMA.sub(r"\1.", _THOUSANDS.sub("", text))
    if "." not in text:
        return split_words(text)
    text = _INITIALS.sub(lambda match: match[0].replace(".", ""), text)
    parts = _DECIMAL.split(text)  # text and decimal numbers in turn
    return [
        token
        for place, part in enumerate(parts)
        for token in ([part] if place % 2 else split_words(part))
    ]


_FORMS: TextCache[Form] = TextCache(_derive)


def form(text: str) -> Form:
    """The normal form of `text`, cached."""
    return _FORMS[text]


def without_articles(tokens: tuple[str, ...]) -> tuple[str, ...]:
    """The tokens but for articles before the last one."""
    if _ARTICLES.isdisjoint(tokens):
        return tokens
    return (*(token for token in tokens[:-1] if token not in _ARTICLES), *tokens[-1:])


def tokens_of(text: str) -> tuple[str, ...]:
    """The tokens of `form(text)`, for texts so many that none is worth keeping."""
    if text.isascii() and text.replace(" ", "").isalnum():
        return tuple(text.lower().split())
    return tuple(_tokens(_told(text, normalise(text))))


def equal(prediction: Form, gold: Form) -> bool:
    """Whether the two texts say the same."""
    if not gold.tokens:
        return prediction.raw == gold.raw
    return prediction.plain == gold.plain or prediction.bare == gold.bare


def contains(prediction: Form, gold: Form) -> bool:
    """Whether the gold answer occurs in the prediction, on token borders."""
    if not gold.tokens:
        return gold.raw in prediction.raw if gold.raw else not prediction.raw
    if gold.plain in prediction.plain or gold.bare in prediction.bare:
        return True
    return prediction.apart is not prediction.plain and gold.plain in prediction.apart


def strip_reasoning(prediction: str) -> str:
    """The prediction without <think>…</think>; an unclosed one hides everything after it.

    <thinking> and capitals are the same.
    """
    if "think" not in prediction.casefold():
        return prediction
    return _REASONING.sub("", prediction)
