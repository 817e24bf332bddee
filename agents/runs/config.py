"""Settings of a training run: one frozen dataclass, presets, and the command line made from both.

Order of precedence: command line > preset > default. The resolved settings are written into a run.
"""

# ruff: noqa: RUF009 - `_field` only calls `dataclasses.field`

from __future__ import annotations

import argparse
import hashlib
import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from agents.learn.advantages import Baseline, Center, Credit, Estimator, Scale
from agents.settings import (
    TINY,
    LossConfig,
    LossType,
    ModelConfig,
    Precision,
    SamplerSetup,
    check_sampler,
)
from baselines.runs.options import json_object
from finemem_env.errors import ConfigError, nearest

__all__ = [
    "CPU_ENV_ARGS",
    "PRESETS",
    "SMOKE",
    "TINY",
    "TrainConfig",
    "add_arguments",
    "from_dict",
    "parse_config",
]

Schedule = Literal["constant", "linear"]

# Short chunks, one visible item: what the packaged model was warm-started on.
CPU_ENV_ARGS: dict[str, Any] = {
    "num_chunks": 6,
    "memory_view": "recent:1",
    "difficulty": {"facts_per_chunk": 1, "asked_fraction": 0.34, "distractors_per_chunk": 1},
}


def _field(default: Any, text: str) -> Any:  # noqa: ANN401
    """A dataclass field with its line of help."""
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata={"help": text})
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A training run; every field's meaning stands beside it and in `--help`."""

    model: str = _field(TINY, "folder or hub id of a causal LM; 'tiny' is the packaged one")
    revision: str | None = _field(None, "hub revision of the model")
    precision: Precision = _field("float32", "type of weights and arithmetic")
    device: str = _field("auto", "torch device; auto takes the accelerator if there is one")
    gradient_checkpointing: bool = _field(False, "recompute activations: less memory, slower")
    lora_rank: int = _field(0, "rank of LoRA adapters on all linear layers; 0 trains all weights")
    lora_alpha: int | None = _field(None, "scale of the adapters; none is twice the rank")
    tools: bool = _field(False, "give the operations to the chat template as tools")
    instructions: bool = _field(True, "put the environment's instructions into the prompt")

    env: str = _field("FineMem-AR-v0", "environment id")
    source: str | None = _field(None, "data source of the environment; none is synthetic")
    protocol: str | None = _field(None, "bundle of environment settings; none is managed")
    reward: str | None = _field(None, "reward preset; none is the protocol's")
    env_args: dict[str, Any] = _field({}, "other keywords of the environment, as JSON")
    eval_env_args: dict[str, Any] = _field({}, "keywords that differ in evaluation, as JSON")

    updates: int = _field(100, "rollout batches to train on")
    contexts: int = _field(4, "episodes per update over all processes")
    group_size: int = _field(8, "rollouts of every episode (G)")
    max_new_tokens: int = _field(256, "longest reply in tokens")
    temperature: float = _field(1.0, "of sampling; the loss uses the same")
    sample_tokens: int | None = _field(None, "cache positions of one decoding batch; none: no cut")
    sampler: str = _field("transformers", "transformers, vllm, or the address of a vLLM server")
    sampler_args: dict[str, Any] = _field({}, "options of the sampler, as JSON (docs/models.md)")

    credit: Credit = _field("reward_to_go", "reward of the step, of it and later ones, or return")
    baseline: Baseline = _field("context_step", "baseline over one (context, step) or the context")
    center: Center = _field("mean", "baseline is the mean of all rollouts, or of the others")
    scale: Scale = _field("group", "advantages are divided by the spread of: cell, group, batch")
    floor: float = _field(1e-2, "smallest spread that advantages are divided by, in reward")

    loss_type: LossType = _field("dapo", "weights of tokens in the loss")
    epsilon: float = _field(0.2, "clip of the ratio below 1")
    epsilon_high: float | None = _field(None, "clip of the ratio above 1; none is epsilon")
    delta: float | None = _field(None, "dual clip: bound of the ratio at negative advantages")
    kl_beta: float = _field(0.0, "weight of the KL to the initial model, per token")
    entropy_coef: float = _field(0.0, "weight of the entropy bonus, per token")
    importance_cap: float | None = _field(2.0, "bound of the ratio trainer to sampler; none: off")

    lr: float = _field(1e-6, "peak learning rate of AdamW")
    lr_schedule: Schedule = _field("constant", "after the warm-up: constant, or linear to a tenth")
    warmup_updates: int = _field(0, "updates over which the learning rate rises linearly")
    weight_decay: float = _field(0.0, "of AdamW")
    adam_beta2: float = _field(0.99, "decay of AdamW's second moment")
    max_grad_norm: float = _field(1.0, "gradients are scaled down to this norm")
    optimizer_steps: int = _field(1, "optimizer steps per update, each on its share of the steps")
    micro_tokens: int = _field(4096, "padded tokens of a micro-batch")

    eval_every: int = _field(20, "updates between evaluations; 0: only at start and end")
    eval_episodes: int = _field(20, "held-out episodes of an evaluation during training")
    eval_split: str = _field("val", "split of the evaluations that choose the best weights")
    final_episodes: int = _field(50, "episodes of split test in the table at the end; 0: no table")
    eval_temperature: float = _field(0.0, "of sampling in evaluations; 0 is greedy")
    save_every: int = _field(20, "updates between checkpoints")
    seed: int = _field(0, "decides episodes and draws; weights come from the model")
    threads: int = _field(0, "CPU threads of torch; 0 leaves torch's default")
    shard: bool = _field(False, "split weights and optimizer over the processes (FSDP2)")
    track: bool = _field(False, "log to wandb as well, where it is installed")

    def __post_init__(self) -> None:
        """Validate ranges and the combinations that other modules know."""
        for name in ("updates", "contexts", "max_new_tokens", "optimizer_steps", "micro_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected at least 1, got {getattr(self, name)}.")
        if self.group_size < 2:
            raise ConfigError(f"group_size: a group needs 2 rollouts, got {self.group_size}.")
        if self.save_every < 1:
            raise ConfigError(f"save_every: expected at least 1, got {self.save_every}.")
        if not self.temperature > 0:
            raise ConfigError("temperature: training needs a positive one.")
        if not self.lr > 0:
            raise ConfigError(f"lr: expected a positive number, got {self.lr!r}.")
        self.estimator()
        self.loss()
        check_sampler(self.sampler, self.sampler_args)

    def estimator(self) -> Estimator:
        """How rewards become advantages."""
        return Estimator(self.credit, self.baseline, self.center, self.scale, self.floor)

    def loss(self) -> LossConfig:
        """The policy loss."""
        return LossConfig(
            loss_type=self.loss_type,
            epsilon=self.epsilon,
            epsilon_high=self.epsilon_high,
            delta=self.delta,
            beta=self.kl_beta,
            entropy_coef=self.entropy_coef,
            importance_cap=self.importance_cap,
        )

    def model_config(self) -> ModelConfig:
        """Which model and how it is held."""
        return ModelConfig(
            model=self.model,
            revision=self.revision,
            precision=self.precision,
            device=self.device,
            gradient_checkpointing=self.gradient_checkpointing,
            lora_rank=self.lora_rank,
            lora_alpha=self.lora_alpha,
            tools=self.tools,
        )

    def sampler_setup(self, folder: Path, processes: int) -> SamplerSetup:
        """What draws the replies; engines take weights through `folder`."""
        return SamplerSetup(
            self.sampler, self.sampler_args, folder, self.precision, self.temperature, processes
        )

    def train_env(self) -> dict[str, Any]:
        """Keywords of the training environment."""
        named = {"source": self.source, "protocol": self.protocol, "reward": self.reward}
        return {**{k: v for k, v in named.items() if v is not None}, **self.env_args}

    def eval_env(self, split: str) -> dict[str, Any]:
        """Keywords of the environment of evaluations: every final question is asked."""
        return self.train_env() | {"question_fraction": 1.0} | self.eval_env_args | {"split": split}

    def as_dict(self) -> dict[str, Any]:
        """JSON-able copy."""
        return asdict(self)

    def digest(self) -> str:
        """SHA-256 over what a resumed run must not change."""
        free = {"updates", "eval_every", "save_every", "threads", "track", "final_episodes"}
        free |= {"sampler", "sampler_args", "shard"}  # servers and devices may be others now
        kept = {key: value for key, value in self.as_dict().items() if key not in free}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


# `gpu-1b`, `gpu-4b-lora` and `paper` have not been run (docs/training.md).
PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {
        "instructions": False,
        # At the default weight of .05 a few junk sentences stay: each costs a fiftieth of a fact.
        "env_args": CPU_ENV_ARGS | {"weights": {"compression": 0.15}},
        "updates": 150,
        "contexts": 6,
        "max_new_tokens": 96,
        "temperature": 0.7,
        "lr": 3e-4,
        "lr_schedule": "linear",
        "warmup_updates": 5,
        "eval_every": 15,
        "eval_episodes": 32,
    },
    "gpu-1b": {
        "model": "Qwen/Qwen3-1.7B",
        "precision": "mixed",
        "gradient_checkpointing": True,
        "contexts": 8,
        "max_new_tokens": 512,
        "sample_tokens": 262_144,
        "micro_tokens": 16_384,
        "lr": 2e-6,
        "env_args": {"chunk_tokens": 512},
    },
    "gpu-4b-lora": {
        "model": "Qwen/Qwen3-4B",
        "precision": "bfloat16",
        "gradient_checkpointing": True,
        "lora_rank": 32,
        "contexts": 8,
        "max_new_tokens": 1024,
        "sample_tokens": 131_072,
        "micro_tokens": 16_384,
        "lr": 2e-5,
        "env_args": {"chunk_tokens": 1024},
    },
    "paper": {
        "model": "Qwen/Qwen3-4B",
        "env": "FineMem-Mix-v0",
        "protocol": "fine-mem",
        "precision": "mixed",
        "gradient_checkpointing": True,
        "env_args": {"question_fraction": 0.2, "chunk_questions": 5},
        "contexts": 32,
        "group_size": 8,
        "max_new_tokens": 2048,
        "sample_tokens": 262_144,
        "micro_tokens": 32_768,
        "lr": 1e-6,
        "credit": "step",
        "scale": "cell",
        "floor": 0.0,
        "loss_type": "grpo",
    },
}
SMOKE: dict[str, Any] = {
    "updates": 2,
    "contexts": 1,
    "group_size": 4,
    "eval_every": 0,
    "eval_episodes": 2,
    "final_episodes": 2,
    "save_every": 1,
}


def from_dict(values: Mapping[str, Any]) -> TrainConfig:
    """The config of `as_dict`.

    Raises:
        ConfigError: an unknown field (with the nearest).
    """
    known = [one.name for one in fields(TrainConfig)]
    for name in values:
        if name not in known:
            raise ConfigError(nearest("setting", name, known))
    return TrainConfig(**values)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One option per field, unset unless given; plus --preset and --smoke."""
    parser.add_argument(
        "--preset", choices=sorted(PRESETS), help="starting values (default: cpu for model tiny)"
    )
    parser.add_argument("--smoke", action="store_true", help="two small updates, under a minute")
    hints = get_type_hints(TrainConfig)
    for one in fields(TrainConfig):
        default = one.default if one.default is not MISSING else {}
        text = f"{one.metadata['help']} (default: {default})".replace("%", "%%")
        parser.add_argument(
            "--" + one.name.replace("_", "-"),
            dest=one.name,
            default=argparse.SUPPRESS,
            help=text,
            **_option(hints[one.name]),
        )


def parse_config(given: argparse.Namespace) -> TrainConfig:
    """The resolved config of parsed arguments."""
    own = {one.name for one in fields(TrainConfig)}
    explicit = {key: value for key, value in vars(given).items() if key in own}
    preset = given.preset or ("cpu" if explicit.get("model", TINY) == TINY else None)
    chosen = dict(PRESETS[preset]) if preset else {}
    if given.smoke:
        chosen |= SMOKE
    for name in ("env_args", "eval_env_args"):
        if name in explicit and name in chosen:
            explicit[name] = {**chosen[name], **explicit[name]}
    return from_dict(chosen | explicit)


def _option(hint: Any) -> dict[str, Any]:  # noqa: ANN401
    """Argparse's keywords for a field of this type."""
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if get_origin(hint) is dict:
        return {"type": json_object, "metavar": "JSON"}
    if get_origin(hint) in (Union, types.UnionType):
        (inner,) = (one for one in get_args(hint) if one is not type(None))
        return {"type": _optional(inner), "metavar": inner.__name__.upper()}
    return {"type": hint, "metavar": hint.__name__.upper()}


def _optional(inner: Any) -> Any:  # noqa: ANN401
    def convert(text: str) -> Any:  # noqa: ANN401
        return None if text.casefold() == "none" else inner(text)

    convert.__name__ = inner.__name__
    return convert
