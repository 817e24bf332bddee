"""`FineMem-Mix-v0`."""

from __future__ import annotations

from typing import ClassVar

from finemem_env.env import MemoryEnv
from finemem_env.types import Competency


class MixtureEnv(MemoryEnv):
    """The mixture of all competencies, as the papers train on.

    Description:
        Each episode comes from one of the four competencies (evenly by default, or from a weighted
        mixture of sources).

    Arguments:
        source ("synthetic"): "synthetic" (all four evenly), any source,
            a {name: weight} mixture, or the path of an episode file.
        All other keywords are common to the suite: docs/environments.md.

    Version History:
        v0: first version.
    """

    competency: ClassVar[Competency | None] = None
