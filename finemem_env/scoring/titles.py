"""Recommendations against a list of titles: what was recommended, and the nearest title to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_PARENTHESES = re.compile(r"\([^()]*\)")
_NUMBER = re.compile(r"^\d+[.)、]?\s*[-—–]?\s*")
_LONGEST = 1024  # characters of a recommendation; no title is as long, and each costs its length
_SEPARATORS = str.maketrans("_->", "   ")


def title_of(entity: str) -> str:
    """The title in an entity's name or address: "<…/resource/Heat_(1995_film)>" → "Heat"."""
    name = entity.split("/")[-1].translate(_SEPARATORS)
    return " ".join(_PARENTHESES.sub("", name).split())


def recommended(text: str) -> list[str]:
    """The lines after the first "1."; without one, all lines, commas counting as line breaks.

    Numbers and parentheses are taken off. An empty line counts as an entry, as in the publisher's
    script: blank lines between recommendations use up places.
    """
    _, numbered, rest = text.partition("1.")
    lines = rest.split("\n") if numbered else text.replace(",", "\n").split("\n")
    return [_cleaned(line.strip()) for line in lines]


def _cleaned(line: str) -> str:
    return " ".join(_NUMBER.sub("", _PARENTHESES.sub("", line)).split())


@lru_cache(maxsize=4096)
def nearest_title(name: str, titles: tuple[str, ...]) -> str:
    """The title with the least edit distance to `name`, case aside; the first by name on a tie."""
    wanted = name[:_LONGEST].lower()
    best, least = "", 1 << 30
    by_length = sorted(_unique(titles), key=lambda title: abs(len(title) - len(wanted)))
    for title in by_length:
        if abs(len(title) - len(wanted)) > least:
            break
        distance = edit_distance(wanted, title.lower())
        if distance < least or (distance == least and title < best):
            best, least = title, distance
    return best


@lru_cache(maxsize=4)
def _unique(titles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(titles)))


def edit_distance(one: str, two: str) -> int:
    """Levenshtein distance; a column of the table is the bits of two integers (Hyyrö 2003)."""
    if not one or not two:
        return len(one) + len(two)
    places: dict[str, int] = {}
    for place, letter in enumerate(one):
        places[letter] = places.get(letter, 0) | 1 << place
    full, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    up, down, distance = full, 0, len(one)
    for letter in two:
        match = places.get(letter, 0)
        diagonal = (((match & up) + up) ^ up) | match | down
        right_up = down | ~(diagonal | up) & full
        right_down = diagonal & up
        distance += bool(right_up & last) - bool(right_down & last)
        right_up = (right_up << 1 | 1) & full
        right_down = right_down << 1 & full
        up = right_down | ~(diagonal | right_up) & full
        down = right_up & diagonal
    return distance


def recalled(text: str, golds: Sequence[str], titles: Sequence[str], places: int) -> float:
    """Share of `golds` among the titles nearest to the first `places` recommendations.

    What is in parentheses is taken off titles and golds as it is off recommendations, so that films
    of different years are one; the published titles have none.
    """
    known = _plain(tuple(titles))
    nearest = {nearest_title(name, known) for name in recommended(text)[:places]}
    return sum(gold in nearest for gold in _plain(tuple(golds))) / len(golds)


@lru_cache(maxsize=8)
def _plain(titles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(" ".join(_PARENTHESES.sub("", title).split()) or title for title in titles)
