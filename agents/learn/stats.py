"""Sums over tokens of what a policy update logs; added up over micro-batches and processes.

Kept as tensors, so that logging costs no synchronisation with the device until `means`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

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
