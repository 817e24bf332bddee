"""Forms of a text in which what looks alike is alike, in linear time whatever the text."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from finemem_env.text.unicode_tables import BLANK, IGNORED, MARK, MARKED, UNSEEN

_Form = Literal["NFC", "NFKC"]

CONTROLS = bytes([*range(0x09), *range(0x0E, 0x1C), 0x7F])  # of ASCII, that nobody sees
_SHOWN = bytes(range(0x20, 0x7F))  # of ASCII
_UNSEEN = re.compile(f"[{UNSEEN}]")
_IGNORED = re.compile(f"[{IGNORED}]+")
_BLANK = re.compile(f"[{BLANK}]")
# A dot on an i is there anyway: "İ" folds to i and a dot. Tatweel makes an Arabic word longer only.
_REDUNDANT = re.compile("(?<=i)\u0307+|\u0640+")
# The one Thai and the one Lao vowel that NFKC takes apart: half of it would join the letter before.
_VOWELS = {"\u0e33": "\u0e4d\u0e32", "\u0eb3": "\u0ecd\u0eb2"}
# Unicode normalisation takes quadratic time on thousands of marks in a row; half-width voiced sound
# marks become such.
_MARKED = re.compile(rf"[{MARKED}\uff9e\uff9f]")
_RUN = rf"(?:{MARK}|[\uff9e\uff9f])"
_MANY = 256
_MANY_MARKS = re.compile(rf"{_RUN}{{{_MANY}}}")
_PIECES = re.compile(rf"(?:(?!{_RUN}).)*{_RUN}{{1,{_MANY}}}|(?:(?!{_RUN}).)+", re.DOTALL)


def _normalised(form: _Form, text: str) -> str:
    if len(text) >= _MANY and _MARKED.search(text) and _MANY_MARKS.search(text):
        return "".join(unicodedata.normalize(form, part) for part in _PIECES.findall(text))
    return unicodedata.normalize(form, text)


def is_plain(text: str) -> bool:
    """Whether a text is ASCII that is shown, and spaces; sooner said than by `isprintable`."""
    return text.isascii() and not text.encode().translate(None, _SHOWN)


def nfc(text: str) -> str:
    """The text with its letters and marks composed: it looks the same and says the same."""
    return text if text.isascii() else _normalised("NFC", text)


def shown(text: str) -> str:
    """What can be seen of a text: no ignorable characters, a space for each that is shown blank."""
    if text.isascii():
        return text if is_plain(text) else text.encode().translate(None, CONTROLS).decode()
    return _BLANK.sub(" ", _IGNORED.sub("", text)) if _UNSEEN.search(text) else text


def fold(text: str) -> str:
    """What can be seen, case-folded: texts of one fold differ in width, case or encoding only.

    `fold(fold(text)) == fold(text)`, and NFC and NFD of a text have one fold.
    """
    if text.isascii():
        return shown(text).lower()
    text = shown(text)
    text = _normalised("NFKC", _normalised("NFKC", text).casefold())
    if "\u0307" in text or "\u0640" in text:
        text = _normalised("NFKC", _REDUNDANT.sub("", text))
    for vowel, parts in _VOWELS.items():
        text = text.replace(parts, vowel)
    return text
