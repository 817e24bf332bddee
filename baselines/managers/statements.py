"""Short statements of facts: what they are about, so that a newer one replaces an older one."""

from __future__ import annotations

import re

LONGEST = 30  # words; a longer sentence is prose that is not replaced by another
_NUMBERED = re.compile(r"^\s*\d+[.):]\s+")
# What the last name of a statement may consist of, beside capitalised words and numbers.
_JOINTS = frozenset(["of", "the", "and", "de", "la", "le", "van", "von", "in"])


def statement_key(sentence: str) -> str | None:
    """What a short statement is about: all of it but its last name, number or word.

    "The author of Emma is Jane Austen." and "The author of Emma is Mary Shelley." have one key, so
    the second replaces the first. None where too little is left to tell.
    """
    words = _NUMBERED.sub("", sentence).rstrip(" .!").split()
    if not 4 <= len(words) <= LONGEST:
        return None
    end = len(words)
    while end > 1 and (words[end - 1] in _JOINTS or not words[end - 1][0].islower()):
        end -= 1
    end = min(end, len(words) - 1)
    return " ".join(words[:end]).casefold() if end >= 3 else None
