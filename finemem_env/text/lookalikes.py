"""What texts look like: letters of other scripts that look Latin, separators that show nothing.

For telling whether two texts are the same, never for what is counted, searched or scored. The pairs
are the common ones of Unicode's confusables (UTS 39).
"""

from __future__ import annotations

import re

from finemem_env.text.folding import is_plain

_PAIRS = """
    аa вb сc ԁd еe һh нh іi јj кk ӏl мm оo рp ԛq ѕs тt уy үy ѵv ԝw хx
    АA ВB СC ԀD ЕE ҺH НH ІI ЈJ КK ӀI МM ОO РP ԚQ ЅS ТT УY ҮY ѴV ԜW ХX
    αa ϲc ιi ϳj κk ηn οo ρp τt υu νv χx γy
    ΑA ΒB ϹC ΕE ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΧX ΥY ΖZ
    ցg հh ոn օo զq սu ՕO ՍU ՏS
    ɑa ɡg ıi ʏy
    ᎪA ᏴB ᏟC ᎠD ᎬE ᏀG ᎻH ᎫJ ᏦK ᏞL ᎷM ᏢP ᎡR ᏚS ᎢT ᏙV ᎳW ᏃZ
    ꓮA ꓐB ꓚC ꓓD ꓰE ꓝF ꓖG ꓧH ꓲI ꓙJ ꓗK ꓡL ꓟM ꓠN ꓳO ꓑP ꓣR ꓢS ꓔT ꓴU ꓦV ꓪW ꓫX ꓬY ꓜZ
"""
# White space to Python only: of files, groups, records and units, and the next line of C1.
SEPARATORS = re.compile("[\x1c-\x1f\x85]")
_TWINS = str.maketrans({pair[0]: pair[1] for pair in _PAIRS.split()})
_TWIN = re.compile(f"[{''.join(map(chr, _TWINS))}]")
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile("[A-Za-z]")


def as_seen(text: str) -> str:
    """The text with every word in Latin letters that can be read so, and without separators.

    "Тhe", whose T is Cyrillic, becomes "The"; words that hold a letter with no Latin twin, and text
    without Latin letters, stay as they are.
    """
    if is_plain(text):
        return text
    text = SEPARATORS.sub("", text)
    if text.isascii() or not _TWIN.search(text) or not _LATIN.search(text):
        return text
    return _WORD.sub(_latin, text)


def _latin(word: re.Match[str]) -> str:
    latin = word[0].translate(_TWINS)
    return latin if latin.isascii() else word[0]
