"""`FineMem-TTL-v0`."""

from __future__ import annotations

from typing import ClassVar

from finemem_env.env import MemoryEnv
from finemem_env.types import Competency


class TestTimeLearningEnv(MemoryEnv):
    """Test-time learning: learn a labelling from examples in the text.

    Description:
        Chunks hold labelled examples, one a line; final questions ask the label of texts that never
        occurred. The labels are arbitrary codes, so nothing is answered without the memory.

    Arguments:
        source ("synthetic"): "synthetic", "banking77", "clinc150", "csabstruct",
            a {name: weight} mixture, or the path of an episode file.
        All other keywords are common to the suite: docs/environments.md.

    Version History:
        v0: first version.
    """

    competency: ClassVar[Competency | None] = "TTL"
