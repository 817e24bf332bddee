"""How much of a question's credit lands on the steps that read its gold evidence."""

from __future__ import annotations

from finemem_env.rewards import FinalOutcome
from finemem_env.rewards.attribution import shares
from finemem_env.types import Question


def gold_share(
    question: Question, final: FinalOutcome, attribution: str | None, num_steps: int
) -> float | None:
    """Part in [0, 1] of the credit of one answer that lands on gold steps.

    Args:
        question: with its evidence.
        final: how it was answered.
        attribution: None shares the credit evenly over the steps taken (`outcome`).
        num_steps: T.

    Returns:
        None where there is no credit to place (wrong or failed), or no evidence to compare with.
    """
    gold = {entry.chunk for entry in question.evidence}  # step t is the one that read chunk t
    if final.failed or final.score == 0.0 or not gold:
        return None
    if attribution is None:
        horizon = num_steps if final.asked_after is None else final.asked_after + 1
        return sum(step < horizon for step in gold) / horizon
    placed = shares(final, attribution, num_steps)
    return sum(placed[step] for step in gold)
