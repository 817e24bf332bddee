"""Which step brought each sentence of the memory.

Text that is already there, or that the current step itself removed, keeps its earliest step when it
is kept, copied to another item, or written again; only new text gets the current step. Otherwise
rewriting an item would take over its credit. Sentences are compared by `text.sentence_key`.

The text of items that the current step edits or deletes is also recognised with its full stops
moved: any run of its words is old text. A sentence copied from any other item is recognised whole
only, and a reworded sentence counts as new.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

# Characters of old text that one step may search. Past it, a step that edits and writes that much
# gets no benefit of the doubt: what it writes counts as what it edited.
_SEARCH_CHARS = 1 << 22
_CALL_CHARS = 64  # the fixed cost of one search, in characters


class _Old(NamedTuple):
    words: str
    keys: tuple[str, ...]
    steps: tuple[int, ...]


class Provenance:
    """The earliest step of every sentence present, at the cost of the text that changes."""

    def __init__(self) -> None:
        self._steps: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._old: list[_Old] = []
        self._oldest = sys.maxsize  # the earliest step of them
        self._gone: list[str] = []
        self._searched = 0

    def anchor(self, keys: Sequence[str], step: int) -> tuple[int, ...]:
        """The step of each sentence of a text that is written at `step`; call before `add`."""
        known = self._steps
        if self._old:
            return tuple(known[key] if key in known else self._moved(key, step) for key in keys)
        return tuple([known.get(key, step) for key in keys])

    def add(self, keys: Sequence[str], steps: Sequence[int]) -> None:
        """Note the sentences of an item that is now present."""
        for key, step in zip(keys, steps, strict=True):
            self._counts[key] = self._counts.get(key, 0) + 1
            self._steps.setdefault(key, step)

    def remove(self, keys: Sequence[str]) -> None:
        """Note that an item with these sentences is gone; the step may still write them again."""
        for key in keys:
            self._counts[key] -= 1
        self._gone.extend(keys)

    def edits(self, keys: tuple[str, ...], steps: tuple[int, ...]) -> None:
        """Note, before anything else in a step, that it edits or deletes an item."""
        self._old.append(_Old(f" {' '.join(keys)} ", keys, steps))
        self._oldest = min([self._oldest, *steps])

    def settle(self) -> None:
        """End the step: what it removed and did not write again is forgotten."""
        for key in self._gone:
            if self._counts.get(key) == 0:
                del self._counts[key], self._steps[key]
        self._gone.clear()
        self._old.clear()
        self._oldest = sys.maxsize
        self._searched = 0

    def fork(self) -> Provenance:
        """A copy between two steps, when nothing is being edited."""
        other = Provenance()
        other._steps, other._counts = dict(self._steps), dict(self._counts)
        return other

    def _moved(self, key: str, step: int) -> int:
        """The earliest step of the old text that `key` is a run of words of, else `step`."""
        wanted = f" {key} "
        for old in self._old:
            self._searched += len(old.words) + _CALL_CHARS
            if self._searched > _SEARCH_CHARS:
                return min(step, self._oldest)
            start = old.words.find(wanted)
            if start >= 0:
                return _earliest(old, start, start + len(wanted))
        return step


def _earliest(old: _Old, start: int, end: int) -> int:
    """The earliest step among the sentences that cover `old.words[start:end]`."""
    steps, position = [], 0
    for key, step in zip(old.keys, old.steps, strict=True):
        following = position + len(key) + 1
        if following > start + 1 and position + 1 < end:
            steps.append(step)
        position = following
    return min(steps)
