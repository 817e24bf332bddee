"""Which reward: attribution, weights and scale, and the presets by name."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, get_args

from finemem_env.errors import ConfigError, nearest
from finemem_env.registry import Registry
from finemem_env.rewards.rules import ATTRIBUTIONS

CompressionScale = Literal["step", "episode"]


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the reward terms: w_fmt, w1, w2 and the content judge's (Mem-α's γ)."""

    format: float = 1.0
    chunk_qa: float = 0.5
    compression: float = 0.05
    content: float = 0.0

    def __post_init__(self) -> None:
        """Refuse anything that is not a finite number."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not math.isfinite(value)
            ):
                raise ConfigError(
                    f"weights[{field.name!r}]: expected a finite number, got {value!r}."
                )


@dataclass(frozen=True, slots=True)
class RewardSettings:
    """Everything the pure reward functions need to know.

    `broadcast`: Mem-α's form, r_t = acc + w2·r_comp + w_fmt·r_fmt(t) + γ·content(t), where the
    accuracy is given to every step whole and `compression_scale` is ignored.

    `earned`: an empty memory earns nothing (ours, not the paper's). The format term is
    w_fmt·(r_fmt(t) − 1), which is 0 when everything emitted was valid, and the compression term is
    w·r_comp·r_global, so that brevity pays for what is answered.
    """

    name: str
    attribution: str = "last_write"
    beta: float = 0.5
    weights: Weights = Weights()
    compression_scale: CompressionScale = "step"
    broadcast: bool = False
    earned: bool = False

    def __post_init__(self) -> None:
        """Refuse an unknown attribution or scale and a β outside [0, 1]."""
        if self.attribution not in ATTRIBUTIONS:
            raise ConfigError(nearest("attribution", self.attribution, ATTRIBUTIONS))
        if self.compression_scale not in get_args(CompressionScale):
            raise ConfigError(
                nearest("compression_scale", self.compression_scale, get_args(CompressionScale))
            )
        beta = self.beta
        if isinstance(beta, bool) or not isinstance(beta, int | float) or not 0 <= beta <= 1:
            raise ConfigError(f"beta: expected a number in [0, 1], got {beta!r}.")


REWARDS: Registry[RewardSettings] = Registry(
    "reward",
    {
        "fine-mem": RewardSettings("fine-mem"),
        "fine-mem-cited": RewardSettings("fine-mem-cited", attribution="cited"),
        "fine-mem-earned": RewardSettings(
            "fine-mem-earned", attribution="cited", weights=Weights(format=0.1), earned=True
        ),
        "outcome": RewardSettings("outcome", beta=0.0, weights=Weights(chunk_qa=0.0)),
        "chunk": RewardSettings("chunk", beta=0.0),
        "evidence": RewardSettings("evidence", weights=Weights(chunk_qa=0.0)),
        "evidence-cited": RewardSettings(
            "evidence-cited", attribution="cited", weights=Weights(chunk_qa=0.0)
        ),
        "mem-alpha": RewardSettings(
            "mem-alpha", beta=0.0, weights=Weights(chunk_qa=0.0, content=0.1), broadcast=True
        ),
    },
)
