"""Where the sentences of a line end, in any script, without cutting names, dates and abbreviations.

A full stop that may belong to the word before it ends nothing: two sentences in one piece cost
little, a name in two pieces cannot be found. Capitals decide where a script has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from finemem_env.text.abbreviations import ABBREVIATIONS, COUNTED, FINAL
from finemem_env.text.folding import nfc
from finemem_env.text.unicode_tables import MARK, SYLLABLES, UNSPACED

# Followed by a space: Latin, Arabic, Urdu, Armenian, Ethiopic, Khmer, Tibetan, Mongolian, Syriac, …
# Unicode's property Sentence_Terminal, without marks that are commas as well, and a few more.
SPACED_STOPS = ".!?…؟۔։፧፨។៕།༎᠃᠉‼‽⁇⁈⁉⸮܀܁܂߹࠷࠹࠽࠾᙮᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗"
# With or without a space: Chinese and Japanese, languages of India, Burmese, Amharic.
SOLID_STOPS = "。！？｡।॥။።"
STOPS = frozenset(SPACED_STOPS + SOLID_STOPS + "．")
CLOSING = "\"'”’“‘»›«‹)]」』｣）》〉】〕〗］｝＂〞〟"
_CLOSING = re.escape(CLOSING)
# Where no space follows, what opens another sentence closes none: "他走了。“我来了。”"
_CLOSING_SOLID = re.escape("".join(mark for mark in CLOSING if mark not in "“‘«‹"))
# A full stop of full width is also a decimal point.
_WIDE_STOP = r"(?<![0-9０-９A-Za-zＡ-Ｚａ-ｚ]．)(?<=．)(?![0-9０-９])"
# In Greek ";" asks.
_GREEK = "\u0370-\u03ff\u1f00-\u1fff"
# Typed for the full stops of Armenian and Amharic.
_TYPED = "(?<=[\u0531-\u058f]:)|(?<=፡፡)"
_ASKS = "|".join(f"(?<=[{_GREEK}]{accent}[;\u037e])" for accent in ("", "[\u0300-\u0345]"))
_END = re.compile(
    rf"[{SPACED_STOPS}{SOLID_STOPS}．;\u037e:፡](?:"
    rf"(?:(?<=[{SPACED_STOPS}])|{_ASKS}|{_TYPED})"
    rf"[{_CLOSING}]*(?:[ \u00a0\u202f][»›])?\s+(?=[^\sa-z])|"
    rf"(?:(?<=[{SOLID_STOPS}])|{_WIDE_STOP})[{SOLID_STOPS}!?]*[{_CLOSING_SOLID}]*\s*)"
)
_END_ASCII = re.compile(r"([.!?][\"')\]]*)\s+(?=[^\sa-z])")

# Lower-case letters that also start a sentence: Georgian has capitals for headings only.
_GEORGIAN = re.compile("[\u10d0-\u10ff]")
_MARKS = re.compile(f"{MARK}+")
_UNSPACED = re.compile(f"[{SYLLABLES}{UNSPACED}]")
_INDIC = re.compile(f"[\u0900-\u0dff]{MARK}*$")
_THAI = re.compile("[\u0e00-\u0eff]$")  # and Lao
# Goes on with a sentence that quotes another: 「行く。」と言った, “走吧！”，他说
_QUOTES = re.compile("[」』”’》〉][とっ、，,]")
_WORD_CHARS = 16  # how far back a word is looked for, so that "A. A. A. …" takes linear time
_OPENING = "\"'“”‘’„‚«»‹›([¿¡"
_JOINT = re.compile(r"[-‐‑–—/'’]")
# "z. B.", "s. XIX", "c. 1920", "v. Chr."
_AFTER_LETTER = re.compile(r"[^\W\d_]\.|\d|[IVXLC]+\b|(?:Chr|Kr)\b")
_CASELESS_INITIALS = re.compile(r"[^\W\d_](?:\.[^\W\d_])+")  # Arabic "أ.د."
_ORDINAL = re.compile(r"\d{1,2}|[IVXLC]+")
_ORDINAL_CHARS = 80  # of the line before it, that tell its language

_GERMAN_MONTHS = """
    Januar Jänner Februar Feber März April Mai Juni Juli August September Oktober November Dezember
    Jän Mär Mrz Okt Dez
"""
_MONTHS = frozenset(_GERMAN_MONTHS.split())
# Words of languages that write "2." for "second", and of no English text.
_ORDINAL_WORDS = """
    się był była oraz ning
    der das dem des ist und im vom zum zur von mit wurde nach seit bis auf og och det af av til på
    ja oli vuonna az és egy volt je byl se roku dne ve bir ile un ir
"""
_ORDINAL_LANGUAGES = frozenset(_ORDINAL_WORDS.split())


def sentence_ends(line: str) -> Iterator[tuple[int, int]]:
    """(end of a sentence, start of what follows) for each end within a stripped line.

    Takes linear time. NFC and NFD of a line end alike.
    """
    if line.isascii():
        if not ("." in line or "!" in line or "?" in line):
            return
        begin = 0
        for match in _END_ASCII.finditer(line):
            stop, following = match.end(1), match.end()
            if line[stop - 1] != "." or not _belongs(line, begin, stop - 1, following, False):
                yield stop, following
                begin = following
        return
    danda = "।" in line or "॥" in line
    begin = 0
    for match in _END.finditer(line):
        stop = match.start() + len(match[0].rstrip())
        following = match.end()
        if line[stop - 1] in ".۔" and _belongs(line, begin, stop - 1, following, danda):
            continue
        if _QUOTES.match(line, stop - 1):
            continue
        first = line[following : following + 1]
        if first > "\x7f" and _goes_on(first) and line[match.start()] not in SOLID_STOPS:
            continue
        yield stop, following
        begin = following


def _goes_on(first: str) -> bool:
    """Whether a word of this first letter, which is not ASCII, is inside a sentence."""
    return first.islower() and not _GEORGIAN.match(first)


def _belongs(line: str, begin: int, stop: int, following: int, danda: bool) -> bool:
    """Whether the full stop at `stop` belongs to the word before it."""
    before = line[max(begin, stop - _WORD_CHARS) : stop]
    if not before or before[-1].isspace():
        return False
    if not before.isascii() and (_THAI.search(before) or (danda and _INDIC.search(before))):
        return True  # Thai and Lao have none, and where there are dandas they are the full stops
    whole, word = _last_word(before)
    if word in ABBREVIATIONS or word in FINAL:
        return word not in FINAL
    if word in COUNTED:
        return line[following : following + 1].isdigit()
    if word[-1:] > "Z" and word[1:] and word.isascii():
        return False  # several letters, and at the end no capital and no digit
    bare = _MARKS.sub("", word)
    if _CASELESS_INITIALS.fullmatch(bare) and bare.lower() == bare.upper():
        return True
    if bare[-1:].isupper() and (not bare[-2:-1].isalnum() or _UNSPACED.match(bare[-2])):
        return True
    if len(bare) == 1 and bare.isalpha():
        if bare > "z":
            return not _UNSPACED.match(bare)
        return word == whole and (
            _AFTER_LETTER.match(line, following) is not None
            or _writes_ordinals(line, begin, stop, following)
        )
    return _ORDINAL.fullmatch(word) is not None and _writes_ordinals(line, begin, stop, following)


def _last_word(text: str) -> tuple[str, str]:
    """The last word without what opens a quotation, and its last part: "Anne-M" and "M"."""
    word = text.rsplit(None, 1)[-1]
    if word.isascii() and word.isalnum():
        return word, word
    whole = nfc(word).lstrip(_OPENING)
    return whole, _JOINT.split(whole)[-1]


def _writes_ordinals(line: str, begin: int, stop: int, following: int) -> bool:
    """Whether "2." may stand for "second": before a German month, or in a language that does so."""
    after = line[following : following + _ORDINAL_CHARS].split()
    if after and after[0].rstrip(".,;:)") in _MONTHS:
        return True
    words = line[max(begin, stop - _ORDINAL_CHARS) : stop].split() + after
    return not _ORDINAL_LANGUAGES.isdisjoint(nfc(word).lower() for word in words)
