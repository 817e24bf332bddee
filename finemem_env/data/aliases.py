"""Other names of an answer, without those that turn up in any text as other words."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

# A gold counts wherever it occurs as a word: "us" would be the United States.
_LEAST = 4


def telling(golds: Sequence[str]) -> tuple[str, ...]:
    """The first of `golds`, the answer, and others; not those of fewer than four Latin letters."""
    return tuple(dict.fromkeys([*golds[:1], *(gold for gold in golds[1:] if _tells(gold))]))


def _tells(gold: str) -> bool:
    letters = [letter for letter in gold if letter.isalnum()]
    return len(letters) >= _LEAST or any(map(_is_foreign, letters))


def _is_foreign(letter: str) -> bool:
    """Whether a letter is of a script whose words may be shorter, such as Chinese."""
    return not letter.isascii() and not unicodedata.name(letter, "").startswith("LATIN")
