"""ROUGE-L: the longest common subsequence of words, over whole texts or line by line.

The functions ending in `_stemmed` compute what the package `rouge_score` does with a stemmer, which
both published benchmarks use: words of a-z and 0-9, those of more than three letters stemmed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from finemem_env.scoring.porter import stem

_WORD = re.compile(r"[a-z0-9]+")
_STEMMED_FROM = 4


def harmonic(shared: int, ours: int, theirs: int) -> float:
    """F1 of precision shared/ours and recall shared/theirs."""
    return 2 * shared / (ours + theirs) if shared else 0.0


def common_subsequence(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """Length of the longest common subsequence; a row of the table is the bits of one integer."""
    places: dict[str, int] = {}
    for place, token in enumerate(theirs):
        places[token] = places.get(token, 0) | 1 << place
    full = (1 << len(theirs)) - 1
    row = full
    for token in ours:
        matches = row & places.get(token, 0)
        row = (row + matches | row - matches) & full
    return len(theirs) - row.bit_count()


def rouge_l_stemmed(prediction: str, gold: str) -> float:
    """F1 of the longest common subsequence of stemmed words."""
    ours, theirs = _words(prediction), _words(gold)
    return harmonic(common_subsequence(ours, theirs), len(ours), len(theirs))


def rouge_lsum_stemmed(prediction: str, gold: str) -> float:
    """F1 of the union, over the lines of `gold`, of its subsequences in lines of `prediction`."""
    ours = [_words(line) for line in prediction.split("\n") if line]
    theirs = [_words(line) for line in gold.split("\n") if line]
    left = Counter(word for line in ours for word in line)
    wanted = Counter(word for line in theirs for word in line)
    sizes = left.total(), wanted.total()
    hits = 0
    distinct = list(dict.fromkeys(map(tuple, ours)))
    for line in theirs:
        sharing = [candidate for candidate in distinct if not set(line).isdisjoint(candidate)]
        places = sorted({place for candidate in sharing for place in _places(line, candidate)})
        for word in (line[place] for place in places):
            if left[word] > 0 and wanted[word] > 0:
                left[word] -= 1
                wanted[word] -= 1
                hits += 1
    return harmonic(hits, *sizes)


def _words(text: str) -> list[str]:
    words = _WORD.findall(text.lower())
    return [stem(word) if len(word) >= _STEMMED_FROM else word for word in words]


def _places(gold: Sequence[str], candidate: Sequence[str]) -> list[int]:
    """Places in `gold` of one longest common subsequence, walking the table from its end."""
    table = _table(gold, candidate)
    i, j, places = len(gold), len(candidate), []
    while i and j:
        if gold[i - 1] == candidate[j - 1]:
            i, j = i - 1, j - 1
            places.append(i)
        elif table[i][j - 1] > table[i - 1][j]:
            j -= 1
        else:
            i -= 1
    return places


def _table(gold: Sequence[str], candidate: Sequence[str]) -> list[list[int]]:
    table = [[0] * (len(candidate) + 1)]
    for word in gold:
        above, row = table[-1], [0]
        for j, other in enumerate(candidate, start=1):
            row.append(above[j - 1] + 1 if word == other else max(above[j], row[j - 1]))
        table.append(row)
    return table
