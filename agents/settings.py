"""Settings of the parts of a run: model, loss, sampler, each checked when it is made.

Without torch, so that the command line explains itself and refuses a mistake before anything heavy
is imported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from finemem_env.backends.options import check_number, read_options
from finemem_env.backends.transport import Address, Patience
from finemem_env.errors import ConfigError, nearest

__all__ = [
    "SAMPLERS",
    "TINY",
    "EngineOptions",
    "LossConfig",
    "LossType",
    "ModelConfig",
    "Precision",
    "SamplerSetup",
    "ServerOptions",
    "check_sampler",
]

LossType = Literal["grpo", "dapo", "dr_grpo", "bnpo"]
Precision = Literal["float32", "bfloat16", "mixed"]
SAMPLERS = ("transformers", "vllm")
TINY = "tiny"  # the model that comes with the package


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which model and how it is held.

    Attributes:
        model: folder or hub id of a transformers causal LM; 'tiny' is the packaged one.
        revision: hub revision; None: the default branch.
        precision: float32; bfloat16 (weights too); mixed (float32 weights, bfloat16 arithmetic).
        device: torch device, or "auto": the accelerator if there is one.
        gradient_checkpointing: recompute activations in the backward pass.
        lora_rank: rank of LoRA adapters on all linear layers; 0: train all weights.
        lora_alpha: scale of the adapters; None: twice the rank.
        tools: give the operations to the chat template as tools.
    """

    model: str
    revision: str | None = None
    precision: Precision = "float32"
    device: str = "auto"
    gradient_checkpointing: bool = False
    lora_rank: int = 0
    lora_alpha: int | None = None
    tools: bool = False

    def __post_init__(self) -> None:
        """Validate names and ranges."""
        if self.precision not in get_args(Precision):
            raise ConfigError(nearest("precision", self.precision, get_args(Precision)))
        if self.lora_rank < 0:
            raise ConfigError(f"lora_rank: expected at least 0, got {self.lora_rank}.")


@dataclass(frozen=True, slots=True)
class LossConfig:
    """The loss; names as in TRL's GRPOConfig where it has the option.

    Attributes:
        loss_type: how tokens are weighted.
        epsilon: the ratio is clipped below 1 - epsilon.
        epsilon_high: the ratio is clipped above 1 + epsilon_high; None: epsilon.
        delta: upper bound of the ratio of tokens with negative advantage (dual clip, 3 in verl).
        beta: weight of the KL to the frozen reference (k3).
        use_bias_correction_kl: multiply the KL by the ratio, whose gradient makes that of the KL
            unbiased even where the ratio is 1 (DeepSeek-V3.2; TRL's default).
        entropy_coef: weight of the entropy bonus, per token of the optimizer step.
        importance_cap: bound of the ratio trainer / sampler that corrects for their difference.

    Raises:
        ConfigError: for an unknown loss or a number out of range.
    """

    loss_type: LossType = "dapo"
    epsilon: float = 0.2
    epsilon_high: float | None = None
    delta: float | None = None
    beta: float = 0.0
    use_bias_correction_kl: bool = True
    entropy_coef: float = 0.0
    importance_cap: float | None = 2.0

    def __post_init__(self) -> None:
        """Validate names and ranges."""
        if self.loss_type not in get_args(LossType):
            raise ConfigError(nearest("loss_type", self.loss_type, get_args(LossType)))
        if not 0 < self.epsilon < 1 or not self.clip_high > 0:
            raise ConfigError(
                "epsilon: expected a number between 0 and 1, and epsilon_high above 0, got "
                f"{self.epsilon!r} and {self.epsilon_high!r}."
            )
        if self.delta is not None and not self.delta > 1 + self.clip_high:
            raise ConfigError(f"delta: expected more than 1 + epsilon_high, got {self.delta!r}.")
        if self.importance_cap is not None and not self.importance_cap > 0:
            raise ConfigError(f"importance_cap: expected above 0, got {self.importance_cap!r}.")
        if not (self.beta >= 0 and math.isfinite(self.beta)):
            raise ConfigError(f"beta: expected a finite number of at least 0, got {self.beta!r}.")
        if not math.isfinite(self.entropy_coef):
            raise ConfigError(f"entropy_coef: expected a finite number, got {self.entropy_coef!r}.")

    @property
    def clip_high(self) -> float:
        """Distance of the upper clip from 1."""
        return self.epsilon if self.epsilon_high is None else self.epsilon_high


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """`sampler_args` of "vllm".

    `memory`: share of the device's memory for the engine, which has the trainer beside it.
    `context_tokens`: longest prompt and reply, None for the model's own. `devices`: tensor
    parallelism. `eager`: no CUDA graphs. `tolerance`: of the probe.
    """

    memory: float = 0.3
    context_tokens: int | None = None
    devices: int = 1
    eager: bool = False
    tolerance: float | None = None


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """`sampler_args` of a server's address.

    `model`: as the server names it, None for its only one. `concurrency`: calls in flight.
    `timeout`, `deadline`: seconds for one attempt, and for one reply with all attempts.
    `api_key_env`: the environment variable that holds the key. `tolerance`: of the probe.
    """

    model: str | None = None
    concurrency: int = 256
    timeout: float = 600.0
    deadline: float = 1200.0
    api_key_env: str = "OPENAI_API_KEY"
    tolerance: float | None = None


@dataclass(frozen=True, slots=True)
class SamplerSetup:
    """What a sampler needs to know of the run.

    Attributes:
        name: "transformers", "vllm", or the address of a vLLM server.
        options: `sampler_args`.
        folder: where weights are handed over; a server must see it under the same path.
        precision: of the trainer.
        temperature: of training.
        processes: of the trainer.
    """

    name: str
    options: Mapping[str, Any]
    folder: Path
    precision: Precision
    temperature: float
    processes: int = 1


def check_sampler(name: str, options: Mapping[str, Any]) -> EngineOptions | ServerOptions | None:
    """The options of a sampler, checked without loading anything; None for transformers.

    Raises:
        ConfigError: no such sampler (with the nearest), or an option that does not fit.
    """
    given: EngineOptions | ServerOptions
    if name.startswith(("http://", "https://")):
        given = read_options(ServerOptions, options, "sampler_args")
        Patience(given.concurrency, given.timeout, given.deadline)
        Address(name, given.api_key_env)
    elif name == "vllm":
        given = read_options(EngineOptions, options, "sampler_args")
    elif name != "transformers":
        hint = "The address of a vLLM server begins with http:// or https://."
        raise ConfigError(f"{nearest('sampler', name, SAMPLERS)} {hint}")
    elif options:
        raise ConfigError("sampler_args: the sampler transformers takes none.")
    else:
        return None
    if given.tolerance is not None:
        check_number("sampler_args", "tolerance", given.tolerance, 0, above=True)
    return given
