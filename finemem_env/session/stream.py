"""Episodes that arrive while they are read: chunks and questions from an iterator.

    def conversation():
        yield "Day 1. Mara moved to Osta."
        yield Question("q0", "Where does Mara live?", ("Osta",))     # asked right after that chunk
        yield Chunk("day 2", "Mara sold her boat.", time="2024-01-02")

    env = MemoryEnv(source=conversation())

One chunk is read ahead, so that the last step is known when it is taken; until then `num_chunks` is
-1. A question is asked right after the chunk before it, or after step i when it has `asked_after` =
i. Rewards and attribution are over the chunks that came. A budget that is a share is one of the
tokens read so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from finemem_env.errors import ConfigError
from finemem_env.session.feed import Stream, Streamed
from finemem_env.types import Competency


class StreamSource:
    """Makes an episode of an iterable at every reset.

    Args:
        items: chunks and questions in order; an iterator serves one episode only.
        competency: of its episodes.
    """

    def __init__(self, items: Iterable[Streamed], competency: Competency) -> None:
        self.name = "stream"
        self.competencies = frozenset({competency})
        # A list is the same episode every time.
        self.size = 1 if isinstance(items, Sequence) else None
        self._items = items
        self._opened = 0

    def open(self) -> Stream:
        """The next episode.

        Raises:
            ConfigError: the iterable was an iterator and is used up.
        """
        iterator = iter(self._items)
        if iterator is self._items and self._opened:
            raise ConfigError(
                "source: an iterator serves one episode, and its episode was started already; give "
                "a list, or an object whose __iter__ starts anew."
            )
        self._opened += 1
        # A list is the same episode every time, so that several runs of it are a group.
        number = 0 if isinstance(self._items, Sequence) else self._opened - 1
        return Stream(f"stream/{number}", min(self.competencies), iterator)
