"""Which step gets how much of each final answer: Evidence-Anchored Reward Attribution (Fine-Mem).

With s_j the score of final question j, R_j the items shown to the reader for it, n the number of
answered final questions and T_j the number of steps taken when it was asked (T unless it has
`asked_after`):

    r_EARA(t) = (1/n) Σ_j s_j · [(1−β)·1(t < T_j)/T_j + β·share_j(t)]        t = 0 … T−1

Every share_j sums to 1, so Σ_t r_EARA(t) = r_global in every attribution mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from finemem_env.rewards.presets import RewardSettings
from finemem_env.rewards.rules import ATTRIBUTIONS, FinalOutcome


def answered(finals: Sequence[FinalOutcome]) -> tuple[FinalOutcome, ...]:
    """The final questions whose reader call succeeded: the n of every formula."""
    return tuple(final for final in finals if not final.failed)


def global_reward(finals: Sequence[FinalOutcome]) -> float:
    """r_global = (1/n) Σ_j s_j over the answered questions; 0.0 when none was answered."""
    scores = [final.score for final in finals if not final.failed]
    return sum(scores) / len(scores) if scores else 0.0


def shares(final: FinalOutcome, attribution: str, num_steps: int) -> tuple[float, ...]:
    """How one question's credit falls on the steps: `num_steps` numbers ≥ 0 that sum to 1.

    Nothing shown: spread evenly over the steps taken when the question was asked.

    Raises:
        ValueError: `asked_after` or an item's step does not lie inside the episode.
    """
    horizon = _horizon(final, num_steps)
    if not final.shown:
        return (1.0 / horizon,) * horizon + (0.0,) * (num_steps - horizon)
    placed = _placement(final, attribution, horizon)
    return tuple(placed.get(step, 0.0) for step in range(num_steps))


def needs_leave_one_out(final: FinalOutcome, attribution: str) -> bool:
    """Whether scores without each shown item (`without`) can change this question's shares.

    False where they cannot: no credit to place, a usable citation, or all shown items anchored at
    the same steps (a single item, for one).
    """
    if final.failed or final.score == 0.0:
        return False
    return ATTRIBUTIONS[attribution].reads_without(final)


def evidence_credit(
    finals: Sequence[FinalOutcome], attribution: str, num_steps: int
) -> tuple[float, ...]:
    """N_t, the normalised evidence contribution of each step (`num_steps` numbers ≥ 0).

    Σ_t N_t is r_global less the questions answered with nothing shown: they have no evidence.

    Raises:
        ValueError: as `shares`.
    """
    counted = answered(finals)
    credit = [0.0] * num_steps
    for final in counted:
        horizon = _horizon(final, num_steps)
        if final.score and final.shown:
            for step, share in _placement(final, attribution, horizon).items():
                credit[step] += share * final.score / len(counted)
    return tuple(credit)


def eara(
    finals: Sequence[FinalOutcome], settings: RewardSettings, num_steps: int
) -> tuple[float, ...]:
    """r_EARA(t) for each of `num_steps` steps; the sum is `global_reward(finals)`.

    Raises:
        ValueError: as `shares`.
    """
    counted = answered(finals)
    beta = settings.beta
    spread = [0.0] * num_steps  # at index h−1: what each of the first h steps receives
    for final in counted:
        horizon = _horizon(final, num_steps)
        even = 1.0 - beta if final.shown else 1.0
        spread[horizon - 1] += even * final.score / (horizon * len(counted))
    evenly = list(accumulate(reversed(spread)))[::-1]
    if beta == 0.0:
        return tuple(evenly)
    credit = evidence_credit(counted, settings.attribution, num_steps)
    return tuple(base + beta * earned for base, earned in zip(evenly, credit, strict=True))


def _horizon(final: FinalOutcome, num_steps: int) -> int:
    """T_j: how many steps had been taken when the question was asked."""
    if final.asked_after is None:
        return num_steps
    if not 0 <= final.asked_after < num_steps:
        raise ValueError(
            f"asked_after: expected a step in [0, {num_steps}), got {final.asked_after}."
        )
    return final.asked_after + 1


def _placement(final: FinalOutcome, attribution: str, horizon: int) -> dict[int, float]:
    """Share of each step that receives any; `final.shown` is not empty."""
    placed: dict[int, float] = {}
    for share, steps in ATTRIBUTIONS[attribution].portions(final):
        for step in steps:
            placed[step] = placed.get(step, 0.0) + share / len(steps)
    if max(placed) >= horizon:
        raise ValueError(
            f"a shown item was written at step {max(placed)}, but only {horizon} steps had been "
            "taken when the question was asked."
        )
    return placed
