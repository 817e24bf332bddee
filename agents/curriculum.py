"""A curriculum of episode lengths: short episodes first.

"3:20,6:40,10" is 20 updates on episodes of 3 chunks, 40 on 6, and 10 chunks from then on. Memory-R2
(arXiv 2605.21768) reports that lengthening the episodes is worth more than its form of credit.
"""

from __future__ import annotations

import re
from itertools import accumulate, pairwise

from finemem_env.errors import ConfigError

_STAGE = re.compile(r"\s*([1-9][0-9]{0,5})\s*:\s*([1-9][0-9]{0,8})\s*", re.ASCII)
_LAST = re.compile(r"\s*([1-9][0-9]{0,5})\s*", re.ASCII)

Stages = tuple[tuple[int, int], ...]


def parse_curriculum(text: str) -> Stages:
    """(first update, chunks) of every stage; () for no curriculum.

    Raises:
        ConfigError: not "chunks:updates" by commas, with chunks alone for the last stage.
    """
    if not text:
        return ()
    *parts, last = text.split(",")
    matches = [_STAGE.fullmatch(part) for part in parts]
    end = _LAST.fullmatch(last)
    if end is None or not all(matches):
        raise ConfigError(
            "curriculum: expected stages chunks:updates and chunks alone for the rest, "
            f"such as 3:20,6:40,10, got {text!r}."
        )
    stages = [(int(match[1]), int(match[2])) for match in matches if match is not None]
    starts = accumulate((updates for _, updates in stages), initial=0)
    chunks = [*(count for count, _ in stages), int(end[1])]
    if any(later <= earlier for earlier, later in pairwise(chunks)):
        raise ConfigError(f"curriculum: expected episodes that get longer, got {text!r}.")
    return tuple(zip(starts, chunks, strict=True))


def chunks_at(stages: Stages, update: int) -> int | None:
    """Chunks of an episode in an update (the first is 0); None without a curriculum."""
    return next((chunks for first, chunks in reversed(stages) if update >= first), None)
