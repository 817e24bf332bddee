"""Credit for each step in prime-rl, from the traces of `integrations.verifiers`.

Nothing of prime-rl is imported: an algorithm is a class in a copy of it (docs/integrations.md).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from finemem_env.errors import DataError
from finemem_env.integrations.rows import Credit

_EPS = 1e-4  # as in our trainer


def step_advantages(
    traces: Sequence[Any], *, credit: Credit = "reward_to_go", scale: bool = True
) -> list[list[float]]:
    """GRPO within each (context, step): one value for every sampled token of every trace.

    Args:
        traces: of verifiers, the rollouts of one task.
        credit: what a reply is paid, as in `ReplyRow.signal`.
        scale: divide by the standard deviation (ddof 1) of the group.

    Returns:
        For each trace its values in the order that prime-rl's `assign_advantages` takes; 0 where
        there is nothing to be compared with.

    Raises:
        DataError: a trace whose `turn_rewards` do not fit its sampled messages.
    """
    rewards = [trace.info.get("turn_rewards") or [] for trace in traces]
    sampled = [[sum(n.mask) for n in trace.nodes if any(n.mask)] for trace in traces]
    for turns, tokens in zip(rewards, sampled, strict=True):
        if len(turns) != len(tokens) or len(turns) != len(rewards[0]):
            raise DataError(
                "step_advantages: expected one turn reward for each sampled message and equally "
                f"many in each trace, got {len(turns)} for {len(tokens)} and {len(rewards[0])}."
            )
    paid = rewards if credit == "step" else [_to_go(turns) for turns in rewards]
    by_step = [_normalised(step, scale) for step in zip(*paid, strict=True)]
    return [
        [value for t, tokens in enumerate(counts) for value in [by_step[t][g]] * tokens]
        for g, counts in enumerate(sampled)
    ]


def _to_go(rewards: Sequence[float]) -> list[float]:
    return [math.fsum(rewards[step:]) for step in range(len(rewards))]


def _normalised(rewards: Sequence[float], scale: bool) -> list[float]:
    if len(rewards) < 2:
        return [0.0] * len(rewards)
    mean = statistics.fmean(rewards)
    over = statistics.stdev(rewards) + _EPS if scale else 1.0
    return [(reward - mean) / over for reward in rewards]
