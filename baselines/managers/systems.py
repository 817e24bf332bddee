"""What a memory system is here.

    class Notes:
        version = "1"                          # stands in every trace

        def add(self, text, time): ...         # remember a piece of text, read at `time` (or None)
        def items(self): ...                   # [(key, text)]: everything that it holds now
        def search(self, question, k): ...     # [key]: at most k, best first
        def forget(self, keys): ...            # optional: these were refused
        def flush(self): ...                   # optional: finish what `add` began
        def close(self): ...                   # optional: the episode is over

        @classmethod
        def check(cls, **arguments): ...       # optional: raise ConfigError before anything runs

Keys are strings that stay with their text while it is edited. A fresh store is made for every
episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable


@runtime_checkable
class MemoryStore(Protocol):
    """A memory system of its own: what it keeps, and how it finds it."""

    def add(self, text: str, time: str | None) -> None:
        """Remember a piece of text that was read at `time`."""
        ...

    def items(self) -> Sequence[tuple[str, str]]:
        """Everything that it holds now, as (key, text)."""
        ...

    def search(self, question: str, k: int) -> Sequence[str]:
        """Keys of at most `k` items that fit a question, best first."""
        ...
