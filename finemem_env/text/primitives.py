"""Text primitives that every other module shares: tokens, words, sentences, normal forms.

One definition each, so that a budget, a retriever and a reader never disagree on what a token or a
sentence is.
"""

from __future__ import annotations

import re

from finemem_env.text.cache import TextCache
from finemem_env.text.folding import CONTROLS, fold, is_plain, nfc
from finemem_env.text.lookalikes import SEPARATORS
from finemem_env.text.sentence_ends import sentence_ends
from finemem_env.text.unicode_tables import CJK, MARK, SYLLABLES, UNSPACED

# Letters and digits with their marks. An underscore is punctuation, not a letter: joining words
# with it must not look shorter.
_COUNTED = re.compile(rf"[{CJK}]|[^\W_{CJK}]+(?:{MARK}+[^\W_{CJK}]*)*|\S")
_UNPARTED = SYLLABLES + UNSPACED
_WORD = re.compile(rf"[{_UNPARTED}]{MARK}*|[^\W_{_UNPARTED}]+(?:{MARK}+[^\W_{_UNPARTED}]*)*")
# The same on ASCII text by tables of bytes, several times as fast. Counted: letters and digits
# become "a", anything else " ", and what is neither them nor white space is a mark. Split: what is
# no letter or digit becomes " "; folded on the way for what is not folded yet.
_SPACES = b" \t\n\v\f\r\x1c\x1d\x1e\x1f"
_ALNUM = bytes(c for c in range(128) if chr(c).isalnum())
_NO_MARKS = _ALNUM + _SPACES
_RUNS = bytes(97 if c in _ALNUM else 32 for c in range(256))
_PARTED = bytes(c if c in _ALNUM else 32 for c in range(256))
_FOLDED = _PARTED.lower()

# A labelled example is one line: "<text> label: <label>", or "<text> -> <label>" (also =>, →).
_LABEL = re.compile(r"\b(?:label|category)\s?[:=：]|->|=>|→", re.IGNORECASE)
_PREFIX = re.compile(r"(?:example|sample|text|input)\s?:", re.IGNORECASE)
_LABEL_WORDS = 6  # a longer right-hand side is prose that happens to hold an arrow

_LINE_ENDS = re.compile("\r\n|[\n\r\v\f\u2028\u2029]")  # that can be seen

# "12. Hey Jude was performed by …": a serial number belongs to the sentence that it numbers.
_SERIAL = re.compile(r"\(?\d+\.")


def approx_tokens(text: str) -> int:
    """Token count without a tokenizer: max(words and punctuation marks, ⌈UTF-8 bytes / 4⌉), of NFC.

    Words are runs of letters and digits, each CJK character and each other mark counts one.
    """
    if text.isascii():
        raw = text.encode()
        starts = (b" " + raw.translate(_RUNS)).count(b" a")
        return max(starts + len(raw.translate(None, _NO_MARKS)), -(-len(text) // 4))
    text = nfc(text)
    size = len(text.encode("utf-8", "replace"))
    return max(len(_COUNTED.findall(text)), -(-size // 4))


def words(text: str) -> list[str]:
    """Folded word tokens for matching: runs of letters and digits with their marks.

    Where a script has no spaces between words (Chinese, Japanese, Thai, Khmer, …), or none before
    particles (Korean), each letter with its marks is a word.
    """
    if text.isascii():
        return text.encode().translate(_FOLDED, CONTROLS).decode().split()
    return split_words(fold(text))


def joined_words(text: str) -> str:
    """The words of a text in one string, with a space between them."""
    if not text.isascii():
        return " ".join(words(text))
    joined = text.encode().translate(_FOLDED, CONTROLS).decode()
    while "  " in joined:
        joined = joined.replace("  ", " ")
    return joined.strip(" ")


def split_words(folded: str) -> list[str]:
    """The words of a text that is folded already."""
    if folded.isascii():
        return folded.encode().translate(_PARTED).decode().split()
    return _WORD.findall(folded)


def normalise(text: str) -> str:
    """Folded, white space collapsed: two texts with one normal form say the same."""
    if is_plain(text) and "  " not in text:  # its only white space
        return text.lower().strip(" ")
    return " ".join(fold(text).split())


def parse_example(line: str) -> tuple[str, str] | None:
    """(text, label) of a labelled example line, or None for any other line."""
    # One character is looked for ten times as fast as two.
    if not ((">" in line and ("->" in line or "=>" in line)) or "→" in line):
        if ":" not in line and "=" not in line and (line.isascii() or "：" not in line):
            return None
        folded = line.lower()
        if "label" not in folded and "category" not in folded:
            return None
    marks = list(_LABEL.finditer(line))
    if not marks:
        return None
    text = _PREFIX.sub("", line[: marks[-1].start()].strip(" \t|;,；，"), count=1).strip()
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
    sentences: list[str] = []
    lines = [text]
    if not is_plain(text):
        lines = _LINE_ENDS.split(text) if SEPARATORS.search(text) else text.splitlines()
    for line in map(str.strip, lines):
        if not line:
            continue
        if parse_example(line):
            sentences.append(line)
            continue
        start = 0
        for stop, following in sentence_ends(line):
            if start == 0 and _SERIAL.fullmatch(line, 0, stop):
                continue
            sentences.append(line[start:stop])
            start = following
        if start < len(line):
            sentences.append(line[start:])
    return tuple(sentences)


_SENTENCES: TextCache[tuple[str, ...]] = TextCache(_split)
