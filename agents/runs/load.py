"""Finding what a run left behind: its settings and its best weights as a policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from agents.runs.config import PRESETS, TINY, TrainConfig, from_dict
from finemem_env.errors import ConfigError
from finemem_env.extras import needs

if TYPE_CHECKING:
    from agents.model.policy import Policy

__all__ = ["load_manager", "load_run", "read_config"]


def read_config(folder: Path) -> TrainConfig:
    """The resolved settings of a run.

    Raises:
        ConfigError: not the folder of a run.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ConfigError(f"{folder}: expected the folder of a run, with a config.json.")
    try:
        return from_dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:  # ConfigError, or not JSON
        raise ConfigError(f"{path}: {error}") from error


def load_run(folder: Path, which: str = "best") -> tuple[TrainConfig, Policy]:
    """Settings and policy of a run: its best weights, the `last` ones, or the `initial` ones.

    Raises:
        ConfigError: not the folder of a run, or it has no such weights yet.
    """
    config = read_config(folder)
    policy = _load_policy(config)
    if which != "initial":
        from agents.learn import checkpoint

        found = checkpoint.latest(folder / {"best": "best", "last": "checkpoints"}[which])
        if found is None:
            raise ConfigError(f"{folder}: it has no {which} weights yet.")
        checkpoint.load_weights(found, policy.model)
    return config, policy


def load_manager(run: str | None, model: str) -> tuple[TrainConfig, Policy]:
    """A run's best policy, or a plain model with the settings that suit it."""
    if run is not None:
        return load_run(Path(run))
    preset = PRESETS["cpu"] if model == TINY else {"max_new_tokens": 512}
    config = from_dict({**preset, "model": model})
    return config, _load_policy(config)


def _load_policy(config: TrainConfig) -> Policy:
    with needs("a trained model", "train"):
        from agents.model.policy import load_policy
    return load_policy(config.model, config.sampling.sample_tokens)
