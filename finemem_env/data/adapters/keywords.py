"""Keywords of a summary: what a good summary of the same text would have to name.

Mem-α let a model extract them from a written summary. This does without one: proper names, and the
words of the summary that its text uses too but seldom.
"""

from __future__ import annotations

import re
from collections import Counter

from finemem_env.text import split_sentences, words

_NAME = re.compile(r"[A-Z][\w'’-]+(?:\s+[A-Z][\w'’-]+)*")
_LEAST_LETTERS = 5
_MOST = 15
# Words that start sentences or bind them, never a keyword.
_STARTERS = """
    about after again against although another because before being between could during each
    every first having herself himself however later might never other others rather shall should
    since still their there these thing things those though through under until where whether
    which while within without would
"""
_PLAIN = frozenset(_STARTERS.split())


def keywords_of(summary: str, text: str, most: int = _MOST) -> tuple[str, ...]:
    """At most `most` keywords of `summary` that occur in `text`, in the summary's order."""
    known = Counter(words(text))
    names = _names(summary, text)
    inside = {word for name in names for word in words(name)}
    rare = [
        word
        for word in dict.fromkeys(words(summary))
        if len(word) >= _LEAST_LETTERS
        and word.isalpha()
        and word not in _PLAIN
        and word not in inside
        and known[word]
    ]
    rare.sort(key=lambda word: (known[word], word))
    names = names[: max(1, 2 * most // 3)]
    chosen = {*names, *rare[: most - len(names)]}
    places = {keyword: summary.casefold().find(keyword.casefold()) for keyword in chosen}
    return tuple(sorted(chosen, key=lambda keyword: (places[keyword], keyword)))[:most]


def _names(summary: str, text: str) -> list[str]:
    """Capitalised runs of the summary that are capitalised inside a sentence of it or of `text`."""
    names: dict[str, None] = {}
    for sentence in split_sentences(summary):
        for match in _NAME.finditer(sentence):
            name = re.sub(r"['’]s$", "", match[0])
            if name in names or name not in text:
                continue
            literal, lower = re.escape(name), re.escape(name.lower())
            # Whole books are searched, at the speed of `in` while a pattern starts with its text.
            inside = match.start() > 0 or re.search(rf" {literal}\b(?<=[a-z,;] {literal})", text)
            # A word that the text also writes small is no name: "He", "One", "Cultural".
            small = " " not in name and re.search(rf"{lower}\b(?<!\w{lower})", text)
            if inside and not small:
                names[name] = None
    return list(names)
