"""Which advantage modes estimate the policy gradient without bias, by exact enumeration.

A memory bandit of two steps. Step 0 reads the evidence, step 1 a distractor; at each the policy
writes with probability p_t or skips. The final score is 1 when the evidence was written; every
write costs something at once. The score is attributed in equal shares to the items in memory (the
paper's `last_write`), so writing the distractor takes half of the evidence's credit to step 1.
All G rollouts are enumerated, so expectations are exact and no tolerance hides a bias.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from agents.learn.advantages import Estimator, RolloutRewards, compute_advantages

Floats = npt.NDArray[np.float64]
WRITE = np.array([0.6, 0.3])  # probability of writing at each step
COST = np.array([0.1, 0.05])  # of a write, paid at once
STEPS = len(WRITE)


def rewards_of(actions: tuple[int, ...]) -> tuple[Floats, Floats]:
    """(streamed, attributed) rewards; both sum to the same return."""
    score = float(actions[0])
    paid = -COST * actions
    streamed = paid.copy()
    streamed[-1] += score
    written = sum(actions)
    share = np.array(actions) / written if written else np.full(STEPS, 1 / STEPS)
    return streamed, paid + 0.5 * score / STEPS + 0.5 * score * share


def probability(actions: tuple[int, ...]) -> float:
    return float(np.prod(np.where(actions, WRITE, 1 - WRITE)))


def score_function(actions: tuple[int, ...]) -> Floats:
    """Gradient of log pi(a_t) by the logit of step t, per step."""
    direction: Floats = np.array(actions) - WRITE
    return direction


EPISODES = list(itertools.product((0, 1), repeat=STEPS))
TRUE = sum(
    (probability(a) * rewards_of(a)[0].sum() * score_function(a) for a in EPISODES),
    start=np.zeros(STEPS),
)


def expected_gradient(estimator: Estimator, group: int) -> Floats:
    """Exact expectation of the group's mean of advantage times score function."""
    total = np.zeros(STEPS)
    for rollouts in itertools.product(EPISODES, repeat=group):
        rows = []
        for actions in rollouts:
            streamed, attributed = rewards_of(actions)
            rows.append(RolloutRewards("c", attributed.tolist(), streamed.tolist(), [True] * STEPS))
        advantages = np.stack(compute_advantages(rows, estimator).values)
        directions = np.stack([score_function(a) for a in rollouts])
        weight = np.prod([probability(a) for a in rollouts])
        total += weight * (advantages * directions).mean(axis=0)
    return total


def angle(first: Floats, second: Floats) -> float:
    """Degrees between two gradients."""
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def test_the_bandit() -> None:
    """Writing the evidence pays .6 * .4 * .9; writing the distractor only costs."""
    np.testing.assert_allclose(TRUE, [0.24 * 0.9, -0.21 * 0.05])
    for actions in EPISODES:
        streamed, attributed = rewards_of(actions)
        assert streamed.sum() == pytest.approx(attributed.sum())


@pytest.mark.parametrize("group", [2, 3, 4])
def test_return_with_a_mean_is_unbiased_up_to_one_minus_one_over_g(group: int) -> None:
    found = expected_gradient(Estimator(credit="return", scale="none"), group)
    np.testing.assert_allclose(found, TRUE * (1 - 1 / group), atol=1e-12)


@pytest.mark.parametrize("baseline", ["context_step", "context"])
@pytest.mark.parametrize("group", [2, 3])
def test_return_with_leave_one_out_is_exact(group: int, baseline: str) -> None:
    estimator = Estimator(
        credit="return",
        baseline=baseline,  # type: ignore[arg-type]
        center="leave_one_out",
        scale="none",
    )
    np.testing.assert_allclose(expected_gradient(estimator, group), TRUE, atol=1e-12)


def test_a_pooled_mean_shrinks_steps_unevenly() -> None:
    """It takes off about 1/G, but not the same share of each step's gradient."""
    estimator = Estimator(credit="return", baseline="context", scale="none")
    ratio = expected_gradient(estimator, 2) / TRUE
    # A row's return to go is part of the baseline of both steps, the cost of step 0 of one only:
    # at step 0 the mean of the rollout's two rows moves by (.9 + 1)/2 of the score, not by .9.
    np.testing.assert_allclose(ratio, [1 - (0.9 + 1) / 2 / 0.9 / 2, 1 / 2])


@pytest.mark.parametrize("scale", ["cell", "group", "batch"])
def test_dividing_by_a_spread_turns_the_gradient(scale: str) -> None:
    """A spread estimated from the same rewards weighs groups by 1/spread: the direction moves."""
    estimator = Estimator(credit="return", scale=scale, floor=0.0)  # type: ignore[arg-type]
    assert angle(expected_gradient(estimator, 3), TRUE) > 1.0


@pytest.mark.parametrize("center", ["mean", "leave_one_out"])
def test_step_credit_rewards_what_only_costs(center: str) -> None:
    """The distractor takes credit from the evidence: the sign at step 1 is wrong."""
    estimator = Estimator(credit="step", center=center, scale="none")  # type: ignore[arg-type]
    found = expected_gradient(estimator, 3)
    assert TRUE[1] < 0 < found[1]
    assert 0 < found[0] < TRUE[0]


def test_the_paper_mode_keeps_the_wrong_sign() -> None:
    paper = Estimator(credit="step", scale="cell", floor=0.0)
    assert expected_gradient(paper, 3)[1] > 0
