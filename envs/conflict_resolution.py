"""`FineMem-CR-v0`."""

from __future__ import annotations

from typing import ClassVar

from finemem_env.env import MemoryEnv
from finemem_env.types import Competency


class ConflictResolutionEnv(MemoryEnv):
    """Conflict resolution: facts change and the latest one holds.

    Description:
        Facts are overwritten in later chunks; others never change. A memory that keeps superseded
        facts beside current ones leaves the reader to guess.

    Arguments:
        source ("synthetic"): "synthetic", "mquake", "factconsolidation",
            a {name: weight} mixture, or the path of an episode file.
        All other keywords are common to the suite: docs/environments.md.

    Version History:
        v0: first version.
    """

    competency: ClassVar[Competency | None] = "CR"
