"""`FineMem-LRU-v0`."""

from __future__ import annotations

from typing import ClassVar

from finemem_env.env import MemoryEnv
from finemem_env.types import Competency


class LongRangeUnderstandingEnv(MemoryEnv):
    """Long-range understanding: questions that no single sentence answers.

    Description:
        Questions ask for aggregates over the whole text (how many times, in which order, who did
        both) or for summaries; a memory that keeps a running tally answers them, a lucky sentence
        does not.

    Arguments:
        source ("synthetic"): "synthetic", "fairytaleqa", "squality",
            a {name: weight} mixture, or the path of an episode file.
        All other keywords are common to the suite: docs/environments.md.

    Version History:
        v0: first version.
    """

    competency: ClassVar[Competency | None] = "LRU"
