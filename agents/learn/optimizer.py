"""The optimizer of a training run."""

from __future__ import annotations

import torch
from torch import nn

from agents.settings import OptimizerConfig
from finemem_env.backends.local import on_plain_cpu


def make_optimizer(scorer: nn.Module, adam: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over the weights of `scorer` that are trained."""
    return torch.optim.AdamW(
        [weight for weight in scorer.parameters() if weight.requires_grad],
        adam.lr,
        betas=(0.9, adam.adam_beta2),
        weight_decay=adam.weight_decay,
        # torch's own choice is fast on accelerators only.
        fused=True if on_plain_cpu(scorer) else None,
    )
