"""Spellings that writers of one language exchange or leave out, made one.

Used where texts are matched (answers, searches), never for what is counted or kept.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# A letter and what it is exchanged for. Turkish ı is i, since a capital I may be either.
_PAIRS = """
    ıi œoe æae ёе şș ţț ヶケ ヵカ 臺台
    άα έε ήη ίι όο ύυ ώω ΐϊ ΰϋ
    أا إا آا ٱا ىي یي کك ہه ۃة ٬, ٫.
    ँं ઁં ൺണ് ൻന് ർര് ൽല് ൾള് ൿക്
    ʼ' ʻ' ʹ' ʽ' ‘' ׳'
"""
# Zeros of the digits of other scripts than Latin.
_ZEROS = """
    660 6f0 7c0 966 9e6 a66 ae6 b66 be6 c66 ce6 d66 de6 e50 ed0 f20 1040 1090 17e0 1810 1946 19d0
    1a80 1a90 1b50 1bb0 1c40 1c50 a620 a8d0 a900 a9d0 a9f0 aa50 abf0
"""
# Rows of seven or eight Amharic letters that sound alike, and the row that stands for them.
_AMHARIC = "ሐሀ ኀሀ ሠሰ ዐአ ፀጸ"
_FOURTH = "ሃሀ ሓሀ ኃሀ ኣአ ዓአ"  # and their fourth letter, of two rows


def _letters() -> Iterator[tuple[int, str | None]]:
    for pair in _PAIRS.split():
        yield ord(pair[0]), pair[1:]
    for zero in _ZEROS.split():
        yield from ((int(zero, 16) + digit, str(digit)) for digit in range(10))
    for pair in _AMHARIC.split():
        yield from ((ord(pair[0]) + order, chr(ord(pair[1]) + order)) for order in range(8))
    yield from ((ord(pair[0]), pair[1]) for pair in _FOURTH.split())
    # Greek letters with accents of before 1982, as after those of today were dropped.
    for code in range(0x1F00, 0x2000):
        letter = unicodedata.normalize("NFD", chr(code))[0]
        if letter.islower():
            yield code, letter
    # Vowel signs of Arabic and Hebrew, Armenian marks over the vowel of a word that is asked about,
    # called or stressed, and the dot of Hindi letters for sounds of Persian.
    signs = (*range(0x64B, 0x653), 0x670, *range(0x591, 0x5BE), 0x5BF, 0x5C1, 0x5C2, 0x5C7)
    for sign in (*signs, 0x55B, 0x55C, 0x55E, 0x93C):
        yield sign, None


_LETTERS = dict(_letters())
# Stress over a Cyrillic vowel, which is no letter of its own.
_STRESS = "(?<=[\u0400-\u04ff])[\u0300\u0301]"
# Where Vietnamese writes the tone of an open syllable: "hoà" or "hòa".
_TONES = {
    start + vowel: tones[i] + base
    for start, vowels, base, tones in (
        ("o", "àáảãạ", "a", "òóỏõọ"),
        ("o", "èéẻẽẹ", "e", "òóỏõọ"),
        ("u", "ỳýỷỹỵ", "y", "ùúủũụ"),
    )
    for i, vowel in enumerate(vowels)
}
_TONE = r"(?:o[àáảãạèéẻẽẹ]|u[ỳýỷỹỵ])(?![^\W\d_])"
# A nasal of Hindi, Marathi or Gujarati before a consonant of its own row: "हिन्दी" or "हिंदी".
_NASAL = "|".join(
    f"{chr(nasal + block)}{chr(0x94D + block)}(?=[{chr(first + block)}-{chr(first + block + 3)}])"
    for block in (0, 0x180)
    for nasal, first in (
        (0x919, 0x915),
        (0x91E, 0x91A),
        (0x923, 0x91F),
        (0x928, 0x924),
        (0x92E, 0x92A),
    )
)
# Two vowel signs of Thai and Lao that look like one.
_TWICE = {"เเ": "แ", "ເເ": "ແ"}
_ONE = re.compile(f"[{''.join(map(chr, _LETTERS))}]")
_SEVERAL = re.compile(f"{_STRESS}|{_TONE}|{_NASAL}|{'|'.join(_TWICE)}")
# Prefixes and suffixes that Hebrew, Arabic, Amharic and languages of India write onto a number.
_JOINED = "\u0590-\u06ff\u0900-\u0dff\u1200-\u137f"
_AFFIXED = re.compile(f"[{_JOINED}]")
_NUMBER = re.compile(f"(?<=[0-9])(?=[{_JOINED}])|(?<=[{_JOINED}])(?=[0-9])")
# One of these is in everything that `_SEVERAL` matches, and one class is searched fast.
_HINT = re.compile("[\u0300\u0301àáảãạèéẻẽẹỳýỷỹỵ\u094d\u0acdเເ]")


def exchanged(folded: str) -> str:
    """A folded text with spelling variants made one.

    Beside those of `_PAIRS`: Greek accents, which capitals do not have; vowel signs of Arabic and
    Hebrew; digits, decimal and thousands marks; stress of Russian words; marks in Armenian words;
    tones of Vietnamese; nasals, their signs and dots of Hindi; the apostrophes of Ukrainian, Uzbek,
    Hawaiian and Hebrew; both encodings of final consonants in Malayalam; Amharic letters of one
    sound. Numbers stand apart from what such languages write onto them ("1974లో").
    """
    if _ONE.search(folded):
        folded = folded.translate(_LETTERS)
    if _AFFIXED.search(folded):
        folded = _NUMBER.sub(" ", folded)
    return _SEVERAL.sub(_single, folded) if _HINT.search(folded) else folded


def _single(match: re.Match[str]) -> str:
    found = match[0]
    if found in _TONES:
        return _TONES[found]
    if found in _TWICE:
        return _TWICE[found]
    nasal = ord(found[0])
    return "" if nasal < 0x900 else chr(0x902 if nasal < 0xA80 else 0xA82)
