"""Which episodes of a path a page shows: the first ones, all agents of each side by side."""

from __future__ import annotations

import heapq
import json
from dataclasses import dataclass
from pathlib import Path

from finemem_env.errors import ConfigError
from finemem_env.inspect import Choice, Recorded, RecordedTraces
from finemem_env.view.record import record

_MOST_CHARS = 48_000_000  # of one page: what a browser reads in about a second


@dataclass(frozen=True, slots=True)
class Collection:
    """Episodes as JSON texts, and how many were chosen from."""

    episodes: tuple[str, ...]
    total: int

    @property
    def note(self) -> str:
        """What is not in it, as a sentence; "" when everything is."""
        if len(self.episodes) == self.total:
            return ""
        return (
            f"{len(self.episodes)} of {self.total} episodes; choose others with --agent, --task, "
            "--budget and --episode, or more with --most."
        )


def collect(
    path: Path,
    choice: Choice,
    most: int,
    *,
    newest: bool = False,
    most_chars: int = _MOST_CHARS,
) -> Collection:
    """At most `most` episodes of `path`, fewer where the page would get too large.

    Args:
        path: a trace file, or the folder of a run.
        choice: what of it.
        most: episodes.
        newest: those that were written last, the newest at the end; instead of the first ones of
            every agent.
        most_chars: of all episodes together; one is there in any case.

    Raises:
        ConfigError: nothing fits `choice`.
        DataError: there are no traces.
    """
    total = 0
    kept: list[tuple[tuple[int, ...], Recorded]] = []  # a heap: what goes first is least wanted
    for number, recorded in enumerate(RecordedTraces(path)):
        if choice.takes(recorded):
            total += 1
            wanted = (number,) if newest else (-recorded.trace.episode, -number)
            heapq.heappush(kept, (wanted, recorded))
            if len(kept) > most:
                heapq.heappop(kept)
    if not total:
        raise ConfigError(f"{path}: no trace fits these options.")
    episodes: list[str] = []
    for _, recorded in sorted(kept, key=lambda entry: entry[0], reverse=True):
        text = json.dumps(record(recorded), separators=(",", ":"))
        most_chars -= len(text)
        if episodes and most_chars < 0:
            break
        episodes.append(text)
    return Collection(tuple(reversed(episodes) if newest else episodes), total)
