"""What a search matches: the one rule for BM25 and the local reader.

Wider than `text.words`: spelling variants that writers of one language exchange or leave out are
one, as in answers that are scored, and scripts without spaces are searched by neighbouring letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from finemem_env.text.cache import TextCache
from finemem_env.text.folding import fold
from finemem_env.text.primitives import joined_words, normalise, split_words, words
from finemem_env.text.unicode_tables import MARK, SYLLABLES, UNSPACED

SYLLABLE, LETTER = 0.5, 0.3  # a letter of a script without spaces, as a share of a word

_UNPARTED = re.compile(f"[{UNSPACED}{SYLLABLES}]")
_RUN = re.compile(
    rf"((?:[{UNSPACED}]{MARK}*)+)|((?:[{SYLLABLES}]{MARK}*)+)|[^{UNSPACED}{SYLLABLES}]+"
)


# A letter and the one that it is exchanged for.
_EXCHANGED = "ıi ёе άα έε ήη ίι όο ύυ ώω أا إا آا ٱا ىي یي کك"


def _variants() -> dict[int, str | None]:
    """Letters that writers of one language exchange or leave out."""
    variants: dict[int, str | None] = {ord(pair[0]): pair[1] for pair in _EXCHANGED.split()}
    # Vowel signs of Arabic and Hebrew.
    variants |= dict.fromkeys(
        (*range(0x64B, 0x653), 0x670, *range(0x591, 0x5BE), 0x5BF, 0x5C1, 0x5C2, 0x5C7)
    )
    # Marks of Armenian over the vowel of a word that is asked about, called or stressed.
    variants |= dict.fromkeys((0x55B, 0x55C, 0x55E))
    # Digits: Arabic, Persian, and those of India and Thailand.
    for zero in (0x660, 0x6F0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xBE6, 0xC66, 0xCE6, 0xE50):
        variants |= {zero + digit: str(digit) for digit in range(10)}
    return variants


_VARIANTS = _variants()
_VARIED = re.compile(f"[{''.join(map(chr, _VARIANTS))}]")


def unvaried(text: str) -> str:
    """The text folded, with spelling variants made one.

    Turkish ı is i, since a capital I may be either; Russian ё is е; Greek accents, which capitals
    do not have, vowel signs of Arabic and Hebrew, the forms of alif and of digits, and the marks in
    Armenian words do not count.
    """
    return exchanged(fold(text))


def exchanged(folded: str) -> str:
    """The same of a text that is folded."""
    return folded.translate(_VARIANTS) if _VARIED.search(folded) else folded


def search_terms(text: str) -> list[str]:
    """The words of a text, with multiplicity.

    Where a script has no spaces between words, the pairs of neighbouring letters as well (Chinese,
    Japanese, Korean), or pairs and triples instead where a letter is less than a syllable (Thai,
    Khmer, …).
    """
    if text.isascii():
        return words(text)
    folded = unvaried(text)
    if not _UNPARTED.search(folded):
        return split_words(folded)
    return [term for run in _RUN.finditer(folded) for _, term in _terms(run)]


TERMS: TextCache[tuple[str, ...]] = TextCache(lambda text: tuple(search_terms(text)))


def sentence_key(sentence: str) -> str:
    """What makes two sentences the same for provenance: their words, punctuation and case aside."""
    return joined_words(sentence) or normalise(sentence)


def placed_terms(text: str) -> list[tuple[str, float]]:
    """`search_terms` with the place of each, in words from the start of the text."""
    if text.isascii():
        return [(word, float(place)) for place, word in enumerate(TERMS[text])]
    placed: list[tuple[str, float]] = []
    start = 0.0
    for run in _RUN.finditer(unvaried(text)):
        size = _size(run)
        placed.extend((term, start + place * size) for place, term in _terms(run))
        start += size * len(split_words(run[0]))
    return placed


def sized_words(text: str) -> list[tuple[str, float]]:
    """The words of a text, folded, each with its size: 1, or what a letter is of a word."""
    return [
        (word, _size(run)) for run in _RUN.finditer(unvaried(text)) for word in split_words(run[0])
    ]


def _size(run: re.Match[str]) -> float:
    return LETTER if run[1] else SYLLABLE if run[2] else 1.0


def _terms(run: re.Match[str]) -> Iterator[tuple[int, str]]:
    """The terms of a run of one kind of script, each with its place in it."""
    parts = split_words(run[0])
    sizes = (1,) if run.lastindex is None or len(parts) == 1 else (2, 3) if run[1] else (1, 2)
    for size in sizes:
        yield from enumerate(neighbours(parts, size))


def neighbours(parts: Sequence[str], size: int) -> list[str]:
    """Every run of `size` neighbours, as one string."""
    return list(map("".join, zip(*(parts[i:] for i in range(size)), strict=False)))
