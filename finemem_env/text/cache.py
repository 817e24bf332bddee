"""A bounded cache of what is derived from a text: no text is tokenised or split twice.

Groups of rollouts, repeated questions and leave-one-out calls all meet the same texts again, so the
caches belong to the module that derives, not to one memory or one episode.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")
_FIRST_CHARS = 250_000
_ENTRY = 64  # characters that an entry counts for beside its text
_MARKS = 2**20  # bits, of which the largest cache sets 60,000 at most


class TextCache(dict[str, T], Generic[T]):
    """`cache[text]` is `derive(text)`, computed once while the text stays cached.

    Bounded by the characters of the cached texts, not by their number, since one text may be a
    word or a chapter. When full, the oldest half is dropped. A hit costs one dict look-up.

    It takes what is needed: room for `_FIRST_CHARS` at first, twice as much, up to `max_chars`,
    whenever it is full and a quarter of what came lately had been dropped before. So a process that
    plays short episodes for days stays small, and a memory of a million tokens is held whole.
    """

    def __init__(self, derive: Callable[[str], T], max_chars: int = 2_000_000) -> None:
        super().__init__()
        self._derive = derive
        self._max_chars = max_chars
        self._limit = min(_FIRST_CHARS, max_chars)
        self._chars = 0
        # A bit for the hash of each text that was dropped, of at most `max_chars`: a set of hashes
        # would be walked through by every full garbage collection.
        self._dropped = bytearray()
        self._dropped_chars = 0
        self._came = self._came_back = 0  # since there was room the last time

    def __missing__(self, text: str) -> T:
        """Derive, remember and return the value of a text seen for the first time."""
        return self.store(text, self._derive(text))

    def store(self, text: str, value: T) -> T:
        """Remember a value that the caller derived, for instance as one of a batch."""
        self._came += 1
        if self._dropped:
            place = hash(text) % _MARKS
            self._came_back += self._dropped[place >> 3] >> (place & 7) & 1
        size = len(text) + _ENTRY
        if self._chars + size > self._limit:
            self._make_room()
        self._chars += size
        self[text] = value
        return value

    def _make_room(self) -> None:
        if self._limit < self._max_chars and 4 * self._came_back > self._came:
            self._limit = min(2 * self._limit, self._max_chars)
        else:
            self._shrink()
        self._came = self._came_back = 0

    def _shrink(self) -> None:
        oldest = list(islice(self, (len(self) + 1) // 2))
        for text in oldest:
            del self[text]
        chars = sum(map(len, oldest)) + _ENTRY * len(oldest)
        self._chars -= chars
        self._dropped_chars += chars
        if self._dropped_chars > self._max_chars or self._limit == self._max_chars:
            self._dropped.clear()
            self._dropped_chars = 0
        if self._limit < self._max_chars:
            self._mark(oldest)

    def _mark(self, texts: list[str]) -> None:
        if not self._dropped:
            self._dropped = bytearray(_MARKS // 8)
        marks = self._dropped
        for text in texts:
            place = hash(text) % _MARKS
            marks[place >> 3] |= 1 << (place & 7)
