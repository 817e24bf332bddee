"""A bounded cache of what is derived from a text: no text is tokenised or split twice.

Groups of rollouts, repeated questions and leave-one-out calls all meet the same texts again, so the
caches belong to the module that derives, not to one memory or one episode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["TextCache"]

T = TypeVar("T")


class TextCache(dict[str, T], Generic[T]):
    """`cache[text]` is `derive(text)`, computed once while the text stays cached.

    Bounded by the characters of the cached texts, not by their number, since one text may be a
    word or a chapter. When full, the oldest half is dropped. A hit costs one dict look-up.
    """

    def __init__(self, derive: Callable[[str], T], max_chars: int = 2_000_000) -> None:
        super().__init__()
        self._derive = derive
        self._max_chars = max_chars
        self._chars = 0

    def __missing__(self, text: str) -> T:
        """Derive, remember and return the value of a text seen for the first time."""
        return self.store(text, self._derive(text))

    def store(self, text: str, value: T) -> T:
        """Remember a value that the caller derived, for instance as one of a batch."""
        size = len(text) + 64
        if self._chars + size > self._max_chars:
            self._shrink()
        self._chars += size
        self[text] = value
        return value

    def _shrink(self) -> None:
        for text in list(self)[: (len(self) + 1) // 2]:
            del self[text]
        self._chars = sum(len(text) + 64 for text in self)
