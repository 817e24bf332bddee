"""Numbers of an update, of all processes: sums with what they are divided by, which add up."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from agents.learn.advantages import Advantages
from agents.learn.rollout import Rollout, RolloutClock
from finemem_env.types import Op, RejectReason

# (total, what it is divided by) by key; what is divided by 0 is a count and stays a sum.
Sums = dict[str, tuple[float, float]]
_RARE = "rollout/rejects/"  # logged only when there are any


def means(parts: Sequence[Sums]) -> dict[str, float]:
    """What to log of the sums of all processes."""
    numbers = {}
    for key in dict.fromkeys(key for part in parts for key in part):
        pairs = [part[key] for part in parts if key in part]
        total, count = (math.fsum(column) for column in zip(*pairs, strict=True))
        if total or not key.startswith(_RARE):
            numbers[key] = total / count if count else total
    return numbers


def rollout_sums(rollouts: Sequence[Rollout], prefix: str = "rollout") -> Sums:
    """`rollout/…` of finished rollouts; another prefix gets what `METRICS` names under it."""
    results = [result for rollout in rollouts for result in rollout.results]
    operations = [operation for result in results for operation in result.operations]
    whole = [rollout for rollout in rollouts if rollout.whole]
    graded = [rollout for rollout in whole if rollout.graded]
    sums: Sums = {}
    if graded:  # where the reader failed there is no score, and none of 0
        sums["score"] = _sum(rollout.score for rollout in graded)
        sums["return"] = _sum(rollout.total for rollout in graded)
    sums |= {
        "accepted": _sum(operation.accepted for operation in operations),
        "memory_tokens": _sum(rollout.session.memory.tokens for rollout in whole),
    }
    if prefix != "rollout":
        return {f"{prefix}/{key}": value for key, value in sums.items()}
    steps = [step for rollout in rollouts for step in rollout.steps]
    replies = [step.completion for step in steps if step.completion is not None]
    sums |= {
        "chunks": _sum(len(rollout.session.episode.chunks) for rollout in whole),
        "replies": (len(steps), 0),
        "prompt_tokens": _sum(len(step.prompt) for step in steps),
        "reply_tokens": _sum(len(reply.token_ids) for reply in replies),
        "cut_off": _sum(not reply.finished for reply in replies),
        "failed_rows": (len(steps) - len(replies), 0),
    }
    kinds = Counter(operation.name for operation in operations if operation.accepted)
    sums |= {f"operations/{op}": (kinds[op], len(steps)) for op in Op}
    reasons = Counter(operation.reason for operation in operations)
    sums |= {f"rejects/{reason}": (reasons[reason], len(steps)) for reason in sorted(RejectReason)}
    return {f"rollout/{key}": value for key, value in sums.items()}


def reward_sums(rollouts: Sequence[Rollout], advantages: Advantages) -> Sums:
    """`reward/…`: terms, rewards by step index, and what the group statistics saw."""
    results = [result for rollout in rollouts for result in rollout.results]
    whole = [rollout for rollout in rollouts if rollout.whole]
    ends = [rollout.results[-1] for rollout in whole]
    scores = [rollout.score for rollout in whole if rollout.graded]
    chunk_qa = [result.terms["chunk_qa"] for result in results if result.chunk_answers]
    cells = advantages.comparable
    sums = {
        "format": _sum(result.terms["format"] for result in results),
        "compression": _sum(result.terms["compression"] for result in ends),
        "spread": (advantages.spread, 1),  # of all processes already
        "zero_spread": (advantages.zero_spread * cells, cells),
        "invalid_rows": (advantages.invalid_rows, 0),
    }
    if scores:
        sums["global"] = _sum(scores)
    if chunk_qa:
        sums["chunk_qa"] = _sum(chunk_qa)
    for step, values in sorted(_by_step(rollouts).items()):
        sums[f"step/{step}"] = _sum(values)
    return {f"reward/{key}": value for key, value in sums.items()}


def _by_step(rollouts: Sequence[Rollout]) -> dict[int, list[float]]:
    """The attributed rewards of all rows, by step of the episode."""
    rewards: dict[int, list[float]] = {}
    for rollout in rollouts:
        for step, reward in enumerate(rollout.rewards().step_rewards, rollout.start):
            rewards.setdefault(step, []).append(reward)
    return rewards


def time_sums(clock: RolloutClock, seconds: dict[str, float], tokens: int) -> Sums:
    """`time/…`: seconds by part, and `tokens` completion tokens over them."""
    parts = {
        "sample": clock.sample,
        "environment": clock.environment,
        "reader": clock.reader,
        **seconds,
    }
    rates = {f"{key}_tokens_per_second": tokens / max(parts[key], 1e-9) for key in _RATED}
    sums: Sums = {key: (value, 1) for key, value in parts.items()}
    sums |= {key: (value, 0) for key, value in rates.items()}
    return {f"time/{key}": value for key, value in sums.items()}


_RATED = ("sample", "update")


def _sum(values: Iterable[float]) -> tuple[float, float]:
    listed = list(values)
    return math.fsum(listed), len(listed)
