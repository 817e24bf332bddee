"""Losses against plain loops, and what must hold of every option."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("torch", reason="the agents need torch")

import torch
from torch import Tensor

from agents.learn.loss import (
    Denominators,
    LossConfig,
    LossInputs,
    LossType,
    k3,
    policy_loss,
    token_weights,
    truncated_ratio,
)
from finemem_env.errors import ConfigError

LENGTHS, ADVANTAGES = [3, 1, 4], [1.0, -2.0, 0.5]
ROW = [i for i, n in enumerate(LENGTHS) for _ in range(n)]
LOSSES: list[LossType] = ["grpo", "dapo", "dr_grpo", "bnpo"]


def spread(values: list[float]) -> Tensor:
    return torch.tensor([values[i] for i in ROW])


def inputs_of(loss_type: LossType, counts: Denominators, **tensors: Tensor) -> LossInputs:
    draw = torch.Generator().manual_seed(0)
    logprobs = (-3 * torch.rand(len(ROW), generator=draw)).requires_grad_()
    weights = token_weights(
        loss_type, spread([float(n) for n in LENGTHS]), torch.ones(len(ROW)), counts
    )
    return LossInputs(logprobs, spread(ADVANTAGES), weights, **tensors)


def counts_of(**options: Any) -> Denominators:  # noqa: ANN401
    return Denominators.of(LENGTHS, [1.0] * 3, max_completion_length=6, **options)


def noise(scale: float, seed: int = 1) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return -1.5 + scale * torch.randn(len(ROW), generator=draw)


def gradient(loss: Tensor, inputs: LossInputs) -> Tensor:
    (found,) = torch.autograd.grad(loss, inputs.logprobs, retain_graph=True)
    return found


@pytest.mark.parametrize("loss_type", LOSSES)
def test_against_plain_loops(loss_type: LossType) -> None:
    counts = counts_of(window_tokens=5.0)
    inputs = inputs_of(loss_type, counts, old=noise(1.0))
    config = LossConfig(loss_type=loss_type, epsilon=0.2, epsilon_high=0.3, delta=2.0)
    loss, _ = policy_loss(inputs, config, counts)

    assert inputs.old is not None
    rows = [0.0, 0.0, 0.0]
    for n, i in enumerate(ROW):
        ratio = math.exp(float(inputs.logprobs.detach()[n] - inputs.old[n]))
        clipped = min(max(ratio, 0.8), 1.3)
        a = ADVANTAGES[i]
        rows[i] -= min(min(ratio, 2.0) * a, clipped * a)
    expected = {
        "grpo": sum(total / n for total, n in zip(rows, LENGTHS, strict=True)) / 3,
        "bnpo": sum(rows) / 8,
        "dapo": sum(rows) / 5,
        "dr_grpo": sum(rows) / (3 * 6),
    }
    assert loss.item() == pytest.approx(expected[loss_type], rel=1e-5)


def test_gradient_of_two_tokens_by_hand() -> None:
    """Ratio 1 with advantage 2 and ratio e > 1.2 with advantage -1: -2/2 and +e/2."""
    inputs = LossInputs(
        logprobs=torch.tensor([-1.0, -1.0], requires_grad=True),
        advantages=torch.tensor([2.0, -1.0]),
        weights=torch.tensor([0.5, 0.5]),
        old=torch.tensor([-1.0, -2.0]),
    )
    counts = Denominators(rows=1, tokens=2, window_tokens=2, max_completion_length=2)
    loss, _ = policy_loss(inputs, LossConfig(), counts)
    assert loss.item() == pytest.approx(0.5 * (-2.0 + math.e))
    torch.testing.assert_close(gradient(loss, inputs), torch.tensor([-1.0, math.e / 2]))

    dual, stats = policy_loss(inputs, LossConfig(delta=2.0), counts)
    torch.testing.assert_close(gradient(dual, inputs), torch.tensor([-1.0, 0.0]))
    assert stats.means()["clip_delta"] == 0.5
    # A positive advantage is clipped above, a negative one below.
    flipped = replace(inputs, advantages=torch.tensor([2.0, 1.0]))
    loss, stats = policy_loss(flipped, LossConfig(), counts)
    torch.testing.assert_close(gradient(loss, flipped), torch.tensor([-1.0, 0.0]))
    assert stats.means()["clip_high"] == 0.5


@pytest.mark.parametrize("loss_type", LOSSES)
def test_weight_zero_is_bit_equal_to_absence(loss_type: LossType) -> None:
    counts = counts_of()
    absent = inputs_of(loss_type, counts, old=noise(0.5))
    present = replace(absent, reference=noise(3.0, 2), entropy=noise(1.0, 3).abs())
    off = LossConfig(loss_type=loss_type, beta=0.0, entropy_coef=0.0)
    plain, _ = policy_loss(absent, off, counts)
    extra, stats = policy_loss(present, off, counts)
    assert torch.equal(plain, extra)
    assert torch.equal(gradient(plain, absent), gradient(extra, absent))
    assert stats.means()["kl"] > 0  # still measured
    uncapped, _ = policy_loss(
        replace(absent, sampler=noise(1.0, 4)), replace(off, importance_cap=None), counts
    )
    assert torch.equal(plain, uncapped)


def test_importance_ratio_before_and_after_truncation() -> None:
    counts = counts_of()
    old = torch.full((len(ROW),), -1.0)
    wanted = torch.tensor([0.5, 1.0, 4.0, 1.0, 1.0, 1.0, 8.0, 1.0])
    sampler = old - wanted.log()
    sampler[3] = math.nan  # the single token of row 1
    inputs = inputs_of("dapo", counts, old=old, sampler=sampler)
    loss, stats = policy_loss(inputs, LossConfig(), counts)
    means = stats.means()
    assert means["importance_raw"] == pytest.approx((0.5 + 4 + 8 + 4) / 7)
    assert means["importance_truncated"] == pytest.approx((0.5 + 2 + 2 + 4) / 7)
    assert means["importance_capped"] == pytest.approx(2 / 7)
    assert means["importance_raw_max"] == pytest.approx(8.0)
    without, _ = policy_loss(replace(inputs, sampler=None), LossConfig(), counts)
    weight = gradient(loss, inputs) / gradient(without, inputs)
    kept = gradient(without, inputs) != 0
    torch.testing.assert_close(weight[kept], wanted.clamp(max=2.0)[kept])
    assert torch.equal(truncated_ratio(old[3:4], sampler[3:4], 2.0), torch.ones(1))


def test_extreme_ratios_stay_finite() -> None:
    counts = counts_of()
    far = torch.tensor([-1e4, 1e4, -200.0, 200.0, 0.0, 0.0, math.nan, 0.0])
    inputs = inputs_of("grpo", counts, old=far, sampler=far.flip(0), reference=far.nan_to_num())
    loss, stats = policy_loss(inputs, LossConfig(loss_type="grpo", beta=0.1), counts)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient(loss, inputs)).all()
    assert all(math.isfinite(v) for v in stats.means().values())
    assert float(k3(torch.zeros(1), torch.full((1,), 50.0))) == 10.0
    assert float(k3(torch.ones(1), torch.ones(1))) == 0.0


@pytest.mark.parametrize("loss_type", LOSSES)
def test_zero_advantages_give_zero_gradient(loss_type: LossType) -> None:
    counts = counts_of()
    inputs = replace(inputs_of(loss_type, counts), advantages=torch.zeros(len(ROW)))
    loss, _ = policy_loss(inputs, LossConfig(loss_type=loss_type), counts)
    assert not gradient(loss, inputs).any()


def test_on_policy_loss_is_minus_the_mean_advantage() -> None:
    """Why the loss says little: its value has no policy in it, its gradient has."""
    counts = counts_of()
    inputs = inputs_of("grpo", counts)
    loss, stats = policy_loss(inputs, LossConfig(loss_type="grpo"), counts)
    assert loss.item() == pytest.approx(-sum(ADVANTAGES) / 3)
    assert stats.means()["ratio"] == 1.0
    assert gradient(loss, inputs).abs().max() > 0


@pytest.mark.parametrize("loss_type", LOSSES)
def test_padding_rows_do_not_count(loss_type: LossType) -> None:
    counts = counts_of()
    padded = Denominators.of([*LENGTHS, 5, 0], [1.0, 1.0, 1.0, 0.0, 1.0], max_completion_length=6)
    assert padded == counts
    lengths, weights = torch.tensor([3.0, 5.0]), torch.tensor([1.0, 0.0])
    assert token_weights(loss_type, lengths, weights, counts).tolist()[1] == 0.0


def test_denominators_over_processes() -> None:
    """Two processes whose gradients are averaged give the sum of the one."""
    parts = [([3, 1], [1.0, 1.0]), ([4], [1.0])]
    local = [Denominators.of(*part, max_completion_length=6) for part in parts]
    total = (sum(p.rows for p in local), sum(p.tokens for p in local))
    for lengths, weights in parts:
        counts = Denominators.of(
            lengths, weights, max_completion_length=6, processes=2, reduce=lambda _: total
        )
        assert (counts.rows, counts.tokens, counts.window_tokens) == (3, 8, 8)
    for loss_type in LOSSES:
        two = token_weights(loss_type, spread([3.0, 1.0, 4.0]), torch.ones(8), counts)
        one = token_weights(loss_type, spread([3.0, 1.0, 4.0]), torch.ones(8), counts_of())
        torch.testing.assert_close(two, 2 * one)


@pytest.mark.parametrize("loss_type", LOSSES)
def test_the_logged_loss_does_not_depend_on_the_number_of_processes(loss_type: LossType) -> None:
    """Gradients are averaged over processes, logged sums are added up."""
    logged = {}
    for processes in (1, 2):
        counts = counts_of(processes=processes)
        inputs = inputs_of(loss_type, counts, reference=noise(1.0), old=noise(1.0))
        _, stats = policy_loss(inputs, LossConfig(loss_type=loss_type, beta=0.1), counts)
        logged[processes] = stats.means()["loss"]
    assert abs(logged[1]) > 1e-3
    assert logged[2] == pytest.approx(logged[1], rel=1e-6)


def test_stats_add_up_over_micro_batches() -> None:
    counts = counts_of()
    whole = inputs_of("dapo", counts, old=noise(0.5), sampler=noise(0.5, 2), reference=noise(1, 3))
    config = LossConfig(beta=0.1)
    _, stats = policy_loss(whole, config, counts)

    def part(index: slice) -> LossInputs:
        assert whole.old is not None
        assert whole.sampler is not None
        assert whole.reference is not None
        return LossInputs(
            whole.logprobs[index],
            whole.advantages[index],
            whole.weights[index],
            whole.old[index],
            whole.sampler[index],
            whole.reference[index],
        )

    _, first = policy_loss(part(slice(0, 3)), config, counts)
    _, second = policy_loss(part(slice(3, 8)), config, counts)
    assert (first + second).means() == pytest.approx(stats.means(), rel=1e-5)
    doubled = stats.reduced(lambda t: 2 * t, lambda t: t)
    assert doubled.means()["tokens"] == 16
    assert doubled.means()["ratio"] == pytest.approx(stats.means()["ratio"])


def test_entropy_bonus_pushes_entropy_up() -> None:
    counts = counts_of()
    logits = torch.tensor([[2.0, 0.0, -1.0]] * len(ROW), requires_grad=True)
    probabilities = logits.softmax(-1)
    entropy = torch.special.entr(probabilities).sum(-1)
    inputs = replace(inputs_of("dapo", counts), entropy=entropy)
    loss, _ = policy_loss(inputs, LossConfig(entropy_coef=0.1), counts)
    (found,) = torch.autograd.grad(loss, logits)
    (direct,) = torch.autograd.grad(-0.1 * torch.special.entr(logits.softmax(-1)).sum() / 8, logits)
    torch.testing.assert_close(found, direct)


def test_refusals() -> None:
    counts = counts_of()
    with pytest.raises(ConfigError, match="Did you mean 'dr_grpo'"):
        LossConfig(loss_type="drgrpo")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="delta"):
        LossConfig(delta=1.1)
    with pytest.raises(ConfigError, match="epsilon"):
        LossConfig(epsilon=0.0)
    with pytest.raises(ConfigError, match="importance_cap"):
        LossConfig(importance_cap=0.0)
    with pytest.raises(ConfigError, match="beta"):
        LossConfig(beta=-1.0)
    with pytest.raises(ConfigError, match="entropy_coef"):
        LossConfig(entropy_coef=math.inf)
    with pytest.raises(ConfigError, match="reference"):
        policy_loss(inputs_of("dapo", counts), LossConfig(beta=0.1), counts)
    with pytest.raises(ConfigError, match="entropies"):
        policy_loss(inputs_of("dapo", counts), LossConfig(entropy_coef=0.1), counts)
