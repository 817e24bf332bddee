"""Policy-gradient losses over flat completion tokens, with the names and formulas of TRL 1.16.

Every loss is one weighted sum of the same clipped per-token terms; they differ in the weights:

    grpo     1 / (rows * tokens of the row)      every row counts the same (DeepSeekMath)
    bnpo     1 / tokens of the optimizer step    every token of the step counts the same
    dapo     1 / tokens of the window            the same, with the mean token count of all
                                                 optimizer steps on one rollout batch (DAPO)
    dr_grpo  1 / (rows * max_completion_length)  a constant: no bias towards length (Dr. GRPO)

The denominators are those of the whole optimizer step over all processes, handed in, so a split
into micro-batches or processes changes nothing. (TRL's bnpo divides by the tokens of a micro-batch
and so depends on the split; with one micro-batch the two agree.) With one optimizer step per
rollout batch, bnpo and dapo are equal. An option of weight 0 takes no part in the computation.

The loss value says little: on-policy its ratio is 1 and centred advantages add up to about 0. Watch
the gradient norm, the ratios and the rewards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agents.learn.stats import SUMS, LossStats
from agents.settings import LossConfig, LossType
from finemem_env.errors import ConfigError

__all__ = [
    "Denominators",
    "LossConfig",
    "LossInputs",
    "LossType",
    "k3",
    "policy_loss",
    "token_stats",
    "token_weights",
    "truncated_ratio",
]

MAX_LOG_RATIO = 20.0  # exp overflows float32 at 89
MAX_KL = 10.0  # of one token, as in verl


@dataclass(frozen=True, slots=True)
class Denominators:
    """What an optimizer step is divided by, over all its micro-batches and processes.

    Rows without a completion token or of weight 0 do not count. `processes` undoes the mean that
    DDP and FSDP take over the gradients.
    """

    rows: float
    tokens: float
    window_tokens: float
    max_completion_length: int
    processes: int = 1

    @classmethod
    def of(
        cls,
        lengths: Sequence[int],
        weights: Sequence[float],
        *,
        max_completion_length: int,
        window_tokens: float | None = None,
        processes: int = 1,
        reduce: Callable[[tuple[float, float]], tuple[float, float]] = lambda counts: counts,
    ) -> Denominators:
        """Count rows and tokens of one optimizer step.

        Args:
            lengths: completion tokens of this process's rows.
            weights: their weights.
            max_completion_length: most tokens sampled per row.
            window_tokens: mean tokens of the optimizer steps on one rollout batch; None: `tokens`.
            processes: number of processes whose gradients are averaged.
            reduce: sums (rows, tokens) over processes.
        """
        pairs = list(zip(lengths, weights, strict=True))
        local = (
            math.fsum(weight for length, weight in pairs if length),
            math.fsum(length * weight for length, weight in pairs),
        )
        rows, tokens = reduce(local)
        window = tokens if window_tokens is None else window_tokens
        return cls(rows, tokens, window, max_completion_length, processes)


@dataclass(frozen=True, slots=True)
class LossInputs:
    """Per-token tensors of one micro-batch, all (N,) float32, in the same token order.

    None means: `old` equals the current policy (one optimizer step per rollout batch); `sampler`
    equals `old`; no `reference`; no `entropy`.
    """

    logprobs: Tensor  # of the current policy, with gradient
    advantages: Tensor  # of the token's row
    weights: Tensor  # from `token_weights`; 0 on rows that only fill up
    old: Tensor | None = None
    sampler: Tensor | None = None  # NaN where the sampler knows none
    reference: Tensor | None = None
    entropy: Tensor | None = None


def token_weights(
    loss_type: LossType, lengths: Tensor, row_weights: Tensor, counts: Denominators
) -> Tensor:
    """Weight of every token (N,) in the loss.

    Args:
        loss_type: which loss.
        lengths: (N,) completion tokens of the token's row.
        row_weights: (N,) weight of the token's row.
        counts: denominators of the optimizer step.
    """
    row_weights = row_weights.float()
    if loss_type == "grpo":
        denominator = lengths.float() * max(counts.rows, 1.0)
    elif loss_type == "dr_grpo":
        denominator = torch.full_like(row_weights, counts.rows * counts.max_completion_length)
    else:
        tokens = counts.tokens if loss_type == "bnpo" else counts.window_tokens
        denominator = torch.full_like(row_weights, tokens)
    return row_weights * counts.processes / denominator.clamp(min=1.0)


def policy_loss(
    inputs: LossInputs, config: LossConfig, counts: Denominators
) -> tuple[Tensor, LossStats]:
    """Loss of a micro-batch, to be summed over the micro-batches of an optimizer step.

    Args:
        inputs: per-token tensors; `reference` is needed when beta > 0, `entropy` with gradient when
            entropy_coef is not 0.
        config: the loss.
        counts: denominators of the whole optimizer step.

    Returns:
        The scalar loss, and sums of what is worth logging (without gradient).

    Raises:
        ConfigError: when beta or entropy_coef ask for a tensor that is missing.
    """
    current = inputs.logprobs.detach()
    old = current if inputs.old is None else torch.where(inputs.old.isnan(), current, inputs.old)
    log_ratio = (inputs.logprobs - old).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - config.epsilon, 1 + config.clip_high)
    bounded = ratio if config.delta is None else ratio.clamp(max=config.delta)
    terms = -torch.min(bounded * inputs.advantages, clipped * inputs.advantages)

    correction = None
    if config.importance_cap is not None and inputs.sampler is not None:
        correction = truncated_ratio(old, inputs.sampler, config.importance_cap)
        terms = terms * correction
    kl = None
    if inputs.reference is not None:
        kl = k3(inputs.logprobs if config.beta else current, inputs.reference)
    if config.beta:
        if kl is None:
            raise ConfigError("beta > 0 needs the log-probabilities of a reference model.")
        terms = terms + config.beta * (kl * ratio if config.use_bias_correction_kl else kl)
    loss = (terms * inputs.weights).sum()
    if config.entropy_coef:
        loss = loss - config.entropy_coef * _mean_entropy(inputs, counts)
    # What is logged is summed over the processes, and not averaged as their gradients are.
    stats = token_stats(inputs, config, terms / counts.processes, ratio, kl, correction)
    return loss, stats


def truncated_ratio(old: Tensor, sampler: Tensor, cap: float) -> Tensor:
    """min(exp(old - sampler), cap) per token, without gradient; 1 where the sampler gave NaN.

    Truncated importance sampling corrects for a sampler that is not exactly the trainer's policy
    (another kernel, another precision, weights of an earlier step).
    """
    log_ratio = torch.nan_to_num(old.detach() - sampler, nan=0.0)
    return log_ratio.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp().clamp(max=cap)


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """Schulman's k3 estimate of KL(policy, reference) per token, at least 0, clamped at `MAX_KL`.

    exp(d) - d - 1 with d = reference - logprobs: unbiased in value, not in gradient, which
    `use_bias_correction_kl` mends.
    """
    d = (reference - logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return (d.exp() - d - 1).clamp(max=MAX_KL)


def _mean_entropy(inputs: LossInputs, counts: Denominators) -> Tensor:
    """This micro-batch's part of the mean entropy per token of the optimizer step."""
    if inputs.entropy is None:
        raise ConfigError("entropy_coef needs the entropies of the completion tokens.")
    active = (inputs.weights != 0).float()
    return (inputs.entropy * active).sum() * counts.processes / max(counts.tokens, 1.0)


@torch.no_grad()
def token_stats(
    inputs: LossInputs,
    config: LossConfig,
    terms: Tensor,
    ratio: Tensor,
    kl: Tensor | None,
    correction: Tensor | None,
) -> LossStats:
    """Statistics of one micro-batch; `correction` is the truncated ratio to the sampler."""
    active = inputs.weights != 0
    zero = torch.zeros_like(ratio)
    negative, positive = inputs.advantages < 0, inputs.advantages > 0
    log_ratio = ratio.log()
    raw, known, capped = zero, zero.bool(), zero
    if correction is not None and inputs.sampler is not None:
        known = active & ~torch.isnan(inputs.sampler)
        old = inputs.logprobs if inputs.old is None else inputs.old
        raw = torch.nan_to_num(old - inputs.sampler).clamp(-20.0, 20.0).exp()
        capped = (raw > correction).float()
    columns = {
        "tokens": torch.ones_like(ratio),
        "loss": terms * inputs.weights,
        "ratio": ratio,
        "approx_kl": ratio - 1 - log_ratio,
        "clip_low": ((ratio < 1 - config.epsilon) & negative).float(),
        "clip_high": ((ratio > 1 + config.clip_high) & positive).float(),
        "clip_delta": zero if config.delta is None else (ratio > config.delta) & negative,
        "advantage_abs": inputs.advantages.abs(),
        "entropy": zero if inputs.entropy is None else inputs.entropy,
        "kl": zero if kl is None else kl,
        "importance_tokens": torch.ones_like(ratio),
        "importance_raw": raw,
        "importance_truncated": zero if correction is None else correction,
        "importance_capped": capped,
    }
    masks = [known if name.startswith("importance") else active for name in SUMS]
    sums = [
        torch.where(mask, columns[name].to(ratio.dtype), zero).sum()
        for name, mask in zip(SUMS, masks, strict=True)
    ]
    maxima = [torch.where(active, ratio, zero), torch.where(known, raw, zero)]
    return LossStats(
        torch.stack(sums),
        torch.stack([m.max() if len(m) else m.new_zeros(()) for m in maxima]),
    )
