"""`FineMem-LRU-v0`."""

from __future__ import annotations

from typing import ClassVar

from finemem_env.env import MemoryEnv
from finemem_env.types import Competency

__all__ = ["LongRangeUnderstandingEnv"]


class LongRangeUnderstandingEnv(MemoryEnv):
    """Long-range understanding: questions that no single sentence answers.

    Description:
        Questions ask for aggregates over the whole text (how many times, in which order, who did
        both) or for summaries; a memory that keeps a running tally answers them, a lucky sentence
        does not.

    Action Space:
        A string: a JSON list of INSERT, UPDATE, DELETE operations or one SKIP
        (`info["instructions"]` has the grammar). Text that cannot be read is rejected and counted,
        never raised.

    Observation Space:
        A string: the chunk in `<chunk>`, then the visible memory in `<memory>`, one
        `[id] content` per item.

    Rewards:
        Each step: w_fmt·r_fmt + w1·r_chunk. The last adds r_global + T·w·r_comp. The attributed
        reward of every step is in `info["step_rewards"]` at the end and has the same sum
        (docs/rewards.md).

    Starting State:
        The first chunk and an empty memory. The episode and its questions follow from the seed, or
        from `options={"episode_id": …}`.

    Episode End:
        After the last chunk, whatever the agent wrote. Never truncated.

    Information:
        The same keys at every step, listed in docs/environments.md.

    Arguments:
        source ("synthetic"): "synthetic", "fairytaleqa", "squality",
            a {name: weight} mixture, or the path of an episode file.
        All other keywords are common to the suite: docs/environments.md.

    Version History:
        v0: first version.
    """

    competency: ClassVar[Competency | None] = "LRU"
