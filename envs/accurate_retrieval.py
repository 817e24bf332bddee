"""`FineMem-AR-v0`."""

from __future__ import annotations

from typing import ClassVar

from finemem_env.env import MemoryEnv
from finemem_env.types import Competency


class AccurateRetrievalEnv(MemoryEnv):
    """Accurate retrieval: remember facts that are asked much later.

    Description:
        Each chunk holds facts among distractors; a minority is ever asked. The manager must keep
        those and let go of the rest, since the memory holds .4 of the input by default. Questions
        are answered by a frozen reader from the items that a BM25 search finds.

    Arguments:
        source ("synthetic"): "synthetic", "squad", "hotpotqa",
            a {name: weight} mixture, or the path of an episode file.
        All other keywords are common to the suite: docs/environments.md.

    Version History:
        v0: first version.
    """

    competency: ClassVar[Competency | None] = "AR"
