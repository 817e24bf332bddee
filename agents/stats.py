"""Sums over tokens of what a policy update logs; added up over micro-batches and processes.

Kept as tensors, so that logging costs no synchronisation with the device until `means`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from agents.loss import LossConfig, LossInputs

__all__ = ["LossStats", "token_stats"]

SUMS = (
    "tokens",  # active completion tokens
    "loss",  # weighted per-token terms, KL included, entropy bonus not
    "ratio",  # new / old policy
    "approx_kl",  # k3 of the old against the new policy
    "clip_low",  # share clipped below, negative advantages
    "clip_high",  # share clipped above, positive advantages
    "clip_delta",  # share beyond the dual clip, negative advantages
    "advantage_abs",
    "entropy",
    "kl",  # k3 to the reference
    "importance_tokens",  # tokens with a sampler log-probability
    "importance_raw",  # trainer / sampler before truncation
    "importance_truncated",  # after
    "importance_capped",  # share above the cap
)
MAXIMA = ("ratio_max", "importance_raw_max")


@dataclass(frozen=True, slots=True)
class LossStats:
    """Sums and maxima over active tokens; `means` gives what to log."""

    sums: Tensor  # (len(SUMS),) float64 on the CPU, float32 on a device
    maxima: Tensor  # (len(MAXIMA),)

    def __add__(self, other: LossStats) -> LossStats:
        """Statistics of both micro-batches together."""
        return LossStats(self.sums + other.sums, torch.maximum(self.maxima, other.maxima))

    def reduced(
        self, add: Callable[[Tensor], Tensor], largest: Callable[[Tensor], Tensor]
    ) -> LossStats:
        """Statistics over processes: `add` and `largest` reduce one tensor each."""
        return LossStats(add(self.sums), largest(self.maxima))

    def means(self) -> dict[str, float]:
        """Mean per token of each sum, the loss itself, the token count, and the maxima."""
        values = dict(zip(SUMS, self.sums.tolist(), strict=True))
        result = {"tokens": values["tokens"], "loss": values["loss"]}
        for name in SUMS[2:]:
            if name != "importance_tokens":
                part = "importance_tokens" if name.startswith("importance") else "tokens"
                result[name] = values[name] / max(values[part], 1.0)
        return result | dict(zip(MAXIMA, self.maxima.tolist(), strict=True))


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
