"""Groups of rollouts on the real environment, and the gradient that is made of them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.credit_tasks import kind_of
from benchmarks.policy import KindPolicy
from benchmarks.rollout import KindRollout, make_group, play, policy_gradient, reward_rows
from finemem_env.rewards import EpisodeOutcome, StepOutcome
from finemem_env.settings import resolve

SEEDS = [5, 5, 5, 6]


@pytest.fixture(scope="module")
def played() -> tuple[list[KindRollout], list[list[float]]]:
    """Four rollouts of two contexts, and the rewards that the environment paid."""
    env = make_group("FineMem-AR-v0", len(SEEDS), num_chunks=3)
    policy = KindPolicy(["asked", "talk"], [0.5, -1.0])
    rollouts = play(env, policy, SEEDS, lambda _: kind_of, np.random.default_rng(0))
    paid = [[result.reward for result in session.record.results] for session in env.sessions]
    return rollouts, paid


def test_rewards_from_the_record_are_those_of_the_environment(
    played: tuple[list[KindRollout], list[list[float]]],
) -> None:
    rollouts, paid = played
    settings = resolve().reward
    for rollout, rewards in zip(rollouts, paid, strict=True):
        row = reward_rows(rollout, settings)
        assert row.streamed == pytest.approx(rewards, abs=1e-12)
        assert sum(row.step_rewards) == pytest.approx(sum(rewards), abs=1e-9)
        assert rollout.score.shape == (3, 2)


def test_a_group_shares_its_questions_but_not_its_actions(
    played: tuple[list[KindRollout], list[list[float]]],
) -> None:
    rollouts, _ = played
    asked = [[question.id for question, _ in rollout.finals] for rollout in rollouts]
    assert asked[0] == asked[1] == asked[2] != asked[3]
    assert rollouts[0].outcome.input_tokens == rollouts[1].outcome.input_tokens
    assert not np.array_equal(rollouts[0].score, rollouts[1].score)


def test_same_seed_same_rollouts() -> None:
    policy = KindPolicy(["asked"], [0.0])
    first, second = (
        play(
            make_group("FineMem-AR-v0", 2, num_chunks=2),
            policy,
            [1, 1],
            lambda _: kind_of,
            np.random.default_rng(7),
        )
        for _ in range(2)
    )
    assert [one.outcome for one in first] == [one.outcome for one in second]


def test_continuations_share_the_memory_that_they_start_from() -> None:
    env = make_group("FineMem-AR-v0", 4, num_chunks=5)
    policy = KindPolicy(["asked", "talk"], [0.5, -1.0])
    found = play(env, policy, [5, 5, 6, 6], lambda _: kind_of, np.random.default_rng(0), 2)
    assert [one.start for one in found] == [0] * 4 + [2] * 4 + [4] * 4
    assert [len(one.score) for one in found] == [2] * 8 + [1] * 4
    settings = resolve().reward
    for number, one in enumerate(found):
        before = found[number // 4 * 4 - 4 + number % 4 // 2 * 2]  # the first that ended there
        steps = one.outcome.steps
        assert len(steps) == one.start + len(one.score)
        if one.start:
            assert steps[: one.start] == before.outcome.steps
        row = reward_rows(one, settings)
        assert (row.context, row.start) == (one.context, one.start)
        assert len(row.step_rewards) == len(row.streamed) == len(row.valid) == len(one.score)
    # What has not been read is not asked.
    counts = [len(found[number].finals) for number in (0, 4, 8)]
    assert counts == sorted(counts)
    assert counts[0] < counts[2]
    assert len(set(map(id, env.sessions))) == 4


def test_policy_gradient_by_hand() -> None:
    """(1·.5 + 2·(−.5) + 0·.5 + 1·(−.5)) / 2 and the like, two rollouts of two steps."""
    scores = (np.array([[1.0, 0.0], [2.0, 1.0]]), np.array([[0.0, -1.0], [1.0, 3.0]]))
    outcome = EpisodeOutcome((StepOutcome(1, 1, 0),) * 2, (), 30, 60)
    rollouts = [KindRollout(0, outcome, (), score) for score in scores]
    advantages = [np.array([0.5, -0.5]), np.array([0.5, -0.5])]
    assert policy_gradient(rollouts, advantages) == pytest.approx([-0.5, -1.25])
    assert rollouts[0].memory_share == 0.5
    # Two continuations of one step each are one episode.
    halves = [
        KindRollout(0, outcome, (), score[t : t + 1], t) for score in scores for t in range(2)
    ]
    parts = [np.array([0.5]), np.array([-0.5])] * 2
    assert policy_gradient(halves, parts) == pytest.approx([-0.5, -1.25])
