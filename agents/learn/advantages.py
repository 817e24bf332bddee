"""Group-relative advantages over rows (context, rollout, step), in numpy.

Fine-Mem (arXiv 2601.08435, eq. 9) compares the G rollouts of one context step by step. What this
module offers beyond the paper, and when each form is unbiased:

* credit `step` uses the attributed reward r_t of the step alone (the paper): low variance, biased
  by design, since it ignores what a step does to the terms of other steps. `return` uses the
  return-to-go of the *streamed* reward: with baseline `context_step` and scale `none` unbiased up
  to the factor 1 - 1/G of a mean that includes the row itself, and exact with `leave_one_out`. This
  needs an episode length that the policy cannot change, which holds: T is the number of chunks.
* credit `reward_to_go` sums the attributed rewards from the step to the end: less noise than
  `return`, since a final question counts at its writers' steps and before, not after; and unlike
  `step` it sees that what was stored now keeps later steps from storing (a memory budget). Biased
  only in what a step does to the rewards of earlier ones (deleting what they wrote).
* baseline `context` is exact with `leave_one_out` too; its mean takes off about 1/G, and not the
  same share from every step.
* dividing by the spread of a cell (the paper) weighs contexts and steps by 1/spread, so it follows
  another objective; a spread per group or per batch is milder, `none` keeps the gradient.

Rollouts of one context may be continuations from one memory (local re-rollouts): those that begin
at the same `start` are compared, and a sum ends with the continuation.

Statistics are two-pass and in float64. A cell is what the baseline is taken over: the G rows of one
(context, step), or all rows of a context. Invalid rows leave mean and spread and get zero.
"""

# ruff: noqa: RUF009 - `setting` only calls `dataclasses.field`

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from finemem_env.backends.options import check_fields, setting
from finemem_env.errors import ConfigError

__all__ = [
    "Advantages",
    "Baseline",
    "Center",
    "Credit",
    "Estimator",
    "RolloutRewards",
    "Scale",
    "compute_advantages",
    "return_to_go",
]

Credit = Literal["step", "reward_to_go", "return"]
Baseline = Literal["context_step", "context"]
Center = Literal["mean", "leave_one_out"]
Scale = Literal["cell", "group", "batch", "none"]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Reduce = Callable[[tuple[float, float]], tuple[float, float]]

EQUAL = 1e-9  # rewards closer than this, relative to max(1, |reward|), count as equal


@dataclass(frozen=True, slots=True)
class Estimator:
    """How rewards become advantages; the paper is step, context_step, mean, cell, floor 0.

    `credit`: attributed reward of the step, those from the step to the end, or return-to-go of the
    streamed reward. `baseline`: mean over one (context, step), or over the whole context (Mem-alpha
    pools). `center`: mean of all rows, or of the other rollouts only. `scale`: what the centred
    reward is divided by: the spread of its cell, one spread per context pooled over its cells, one
    per batch in which every context counts the same, or nothing. `floor` keeps a difference of 0.01
    from being blown up to 2.4. `epsilon` is added to the spread.

    Raises:
        ConfigError: for an unknown name, a negative number, or leave_one_out with scale cell, whose
            ratio grows without bound when the other rollouts agree.
    """

    credit: Credit = setting("reward_to_go", "reward of the step, of it and later ones, or return")
    baseline: Baseline = setting("context_step", "baseline over one (context, step) or the context")
    center: Center = setting("mean", "baseline is the mean of all rollouts, or of the others")
    scale: Scale = setting("group", "advantages are divided by the spread of: cell, group, batch")
    floor: float = setting(1e-2, "smallest spread that advantages are divided by, in reward", low=0)
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        """Validate types, ranges and the combination."""
        check_fields(self)
        if self.epsilon < 0:
            raise ConfigError(f"epsilon: expected at least 0, got {self.epsilon!r}.")
        if self.center == "leave_one_out" and self.scale == "cell":
            raise ConfigError(
                "center='leave_one_out' with scale='cell' is refused: a row's distance to the "
                "others over their spread is unbounded. Use scale='group', 'batch' or 'none'."
            )


@dataclass(frozen=True, slots=True)
class RolloutRewards:
    """One rollout of one context, T steps: both rewards, and which rows are usable.

    `start`: the first of its steps within the context's, for continuations.
    """

    context: Hashable
    step_rewards: Sequence[float]  # (T,) attributed r_t
    streamed: Sequence[float]  # (T,) what `step` returned
    valid: Sequence[bool]  # (T,) False where a reader or the sampler failed
    start: int = 0


@dataclass(frozen=True, slots=True)
class Advantages:
    """Advantages in the order of the rollouts, with what to log about them."""

    values: tuple[Floats, ...]  # (T,) each, 0.0 on invalid rows
    valid: tuple[Bools, ...]  # (T,) each, after the rule of the credit mode
    zero_spread: float  # share of comparable cells (two valid rows or more) that all agree
    spread: float  # root of the mean over contexts of the pooled variance, before the floor
    invalid_rows: int
    comparable: int = 0  # cells that `zero_spread` is a share of


@dataclass(frozen=True, slots=True)
class _Group:
    """One context: centred rewards (G, T), and per cell (T or 1) squared deviations and dof."""

    centred: Floats
    squares: Floats
    dof: Floats

    @property
    def variance(self) -> float:
        """Variance pooled over the cells, 0.0 where no cell can be compared."""
        dof = float(self.dof.sum())
        return float(self.squares.sum()) / dof if dof else 0.0


def return_to_go(rewards: Floats) -> Floats:
    """Sum of the rewards from each step to the end, along the last axis, undiscounted."""
    return np.flip(np.cumsum(np.flip(rewards, -1), axis=-1), -1)


def compute_advantages(
    rollouts: Sequence[RolloutRewards],
    estimator: Estimator,
    reduce: Reduce = lambda pair: pair,
) -> Advantages:
    """Advantage of every row of `rollouts`; contexts may differ in T, rollouts of one may not.

    Continuations of a context may differ in length where they differ in `start`; each start needs
    as many.

    Args:
        rollouts: all rollouts of the contexts of one update on this process, in any order. A group
            never spans processes.
        estimator: the modes.
        reduce: sums (variances, contexts) over processes for scale `batch`; called exactly once.

    Raises:
        ConfigError: rollouts of one context of different length, or a valid reward not finite.
    """
    members: dict[Hashable, dict[int, list[int]]] = {}
    for index, rollout in enumerate(rollouts):
        members.setdefault(rollout.context, {}).setdefault(rollout.start, []).append(index)
    signals = [_signal(rollout, estimator.credit) for rollout in rollouts]
    groups = {
        context: _centre(*_join(context, parts, signals), estimator)
        for context, parts in members.items()
    }
    variances = [group.variance for group in groups.values() if group.dof.any()]
    total, count = reduce((math.fsum(variances), float(len(variances))))
    batch_spread = math.sqrt(total / count) if count else 0.0

    values: list[Floats] = [np.empty(0)] * len(rollouts)
    for context, parts in members.items():
        rest = _scale(groups[context], estimator, batch_spread)
        for rows in parts.values():
            own, rest = np.split(rest, [len(rollouts[rows[0]].valid)], axis=1)
            for index, row in zip(rows, own, strict=True):
                values[index] = row
    valid = tuple(usable for _, usable in signals)
    comparable = sum(int((group.dof > 0).sum()) for group in groups.values())
    return Advantages(
        values=tuple(values),
        valid=valid,
        zero_spread=_zero_spread(list(groups.values()), comparable),
        spread=batch_spread,
        invalid_rows=sum(int((~usable).sum()) for usable in valid),
        comparable=comparable,
    )


def _signal(rollout: RolloutRewards, credit: Credit) -> tuple[Floats, Bools]:
    """What is compared and where it may be, both (T,); a sum needs all its later rows."""
    valid = np.asarray(rollout.valid, dtype=np.bool_)
    raw = rollout.streamed if credit == "return" else rollout.step_rewards
    rewards = np.asarray(raw, dtype=np.float64)
    if rewards.shape != valid.shape or rewards.ndim != 1:
        raise ConfigError(
            f"context {rollout.context!r}: expected as many rewards as validity flags, got shapes "
            f"{rewards.shape} and {valid.shape}."
        )
    if not np.isfinite(rewards[valid]).all():
        raise ConfigError(
            f"context {rollout.context!r}: a reward of a valid row is not finite: "
            f"{rewards.tolist()}. Mark rows without a reward as invalid."
        )
    rewards = np.where(valid, rewards, 0.0)
    if credit == "step":
        return rewards, valid
    valid = np.flip(np.logical_and.accumulate(np.flip(valid)))
    return np.where(valid, return_to_go(rewards), 0.0), valid


def _join(
    context: Hashable, parts: Mapping[int, Sequence[int]], signals: Sequence[tuple[Floats, Bools]]
) -> tuple[Floats, Bools]:
    """(G, T) arrays of one context, whose rollouts are given by their first step."""
    counts = {len(rows) for rows in parts.values()}
    if len(counts) > 1:
        raise ConfigError(
            f"context {context!r}: expected as many continuations from every memory, got "
            f"{ {start: len(rows) for start, rows in parts.items()} } by first step."
        )
    stacked = [_stack(context, [signals[i] for i in rows]) for rows in parts.values()]
    return np.hstack([part for part, _ in stacked]), np.hstack([usable for _, usable in stacked])


def _stack(context: Hashable, signals: list[tuple[Floats, Bools]]) -> tuple[Floats, Bools]:
    """(G, T) arrays of one context."""
    lengths = {len(rewards) for rewards, _ in signals}
    if len(lengths) > 1:
        raise ConfigError(
            f"context {context!r}: its rollouts have {sorted(lengths)} steps; expected one length. "
            "Keep failed steps and mark them invalid."
        )
    return np.stack([rewards for rewards, _ in signals]), np.stack([v for _, v in signals])


def _centre(rewards: Floats, valid: Bools, estimator: Estimator) -> _Group:
    """Subtract the baseline of the cell; (G, T) in."""
    centre = _centre_step if estimator.baseline == "context_step" else _centre_context
    return centre(rewards, valid, estimator.center == "leave_one_out")


def _centre_step(rewards: Floats, valid: Bools, leave_one_out: bool) -> _Group:
    """A cell per step: every rollout has one row in it."""
    count = valid.sum(axis=0)
    deviation = np.where(valid, rewards - rewards.sum(axis=0) / np.maximum(count, 1), 0.0)
    deviation *= _differs(rewards, valid, axis=0)
    dof = np.maximum(count - 1, 0).astype(np.float64)
    # x - mean of the others = (x - mean) * n / (n - 1); alone in the cell there is no baseline.
    factor = np.divide(count, dof, out=np.zeros_like(dof), where=dof > 0) if leave_one_out else 1.0
    return _Group(deviation * factor, (deviation**2).sum(axis=0), dof)


def _centre_context(rewards: Floats, valid: Bools, leave_one_out: bool) -> _Group:
    """One cell per context, in which every rollout counts the same however many rows are valid."""
    rows = valid.sum(axis=1, keepdims=True)
    weight = valid / np.maximum(rows, 1)
    present = float((rows > 0).sum())
    means = (weight * rewards).sum(axis=1, keepdims=True)
    differs = _differs(rewards, valid, axis=None)
    deviation = np.where(valid & differs, rewards - means.sum() / max(present, 1.0), 0.0)
    total = float(valid.sum())
    squares = (weight * deviation**2).sum() / max(present, 1.0) * total
    centred = deviation
    if leave_one_out:
        # The whole rollout is left out: its other rows depend on the same actions.
        others = (means.sum() - means) / max(present - 1.0, 1.0)
        centred = np.where(valid & differs & (present > 1), rewards - others, 0.0)
    return _Group(centred, np.array([squares]), np.array([max(total - 1.0, 0.0)]))


def _differs(rewards: Floats, valid: Bools, axis: int | None) -> Bools:
    """Whether the valid rewards of a cell are not all equal, so that equal ones give exactly 0."""
    high = np.where(valid, rewards, -np.inf).max(axis=axis, initial=-np.inf)
    low = np.where(valid, rewards, np.inf).min(axis=axis, initial=np.inf)
    size = np.where(valid, np.abs(rewards), 0.0).max(axis=axis, initial=1.0)
    return np.asarray(high - low > EQUAL * size)


def _scale(group: _Group, estimator: Estimator, batch_spread: float) -> Floats:
    """Divide the centred rewards (G, T) by the spread the estimator asks for."""
    if estimator.scale == "none":
        return group.centred
    spread: Floats | float
    if estimator.scale == "cell":
        spread = np.sqrt(group.squares / np.maximum(group.dof, 1.0))
    else:
        spread = batch_spread if estimator.scale == "batch" else math.sqrt(group.variance)
    divisor = np.broadcast_to(
        np.maximum(spread, estimator.floor) + estimator.epsilon, group.centred.shape
    )
    scaled = np.zeros_like(group.centred)
    np.divide(group.centred, divisor, out=scaled, where=divisor > 0)
    return scaled


def _zero_spread(groups: Sequence[_Group], comparable: int) -> float:
    """Share of the cells with two valid rows or more in which all agree, 0.0 without one."""
    equal = sum(int(((group.dof > 0) & (group.squares == 0)).sum()) for group in groups)
    return equal / comparable if comparable else 0.0
