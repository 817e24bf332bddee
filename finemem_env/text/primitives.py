"""Text primitives that every other module shares: tokens, words, sentences, normal forms.

One definition each, so that a budget, a retriever and a reader never disagree on what a token or a
sentence is.
"""

from __future__ import annotations

import re
import unicodedata

from finemem_env.text.cache import TextCache

__all__ = [
    "approx_tokens",
    "normalise",
    "parse_example",
    "sentence_key",
    "split_sentences",
    "words",
]

# Scripts written without spaces: each character is a word of its own.
_CJK = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3041-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# An underscore is punctuation, not a letter: joining words with it must not look shorter.
_COUNTED = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+|[^\s]")
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
# The same on ASCII text, twice as fast.
_COUNTED_ASCII = re.compile(r"[^\W_]+|[^\s\x1c-\x1f]", re.ASCII)
_WORD_ASCII = re.compile(r"[^\W_]+", re.ASCII)

# A labelled example is one line: "<text> label: <label>", or "<text> -> <label>" (also =>, →).
_LABEL = re.compile(r"\b(?:label|category)\s?[:=]|->|=>|→", re.IGNORECASE)
_PREFIX = re.compile(r"(?:example|sample|text|input)\s?:", re.IGNORECASE)
_LABEL_WORDS = 6  # a longer right-hand side is prose that happens to hold an arrow

# Characters that cannot be seen: one inside a word must not make it another word.
_INVISIBLE = re.compile(
    r"[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]+"
)
# Combining marks: Unicode normalisation takes quadratic time on thousands of them in a row.
_MARK = r"(?:[^\w\s]|[\uff9e\uff9f])"
_MARKS = re.compile(rf"{_MARK}{{256}}")
_PIECES = re.compile(rf"{_MARK}{{1,256}}|(?:(?!{_MARK}).)+", re.DOTALL)

_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|etc|e\.g|i\.e|cf|No|Vol|Fig|Lt|Col|Gen|Capt|Rev|Gov|Sen|"
    r"Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|approx|ca|Inc|Ltd|Co|U\.S|U\.K)|\b[A-Z])\.$"
)
_ABBREVIATION_CHARS = 8
# "12. Hey Jude was performed by …": a serial number belongs to the sentence that it numbers.
_SERIAL = re.compile(r"\(?\d+\.")
_BOUNDARY = re.compile(r"[.!?…][\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\sa-z])|[。！？][」』”’）]*\s*")


def approx_tokens(text: str) -> int:
    """Token count without a tokenizer: max(words and punctuation marks, ⌈UTF-8 bytes / 4⌉).

    Words are runs of letters and digits, each CJK character and each other mark counts one.
    """
    if text.isascii():
        return max(len(_COUNTED_ASCII.findall(text)), -(-len(text) // 4))
    size = len(text.encode("utf-8", "replace"))
    return max(len(_COUNTED.findall(text)), -(-size // 4))


def words(text: str) -> list[str]:
    """Case-folded word tokens for matching: runs of letters and digits, single CJK characters."""
    folded = text.casefold()
    return (_WORD_ASCII if folded.isascii() else _WORD).findall(folded)


def normalise(text: str) -> str:
    """NFKC, case-folded, white space collapsed: two texts with one normal form say the same."""
    return " ".join(_visible(text).casefold().split())


def _visible(text: str) -> str:
    """NFKC without invisible characters, in linear time."""
    if text.isascii():
        return text
    text = _INVISIBLE.sub("", text)
    if len(text) >= 256 and _MARKS.search(text):
        return "".join(unicodedata.normalize("NFKC", part) for part in _PIECES.findall(text))
    return unicodedata.normalize("NFKC", text)


def sentence_key(sentence: str) -> str:
    """What makes two sentences the same for provenance: their words, punctuation and case aside."""
    return _KEYS[sentence]


def _key(sentence: str) -> str:
    return " ".join(words(_visible(sentence))) or normalise(sentence)


def parse_example(line: str) -> tuple[str, str] | None:
    """(text, label) of a labelled example line, or None for any other line."""
    if not (":" in line or ">" in line or "=" in line or "→" in line):
        return None
    marks = list(_LABEL.finditer(line))
    if not marks:
        return None
    text = _PREFIX.sub("", line[: marks[-1].start()].strip(" \t|;,"), count=1).strip()
    label = line[marks[-1].end() :].strip()
    if not text or not label or len(label.split()) > _LABEL_WORDS:
        return None
    return text, label


def split_sentences(text: str) -> tuple[str, ...]:
    """Sentences of `text`, stripped, in order; line breaks always end one.

    A labelled example line stays whole, since its halves say nothing.
    """
    return _SENTENCES[text]


def _split(text: str) -> tuple[str, ...]:
    found: list[str] = []
    for line in map(str.strip, text.splitlines()):
        if not line:
            continue
        if parse_example(line):
            found.append(line)
            continue
        start = 0
        for match in _BOUNDARY.finditer(line):
            stop = match.start() + len(match[0].rstrip())
            # Only the end of the piece is looked at, so that "A. A. A. …" takes linear time.
            if _ABBREVIATION.search(line, max(start, stop - _ABBREVIATION_CHARS), stop):
                continue
            if start == 0 and _SERIAL.fullmatch(line, 0, stop):
                continue
            found.append(line[start:stop])
            start = match.end()
        if start < len(line):
            found.append(line[start:])
    return tuple(found)


_KEYS: TextCache[str] = TextCache(_key)
_SENTENCES: TextCache[tuple[str, ...]] = TextCache(_split)
