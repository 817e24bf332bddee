"""Hand-computed advantages for 2 contexts x 3 rollouts x 3 steps, and what must hold for any."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction as Q
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.learn.advantages import (
    Advantages,
    Baseline,
    Center,
    Credit,
    Estimator,
    RolloutRewards,
    Scale,
    compute_advantages,
    return_to_go,
)
from finemem_env.errors import ConfigError

Table = list[list[Q | int]]

# Attributed and streamed rewards of the contexts A and B.
STEP: dict[str, Table] = {
    "A": [[1, 0, 2], [2, 0, 5], [3, 3, 2]],
    "B": [[0, 4, 1], [0, 0, 1], [6, 2, 1]],
}
# Attributed rewards to go: A [3,2,2] [7,5,5] [8,5,2], B [5,5,1] [1,1,1] [9,3,1].
STREAMED: dict[str, Table] = {
    "A": [[1, 0, 1], [0, 1, 3], [2, 2, 2]],  # returns to go [2,1,1] [4,4,3] [6,4,2]
    "B": [[0, 0, 3], [1, 2, 0], [-1, 4, 0]],  # returns to go [3,3,3] [3,2,0] [3,4,0]
}

# Reward minus baseline, by hand.
CENTRED: dict[tuple[Credit, Baseline, Center], dict[str, Table]] = {
    ("step", "context_step", "mean"): {  # means A 2 1 3, B 2 2 1
        "A": [[-1, -1, -1], [0, -1, 2], [1, 2, -1]],
        "B": [[-2, 2, 0], [-2, -2, 0], [4, 0, 0]],
    },
    ("step", "context_step", "leave_one_out"): {  # 3/2 of the above
        "A": [[Q(-3, 2), Q(-3, 2), Q(-3, 2)], [0, Q(-3, 2), 3], [Q(3, 2), 3, Q(-3, 2)]],
        "B": [[-3, 3, 0], [-3, -3, 0], [6, 0, 0]],
    },
    ("step", "context", "mean"): {  # means A 18/9, B 15/9
        "A": [[-1, -2, 0], [0, -2, 3], [1, 1, 0]],
        "B": [
            [Q(-5, 3), Q(7, 3), Q(-2, 3)],
            [Q(-5, 3), Q(-5, 3), Q(-2, 3)],
            [Q(13, 3), Q(1, 3), Q(-2, 3)],
        ],
    },
    ("step", "context", "leave_one_out"): {  # others' means A 5/2 11/6 5/3, B 5/3 7/3 1
        "A": [
            [Q(-3, 2), Q(-5, 2), Q(-1, 2)],
            [Q(1, 6), Q(-11, 6), Q(19, 6)],
            [Q(4, 3), Q(4, 3), Q(1, 3)],
        ],
        "B": [
            [Q(-5, 3), Q(7, 3), Q(-2, 3)],
            [Q(-7, 3), Q(-7, 3), Q(-4, 3)],
            [5, 1, 0],
        ],
    },
    ("reward_to_go", "context_step", "mean"): {  # means A 6 4 3, B 5 3 1
        "A": [[-3, -2, -1], [1, 1, 2], [2, 1, -1]],
        "B": [[0, 2, 0], [-4, -2, 0], [4, 0, 0]],
    },
    ("reward_to_go", "context_step", "leave_one_out"): {
        "A": [[Q(-9, 2), -3, Q(-3, 2)], [Q(3, 2), Q(3, 2), 3], [3, Q(3, 2), Q(-3, 2)]],
        "B": [[0, 3, 0], [-6, -3, 0], [6, 0, 0]],
    },
    ("reward_to_go", "context", "mean"): {  # means A 39/9, B 27/9
        "A": [
            [Q(-4, 3), Q(-7, 3), Q(-7, 3)],
            [Q(8, 3), Q(2, 3), Q(2, 3)],
            [Q(11, 3), Q(2, 3), Q(-7, 3)],
        ],
        "B": [[2, 2, -2], [-2, -2, -2], [6, 0, -2]],
    },
    ("reward_to_go", "context", "leave_one_out"): {  # others' means A 16/3 11/3 4, B 8/3 4 7/3
        "A": [
            [Q(-7, 3), Q(-10, 3), Q(-10, 3)],
            [Q(10, 3), Q(4, 3), Q(4, 3)],
            [4, 1, -2],
        ],
        "B": [
            [Q(7, 3), Q(7, 3), Q(-5, 3)],
            [-3, -3, -3],
            [Q(20, 3), Q(2, 3), Q(-4, 3)],
        ],
    },
    ("return", "context_step", "mean"): {  # means A 4 3 2, B 3 3 1
        "A": [[-2, -2, -1], [0, 1, 1], [2, 1, 0]],
        "B": [[0, 0, 2], [0, -1, -1], [0, 1, -1]],
    },
    ("return", "context_step", "leave_one_out"): {
        "A": [[-3, -3, Q(-3, 2)], [0, Q(3, 2), Q(3, 2)], [3, Q(3, 2), 0]],
        "B": [[0, 0, 3], [0, Q(-3, 2), Q(-3, 2)], [0, Q(3, 2), Q(-3, 2)]],
    },
    ("return", "context", "mean"): {  # means A 27/9, B 21/9
        "A": [[-1, -2, -2], [1, 1, 0], [3, 1, -1]],
        "B": [
            [Q(2, 3), Q(2, 3), Q(2, 3)],
            [Q(2, 3), Q(-1, 3), Q(-7, 3)],
            [Q(2, 3), Q(5, 3), Q(-7, 3)],
        ],
    },
    ("return", "context", "leave_one_out"): {  # others' means A 23/6 8/3 5/2, B 2 8/3 7/3
        "A": [
            [Q(-11, 6), Q(-17, 6), Q(-17, 6)],
            [Q(4, 3), Q(4, 3), Q(1, 3)],
            [Q(7, 2), Q(3, 2), Q(-1, 2)],
        ],
        "B": [
            [1, 1, 1],
            [Q(1, 3), Q(-2, 3), Q(-8, 3)],
            [Q(2, 3), Q(5, 3), Q(-7, 3)],
        ],
    },
}

# Variances with one degree of freedom taken off per cell: per cell, then pooled per context.
CELLS: dict[tuple[Credit, Baseline], dict[str, list[Q | int]]] = {
    ("step", "context_step"): {"A": [1, 3, 3], "B": [12, 4, 0]},
    ("step", "context"): {"A": [Q(20, 8)] * 3, "B": [Q(34, 8)] * 3},
    ("reward_to_go", "context_step"): {"A": [7, 3, 3], "B": [16, 4, 0]},
    ("reward_to_go", "context"): {"A": [Q(40, 8)] * 3, "B": [Q(64, 8)] * 3},
    ("return", "context_step"): {"A": [4, 3, 1], "B": [0, 1, 3]},
    ("return", "context"): {"A": [Q(22, 8)] * 3, "B": [Q(16, 8)] * 3},
}
GROUPS: dict[tuple[Credit, Baseline], dict[str, Q]] = {
    ("step", "context_step"): {"A": Q(14, 6), "B": Q(32, 6)},
    ("step", "context"): {"A": Q(20, 8), "B": Q(34, 8)},
    ("reward_to_go", "context_step"): {"A": Q(26, 6), "B": Q(40, 6)},
    ("reward_to_go", "context"): {"A": Q(40, 8), "B": Q(64, 8)},
    ("return", "context_step"): {"A": Q(16, 6), "B": Q(8, 6)},
    ("return", "context"): {"A": Q(22, 8), "B": Q(16, 8)},
}
BATCH: dict[tuple[Credit, Baseline], Q] = {
    ("step", "context_step"): Q(23, 6),
    ("step", "context"): Q(27, 8),
    ("reward_to_go", "context_step"): Q(66, 12),
    ("reward_to_go", "context"): Q(13, 2),
    ("return", "context_step"): Q(2),
    ("return", "context"): Q(19, 8),
}
MODES = [
    mode
    for mode in itertools.product(*map(get_args, (Credit, Baseline, Center, Scale)))
    if mode[2:] != ("leave_one_out", "cell")
]


def rollouts_of(names: str = "AB") -> list[RolloutRewards]:
    return [
        RolloutRewards(name, [float(x) for x in step], [float(x) for x in streamed], [True] * 3)
        for name in names
        for step, streamed in zip(STEP[name], STREAMED[name], strict=True)
    ]


def expected(
    credit: Credit, baseline: Baseline, center: Center, scale: Scale, floor: float
) -> list[list[float]]:
    rows = []
    for name in "AB":
        variances: dict[str, Sequence[Q | int]] = {
            "cell": CELLS[credit, baseline][name],
            "group": [GROUPS[credit, baseline][name]] * 3,
            "batch": [BATCH[credit, baseline]] * 3,
        }
        for row in CENTRED[credit, baseline, center][name]:
            if scale == "none":
                rows.append([float(x) for x in row])
                continue
            spreads = [max(math.sqrt(v), floor) + 1e-6 for v in variances[scale]]
            rows.append([float(x) / s for x, s in zip(row, spreads, strict=True)])
    return rows


@pytest.mark.parametrize("floor", [0.0, 1e-2, 1.5])
@pytest.mark.parametrize("mode", MODES, ids="-".join)
def test_golden(mode: tuple[Credit, Baseline, Center, Scale], floor: float) -> None:
    result = compute_advantages(rollouts_of(), Estimator(*mode, floor=floor))
    np.testing.assert_allclose(np.stack(result.values), expected(*mode, floor), atol=1e-12)
    assert result.invalid_rows == 0


def test_golden_literal_of_the_paper() -> None:
    """(r - mean) / (std + 1e-6), written out for the cell (A, step 1): rewards 0, 0, 3."""
    paper = Estimator(credit="step", baseline="context_step", scale="cell", floor=0.0)
    values = np.stack(compute_advantages(rollouts_of(), paper).values)
    np.testing.assert_allclose(values[:3, 1], [-0.577350, -0.577350, 1.154700], atol=1e-5)
    np.testing.assert_array_equal(values[3:, 2], 0.0)  # B's last step: all rewards equal


def test_floor_keeps_a_small_difference_small() -> None:
    rows = [RolloutRewards("c", [0.01 if i == 7 else 0.0], [0.0], [True]) for i in range(8)]
    paper = compute_advantages(rows, Estimator("step", scale="cell", floor=0.0)).values
    ours = compute_advantages(rows, Estimator("step", scale="cell")).values
    assert paper[7][0] == pytest.approx(2.474, abs=1e-3)
    assert ours[7][0] == pytest.approx(0.00875 / 0.010001, abs=1e-6)


def test_statistics_reported() -> None:
    result = compute_advantages(rollouts_of(), Estimator("step"))
    assert result.zero_spread == pytest.approx(1 / 6)
    assert result.spread == pytest.approx(math.sqrt(23 / 6))


def with_valid(rollout: RolloutRewards, valid: list[bool], junk: float) -> RolloutRewards:
    """The rollout with rows marked invalid and junk in place of their rewards."""

    def spoil(rewards: Sequence[float]) -> list[float]:
        return [x if ok else junk for x, ok in zip(rewards, valid, strict=True)]

    return RolloutRewards(
        rollout.context, spoil(rollout.step_rewards), spoil(rollout.streamed), valid
    )


@pytest.mark.parametrize("junk", [math.nan, math.inf, 1e9])
def test_invalid_row_leaves_its_cell(junk: float) -> None:
    rows = rollouts_of()
    rows[0] = with_valid(rows[0], [True, False, True], junk)
    result = compute_advantages(rows, Estimator("step", scale="group"))
    values = np.stack(result.values)
    # Cell (A, 1) keeps 0 and 3: mean 3/2, squares 9/2, one degree of freedom.
    spread = math.sqrt((2 + 4.5 + 6) / (2 + 1 + 2)) + 1e-6
    np.testing.assert_allclose(values[:3, 1], [0.0, -1.5 / spread, 1.5 / spread])
    np.testing.assert_allclose(values[:3, 0], np.array([-1, 0, 1]) / spread)
    assert result.invalid_rows == 1
    assert not result.valid[0][1]


def test_return_needs_all_later_rows() -> None:
    rows = rollouts_of("A")
    rows[1] = with_valid(rows[1], [True, False, True], math.nan)
    result = compute_advantages(rows, Estimator(credit="return", scale="none"))
    assert [v.tolist() for v in result.valid][1] == [False, False, True]
    values = np.stack(result.values)
    np.testing.assert_allclose(values[:, 0], [-2.0, 0.0, 2.0])  # 2 and 6 around 4
    np.testing.assert_allclose(values[:, 2], [-1.0, 1.0, 0.0])  # unchanged


def test_context_baseline_counts_each_rollout_once() -> None:
    """Rollout means 1 (of one valid row) and 4: baseline 5/2, not the row mean 13/4."""
    rows = [
        RolloutRewards("c", [1.0, 0.0, 0.0], [0.0] * 3, [True, False, False]),
        RolloutRewards("c", [4.0, 4.0, 4.0], [0.0] * 3, [True] * 3),
    ]
    values = compute_advantages(rows, Estimator("step", baseline="context", scale="none")).values
    np.testing.assert_allclose(values[0], [-1.5, 0, 0])
    np.testing.assert_allclose(values[1], [1.5, 1.5, 1.5])


def test_batch_spread_counts_each_context_once() -> None:
    """A context repeated over 50 steps moves the batch spread no more than one of 1 step."""
    short = [RolloutRewards("short", [x], [x], [True]) for x in (0.0, 2.0)]  # variance 2
    long = [RolloutRewards("long", [x] * 50, [x] * 50, [True] * 50) for x in (0.0, 4.0)]  # 8
    result = compute_advantages([*short, *long], Estimator("step", scale="batch", epsilon=0.0))
    assert result.spread == pytest.approx(math.sqrt(5))
    assert result.values[1][0] == pytest.approx(1 / math.sqrt(5))


def test_batch_spread_is_reduced_over_processes() -> None:
    """Two halves that add up their sums get the values of one whole."""
    whole = compute_advantages(rollouts_of(), Estimator("step", scale="batch"))
    parts: list[tuple[float, float]] = []

    def collect(pair: tuple[float, float]) -> tuple[float, float]:
        parts.append(pair)
        return pair

    for name in "AB":
        compute_advantages(rollouts_of(name), Estimator("step", scale="batch"), collect)
    total, count = sum(p[0] for p in parts), sum(p[1] for p in parts)
    half = compute_advantages(
        rollouts_of("A"), Estimator("step", scale="batch"), lambda _: (total, count)
    )
    np.testing.assert_allclose(np.stack(half.values), np.stack(whole.values[:3]))


@pytest.mark.parametrize("mode", MODES, ids="-".join)
@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e6])
def test_zero_spread_is_exactly_zero(
    mode: tuple[Credit, Baseline, Center, Scale], value: float
) -> None:
    # Under `return` and a pooled baseline a constant reward still differs by step.
    steps = 1 if mode[0] != "step" and mode[1] == "context" else 3
    rows = [RolloutRewards("c", [value] * steps, [value] * steps, [True] * steps)] * 7
    result = compute_advantages(rows, Estimator(*mode, floor=0.0, epsilon=0.0))
    assert not np.stack(result.values).any()
    assert result.zero_spread == 1.0


@pytest.mark.parametrize("mode", MODES, ids="-".join)
def test_a_rollout_alone_or_all_invalid_gives_no_nan(
    mode: tuple[Credit, Baseline, Center, Scale],
) -> None:
    estimator = Estimator(*mode, floor=0.0, epsilon=0.0)
    alone = compute_advantages([RolloutRewards("c", [2.0], [2.0], [True])], estimator)
    assert alone.values[0].tolist() == [0.0]
    rows = [RolloutRewards("c", [2.0, 3.0], [2.0, 3.0], [False, False])] * 3
    none = compute_advantages(rows, estimator)
    assert not np.stack(none.values).any()
    assert none.zero_spread == 0.0
    assert none.invalid_rows == 6
    assert compute_advantages([], estimator) == Advantages((), (), 0.0, 0.0, 0)


RAGGED = st.lists(st.integers(1, 4), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(lengths=RAGGED, mode=st.sampled_from(MODES), seed=st.integers(0, 2**32 - 1))
def test_permutation_and_ragged_contexts(
    lengths: list[int], mode: tuple[Credit, Baseline, Center, Scale], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        RolloutRewards(
            c, rng.normal(size=t).tolist(), rng.normal(size=t).tolist(), list(rng.random(t) < 0.8)
        )
        for c, t in enumerate(lengths)
        for _ in range(4)
    ]
    estimator = Estimator(*mode)
    straight = compute_advantages(rows, estimator)
    order = rng.permutation(len(rows))
    permuted = compute_advantages([rows[i] for i in order], estimator)
    for place, index in enumerate(order):
        np.testing.assert_allclose(permuted.values[place], straight.values[index], atol=1e-11)
    for value, valid in zip(straight.values, straight.valid, strict=True):
        assert np.isfinite(value).all()
        assert not value[~valid].any()


@settings(max_examples=30, deadline=None)
@given(mode=st.sampled_from(MODES), shift=st.floats(-100, 100), seed=st.integers(0, 2**32 - 1))
def test_a_constant_per_step_reward_cancels(
    mode: tuple[Credit, Baseline, Center, Scale], shift: float, seed: int
) -> None:
    """A reward that every rollout gets at a step (a format reward once mastered) is no signal."""
    if mode[1] == "context":
        mode = (mode[0], "context_step", mode[2], mode[3])
    rng = np.random.default_rng(seed)
    rewards = rng.normal(size=(4, 3))
    moved = rewards + shift * rng.normal(size=(1, 3))

    def run(table: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[list[float]]:
        rows = [RolloutRewards("c", r.tolist(), r.tolist(), [True] * 3) for r in table]
        return [v.tolist() for v in compute_advantages(rows, Estimator(*mode)).values]

    np.testing.assert_allclose(run(moved), run(rewards), atol=1e-9)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="leave_one_out"):
        Estimator(center="leave_one_out", scale="cell")
    with pytest.raises(ConfigError, match="Did you mean 'return'"):
        Estimator(credit="returns")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="floor"):
        Estimator(floor=-1.0)
    one = RolloutRewards("c", [1.0], [1.0], [True])
    two = RolloutRewards("c", [1.0, 2.0], [1.0, 2.0], [True, True])
    with pytest.raises(ConfigError, match="expected one length"):
        compute_advantages([one, two], Estimator())
    with pytest.raises(ConfigError, match="not finite"):
        compute_advantages([RolloutRewards("c", [math.nan], [0.0], [True])], Estimator())
    with pytest.raises(ConfigError, match="as many rewards"):
        compute_advantages([RolloutRewards("c", [1.0], [1.0], [True, True])], Estimator())


def test_return_to_go() -> None:
    np.testing.assert_array_equal(return_to_go(np.array([1.0, 2.0, 4.0])), [7.0, 6.0, 4.0])


def test_continuations_of_one_memory_by_hand() -> None:
    """Two of two steps from step 0, two of one step from step 2; one context, one spread.

    To go: [3, 2] and [1, 2], then [4] and [0]; means 2, 2, 2; deviations 1, 0, 2 and their
    opposites, so the pooled variance is (2 + 0 + 8) / 3.
    """
    rows = [
        RolloutRewards("A", [1, 2], [0, 0], [True, True]),
        RolloutRewards("A", [-1, 2], [0, 0], [True, True]),
        RolloutRewards("A", [4], [0], [True], start=2),
        RolloutRewards("A", [0], [0], [True], start=2),
    ]
    spread = math.sqrt(10 / 3) + 1e-6
    expected = [[1, 0], [-1, 0], [2], [-2]]
    # In any order, and beside another context.
    other = RolloutRewards("B", [1, 5, 2], [0, 0, 0], [True] * 3)
    for order in itertools.permutations(range(4)):
        found = compute_advantages([other, *(rows[i] for i in order)], Estimator()).values
        assert not found[0].any()
        for i, values in zip(order, found[1:], strict=True):
            assert values == pytest.approx([one / spread for one in expected[i]])
    with pytest.raises(ConfigError, match="as many continuations"):
        compute_advantages(rows[:3], Estimator())
