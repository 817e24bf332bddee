"""stable-baselines3 on the text environments: `python -m baselines.sb3 --algo ppo`.

Trains PPO, DQN or sb3-contrib's MaskablePPO on hashed features and numbered operations
(`finemem_env.wrappers`) and leaves in the output folder

    model.zip        the checkpoint; settings.json beside it says how it was made
    checkpoints/     earlier ones
    tensorboard/     rollout/ep_rew_mean, memory/score (mean score of the final questions), train/…
    progress.csv     the same numbers, one row per update

The benchmark plays it: `--agent sb3 --agent-args '{"checkpoint": "DIR"}'`. Needs the extra `sb3`.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import finemem_env  # noqa: F401  (registers the environments)
from finemem_env.errors import ConfigError, DataError, FineMemError, nearest
from finemem_env.extras import load
from finemem_env.wrappers import DiscreteOperations, FeatureObservation, feature_array, make_draft

__all__ = ["ALGORITHMS", "Sb3Agent", "Sb3Config", "main", "make_env", "train"]

ALGORITHMS = {
    "ppo": "stable_baselines3:PPO",
    "dqn": "stable_baselines3:DQN",
    "maskable_ppo": "sb3_contrib:MaskablePPO",
}
# A first guess that was not tuned; everything else is the library's default.
_PPO = {
    "n_steps": 512,
    "batch_size": 512,
    "n_epochs": 6,
    "gamma": 0.999,
    "gae_lambda": 0.97,
    "ent_coef": 0.005,
    "learning_rate": 1e-3,
    "policy_kwargs": {"net_arch": [64, 64]},
}
_DQN = {
    "learning_starts": 5000,
    "buffer_size": 100_000,
    "gamma": 0.99,
    "train_freq": 8,
    "gradient_steps": 8,
    "batch_size": 128,
    "target_update_interval": 2000,
    "exploration_fraction": 0.3,
    "policy_kwargs": {"net_arch": [64, 64]},
}
_SETTINGS = "settings.json"
_WHAT = "baselines.sb3"  # needs the extra


@dataclass(frozen=True, slots=True)
class Sb3Config:
    """Everything that decides a training run.

    `sentences`, `slots`, `bins`: see the wrappers. `options` go to the algorithm's constructor.
    """

    env: str = "FineMem-AR-v0"
    env_args: Mapping[str, Any] = field(default_factory=dict)
    algo: str = "ppo"
    steps: int = 300_000
    envs: int = 8
    seed: int = 0
    sentences: int = 1
    slots: int = 2
    bins: int = 128
    options: Mapping[str, Any] = field(default_factory=dict)


def make_env(config: Sb3Config) -> gym.Env[Any, Any]:
    """The environment that the algorithm sees."""
    env = gym.make(config.env, disable_env_checker=True, **config.env_args)
    discrete = DiscreteOperations(env, config.sentences, config.slots)
    return FeatureObservation(discrete, config.bins)


def train(config: Sb3Config, output_dir: Path, *, log: bool = True) -> Path:
    """Train and save; returns the checkpoint's path.

    Raises:
        ConfigError: an unknown algorithm, the extra is missing, the folder holds a run.
    """
    factory = _algorithm(config.algo)
    load("torch.utils.tensorboard", _WHAT, "sb3")
    if (output_dir / _SETTINGS).exists():
        raise ConfigError(f"{output_dir} already holds a run; choose another folder.")
    output_dir.mkdir(parents=True, exist_ok=True)
    library = importlib.import_module("stable_baselines3.common.env_util")
    vector = library.make_vec_env(lambda: make_env(config), n_envs=config.envs, seed=config.seed)
    load("torch", _WHAT, "sb3").set_num_threads(1)
    model = factory("MlpPolicy", vector, seed=config.seed, device="cpu", **_options(config))
    logger = importlib.import_module("stable_baselines3.common.logger")
    kinds = ["csv", "tensorboard", *(["stdout"] if log else [])]
    model.set_logger(logger.configure(str(output_dir / "tensorboard"), kinds))
    _write_settings(config, output_dir)
    model.learn(total_timesteps=config.steps, callback=_callbacks(config, output_dir))
    path = output_dir / "model.zip"
    model.save(path)
    model.logger.close()
    vector.close()
    return path


class Sb3Agent:
    """Plays a checkpoint of `train`, greedily.

    Args:
        checkpoint: the folder of the run, or a .zip inside it.

    Raises:
        ConfigError: the extra is missing.
        DataError: there is no such checkpoint.
    """

    def __init__(self, checkpoint: str) -> None:
        path = Path(checkpoint)
        path = path / "model.zip" if path.is_dir() else path
        folder = path.parent.parent if path.parent.name == "checkpoints" else path.parent
        self._config = _read_settings(folder / _SETTINGS)
        if not path.is_file():
            raise DataError(f"{path}: no such checkpoint.")
        factory = _algorithm(self._config.algo)
        load("torch", _WHAT, "sb3").set_num_threads(1)
        self._model = factory.load(path, device="cpu")

    def reset(self, info: Mapping[str, Any]) -> None:
        """Nothing is carried from one episode to the next."""

    def act(self, observation: str, info: Mapping[str, Any]) -> str:
        """Choose operations one after the other until the chunk has been seen."""
        config = self._config
        draft = make_draft(observation, info, config.sentences, config.slots)
        masked = {} if config.algo != "maskable_ppo" else {"action_masks": draft.mask()}
        while not draft.done:
            if masked:
                masked["action_masks"] = draft.mask()
            features = feature_array(draft.situation, config.sentences, config.slots, config.bins)
            choice, _ = self._model.predict(features, deterministic=True, **masked)
            draft.apply(int(choice))
        return draft.action()


def _algorithm(name: str) -> Any:  # noqa: ANN401
    if name not in ALGORITHMS:
        raise ConfigError(nearest("algorithm", name, ALGORITHMS))
    module, _, attribute = ALGORITHMS[name].partition(":")
    return getattr(load(module, _WHAT, "sb3"), attribute)


def _options(config: Sb3Config) -> dict[str, Any]:
    return {**(_DQN if config.algo == "dqn" else _PPO), **config.options}


def _callbacks(config: Sb3Config, output_dir: Path) -> list[Any]:
    base = importlib.import_module("stable_baselines3.common.callbacks")
    every = max(1, config.steps // (4 * config.envs))
    saved = base.CheckpointCallback(every, str(output_dir / "checkpoints"), "model", verbose=0)
    return [saved, _score_callback(base.BaseCallback)()]


def _score_callback(base: Any) -> Callable[[], Any]:  # noqa: ANN401
    class ScoreCallback(base):  # type: ignore[misc]
        """Logs the mean score of the final questions over the last hundred episodes."""

        def __init__(self) -> None:
            super().__init__()
            self._scores: deque[float] = deque(maxlen=100)

        def _on_step(self) -> bool:
            for over, info in zip(self.locals["dones"], self.locals["infos"], strict=True):
                if over:
                    self._scores.append(info["score"])
                    self.logger.record("memory/tokens", info["memory_tokens"])
            if self._scores:
                self.logger.record("memory/score", float(np.mean(self._scores)))
            return True

    return ScoreCallback


def _write_settings(config: Sb3Config, output_dir: Path) -> None:
    versions = {
        name: importlib.import_module(name).__version__
        for name in ("stable_baselines3", "torch", "gymnasium", "numpy")
    }
    with closing(make_env(config)) as env:
        environment = vars(env.unwrapped)["factory"].settings.as_dict()
    record = {
        **dataclasses.asdict(config),
        "resolved_options": _options(config),
        "environment": environment,
        "versions": versions,
    }
    text = json.dumps(record, indent=2) + "\n"
    (output_dir / _SETTINGS).write_text(text, encoding="utf-8")


def _read_settings(path: Path) -> Sb3Config:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        names = [one.name for one in dataclasses.fields(Sb3Config)]
        return Sb3Config(**{name: record[name] for name in names})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: expected the settings of a training run: {error}.") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code (2 for a setting that does not fit)."""
    parser = argparse.ArgumentParser(
        prog="python -m baselines.sb3",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, default = parser.add_argument, Sb3Config()
    add("--env", default=default.env, help="environment id (default: %(default)s)")
    add("--env-args", type=json.loads, default={}, metavar="JSON", help="its keywords")
    add("--algo", choices=list(ALGORITHMS), default=default.algo)
    add("--steps", type=int, default=default.steps, help="choices in all (default: %(default)s)")
    add("--envs", type=int, default=default.envs, help="in one batch (default: %(default)s)")
    add("--seed", type=int, default=default.seed)
    add("--sentences", type=int, default=default.sentences, help="window (default: %(default)s)")
    add("--slots", type=int, default=default.slots, help="items in reach (default: %(default)s)")
    add("--bins", type=int, default=default.bins, help="hash bins (default: %(default)s)")
    add("--options", type=json.loads, default={}, metavar="JSON", help="the algorithm's own")
    add("--output-dir", type=Path, required=True, metavar="DIR", help="a new folder")
    given = vars(parser.parse_args(arguments))
    output_dir = given.pop("output_dir")
    try:
        path = train(Sb3Config(**given), output_dir)
        environment = json.loads((output_dir / _SETTINGS).read_text("utf-8"))["environment"]
        print(f"settings: {json.dumps(environment, ensure_ascii=False)}\nwritten to {path}")
    except (FineMemError, gym.error.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
