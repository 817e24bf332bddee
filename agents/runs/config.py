"""Settings of a training run: the parts' configs in one, and presets.

A setting is known by one flat name: on the command line, in `config.json` and in Python. Order of
precedence: command line > preset > default. The resolved settings are written into a run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from agents.learn.advantages import Estimator
from agents.settings import (
    EnvironmentConfig,
    EvaluationConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    SamplingConfig,
    SavingConfig,
)
from finemem_env.errors import ConfigError, nearest

# Short chunks, one visible item: what the packaged model was warm-started on.
CPU_ENV_ARGS: dict[str, Any] = {
    "num_chunks": 6,
    "memory_view": "recent:1",
    "difficulty": {"facts_per_chunk": 1, "asked_fraction": 0.34, "distractors_per_chunk": 1},
}


@dataclass(frozen=True, slots=True)
class TrainSetting:
    """One setting: its flat name, the part and the field that hold it, and its type."""

    name: str
    part: str
    field: dataclasses.Field[Any]
    hint: Any


@dataclass(frozen=True, slots=True, init=False)
class TrainConfig:
    """A training run; `python -m agents.grpo --help` has a line on every setting.

    `TrainConfig(lr=1e-5, env="FineMem-CR-v0")` takes settings by their flat names, or whole parts:
    `TrainConfig(loss=LossConfig(delta=3.0))`. `TrainConfig(**config.as_dict())` is the same again.

    Raises:
        ConfigError: an unknown setting (with the nearest), a wrong type or a number out of range.
    """

    model: ModelConfig
    environment: EnvironmentConfig
    sampling: SamplingConfig
    estimator: Estimator
    loss: LossConfig
    optimizer: OptimizerConfig
    evaluation: EvaluationConfig
    run: SavingConfig

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        for part, kind in PARTS.items():
            if isinstance(settings.get(part), kind):
                object.__setattr__(self, part, settings.pop(part))
                continue
            own = [setting for setting in SETTINGS.values() if setting.part == part]
            values = {s.field.name: settings.pop(s.name) for s in own if s.name in settings}
            object.__setattr__(self, part, kind(**values))
        for name in settings:
            raise ConfigError(nearest("setting", name, SETTINGS))
        held = [self.evaluation.eval_split, *["test"] * (self.evaluation.final_episodes != 0)]
        if self.environment.env_args.get("split") in held:
            raise ConfigError(
                "env_args: split: expected one that no evaluation plays, got "
                f"{self.environment.env_args['split']!r}; leave it out for train."
            )
        if self.sampling.overlap and self.loss.importance_cap is None:
            raise ConfigError("overlap: needs importance_cap, which corrects what it is off by.")
        if self.sampling.compare == "state" and self.estimator.baseline != "context_step":
            raise ConfigError(
                "baseline: expected context_step with --compare state, got "
                f"{self.estimator.baseline!r}: a group shares the memory at one step."
            )

    def as_dict(self) -> dict[str, Any]:
        """JSON-able copy, by flat names."""
        parts = {part: dataclasses.asdict(getattr(self, part)) for part in PARTS}
        return {name: parts[setting.part][setting.field.name] for name, setting in SETTINGS.items()}

    def fixed(self) -> dict[str, Any]:
        """What a resumed run must not change, by flat names."""
        free = {"updates", "eval_every", "save_every", "threads", "track", "final_episodes"}
        free |= {"references"}
        # Servers and devices may be others now.
        free |= {"sampler", "sampler_args", "overlap", "shard"}
        return {key: value for key, value in self.as_dict().items() if key not in free}


def _settings() -> Iterator[TrainSetting]:
    for part, kind in PARTS.items():
        hints = get_type_hints(kind)
        for field in fields(kind):
            if field.metadata:  # the others have no name of their own
                name = field.metadata["option"] or field.name
                yield TrainSetting(name, part, field, hints[field.name])


PARTS: dict[str, Any] = get_type_hints(TrainConfig)
SETTINGS = {setting.name: setting for setting in _settings()}

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
    },
    # A pretrained model on real text; docs/zero-to-trained.md makes the folder and the files. Sizes
    # are for two cores that other jobs share.
    "cpu-135m": {
        "model": "runs/warmstart",
        "frozen_layers": 22,
        "source": {
            "runs/texts/squad.jsonl": 1,
            "runs/texts/hotpotqa.jsonl": 1,
            "runs/texts/synthetic.jsonl": 1,
        },
        # At the usual weight of .1, and temperature 1, lines that are not there come to be named.
        "env_args": {
            "line_numbers": True,
            "memory_budget": 0.3,
            "memory_view": "recent:1",
            "weights": {"format": 0.4},
        },
        "instructions": False,
        "updates": 16,
        "contexts": 2,
        "group_size": 6,
        "max_new_tokens": 24,
        "temperature": 0.7,
        "lr": 1e-4,
        "warmup_updates": 2,
        "save_every": 1,
        "eval_every": 0,
        "eval_episodes": 6,
        "final_episodes": 16,
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
    "warmup_updates": 0,
    "contexts": 1,
    "group_size": 4,
    "eval_every": 0,
    "eval_episodes": 1,
    "final_episodes": 1,
    "save_every": 1,
}
