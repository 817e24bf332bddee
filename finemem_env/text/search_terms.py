"""What a search matches: the one rule for BM25 and the local reader.

Wider than `text.words`: spelling variants that writers of one language exchange or leave out are
one, as in answers that are scored, and scripts without spaces are searched by neighbouring letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from finemem_env.text.cache import TextCache
from finemem_env.text.folding import fold
from finemem_env.text.lookalikes import as_seen
from finemem_env.text.primitives import joined_words, normalise, split_words, words
from finemem_env.text.spellings import exchanged
from finemem_env.text.unicode_tables import MARK, SYLLABLES, UNSPACED

SYLLABLE, LETTER = 0.5, 0.3  # a letter of a script without spaces, as a share of a word

_UNPARTED = re.compile(f"[{UNSPACED}{SYLLABLES}]")
_RUN = re.compile(
    rf"((?:[{UNSPACED}]{MARK}*)+)|((?:[{SYLLABLES}]{MARK}*)+)|[^{UNSPACED}{SYLLABLES}]+"
)


def unvaried(text: str) -> str:
    """The text folded, with spelling variants made one (`spellings`)."""
    return exchanged(fold(text))


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
    """What makes two sentences the same for provenance: their words, punctuation and case aside.

    Letters of other scripts that look Latin are those, and what shows nothing does not count.
    """
    seen = as_seen(sentence)
    return joined_words(seen) or normalise(seen)


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
