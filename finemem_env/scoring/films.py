"""Recommended films against a list of titles with years: "Heat (1995)" and "Heat (1986)" are two.

A recommendation stands for the film whose title is nearest to it, by edit distance with case aside.
Where several films share that title its year decides, and without a year it names none of them; a
year that no film of the title has names none either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from finemem_env.scoring.needs import needed
from finemem_env.scoring.titles import nearest_title
from finemem_env.text.folding import nfc
from finemem_env.types import Question

_YEAR = re.compile(r"[(（](\d{4})年?[)）]\s*$")
_SAID_YEAR = re.compile(r"[(（](\d{4})年?[)）]")
_MARK = re.compile(r"^\s*(?:\d{1,3}[.):、．：）]|[-–—*•・])\s*")
_NUMBERED = re.compile(r"^[^\S\n]*+\d{1,3}[.):、．：）]", re.MULTILINE)
_PARTS = re.compile(r"(?<=[)）])\s*[,，、،]|[;；؛]")
_TITLES = re.compile(r"[,;，；、،؛]")
_QUOTES = "\"'“”‘’«»《》「」『』*_` "


def recommendations(text: str) -> list[str]:
    """The entries of a list: numbered lines where there are some, else lines, or parts of one line.

    One line is parted at semicolons and at commas, or at commas after a year where it has years,
    since titles hold commas.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    if _NUMBERED.search(text):
        lines = [line for line in lines if _NUMBERED.match(line)]
    elif len(lines) == 1:
        lines = (_PARTS if re.search("[(（]", lines[0]) else _TITLES).split(lines[0])
    entries = (_MARK.sub("", line).strip(_QUOTES) for line in lines)
    return [entry for entry in entries if entry]


def film_of(entry: str, films: Sequence[str]) -> str | None:
    """The film of `films` that a recommendation stands for, None for none or more than one."""
    entry = nfc(entry)
    said = _SAID_YEAR.search(entry)
    name, year = (entry[: said.start()].rstrip().strip(_QUOTES), said[1]) if said else (entry, "")
    names, by_name = _by_name(tuple(films))
    same = by_name.get(nearest_title(name, names), {})
    if year:
        return same.get(year) or same.get("")
    return next(iter(same.values())) if len(same) == 1 else None


@lru_cache(maxsize=4)
def _by_name(
    films: tuple[str, ...],
) -> tuple[tuple[str, ...], Mapping[str, Mapping[str, str]]]:
    """Titles without year, and film by such a title and by year ("" for none)."""
    by_name: dict[str, dict[str, str]] = {}
    for film in films:
        year = _YEAR.search(film)
        name = nfc(film[: year.start()].rstrip() if year else film)
        by_name.setdefault(name, {})[year[1] if year else ""] = film
    return tuple(by_name), by_name


def _recall_at(places: int) -> Callable[[str, Question], float]:
    def metric(prediction: str, question: Question) -> float:
        films = needed(question)
        entries = recommendations(prediction)[:places]
        recommended = {film_of(entry, films) for entry in entries}
        return sum(gold in recommended for gold in question.answers) / len(question.answers)

    return metric


def gold_prediction(question: Question) -> str:
    """A prediction that scores 1.0 wherever one can."""
    return "\n".join(f"{i}. {gold}" for i, gold in enumerate(question.answers, start=1))


METRICS: dict[str, tuple[str, Callable[[str, Question], float]]] = {
    f"recall@{places}": (
        f"share of the golds among the films nearest to the first {places} recommendations",
        _recall_at(places),
    )
    for places in (1, 5, 10)
}
