"""stable-baselines3 on the text environments: `python -m baselines.sb3 --algo ppo`.

Trains PPO, DQN or sb3-contrib's MaskablePPO on hashed features and numbered operations
(`finemem_env.wrappers`) and leaves in the output folder

    model.zip        the checkpoint; settings.json beside it says how it was made
    checkpoints/     earlier ones
    events.…         TensorBoard's: rollout/ep_rew_mean, memory/score (mean score of the final
                     questions), train/…; the run has the name of the folder
    progress.csv     the same numbers, one row per update

Ctrl-C saves the model, --resume goes on with it. The benchmark plays it: `--agent sb3 --agent-args
'{"checkpoint": "DIR"}'`. Needs the extra `sb3`.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import shlex
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import finemem_env  # noqa: F401  (registers the environments)
from baselines.sb3_weights import restore, restore_policy
from finemem_env.backends.options import read_options
from finemem_env.cli.frame import Parser, command, program, saving, shell_line
from finemem_env.cli.options import (
    add_env_options,
    add_output_options,
    add_seed,
    add_verbose,
    env_args,
    env_id,
    json_object,
    positive,
)
from finemem_env.cli.progress import Progress, begin
from finemem_env.disk import claimed
from finemem_env.errors import ConfigError, DataError, nearest
from finemem_env.extras import load
from finemem_env.fields import read_object
from finemem_env.wrappers import DiscreteOperations, FeatureObservation, feature_array, make_draft

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
_SETTINGS, _MODEL = "settings.json", "model.zip"
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


def train(
    config: Sb3Config,
    output_dir: Path,
    *,
    log: bool = True,
    verbose: bool = False,
    resume: bool = False,
) -> Path:
    """Train and save; returns the checkpoint's path. What Ctrl-C stops is saved as well.

    Args:
        config: everything that decides the run.
        output_dir: its folder.
        log: say on stderr what runs and how far it is.
        verbose: print the numbers of every update.
        resume: go on with the model in the folder, by the choices that are left; the episodes that
            were being played, and the replay buffer of DQN, start anew.

    Raises:
        ConfigError: an unknown algorithm, the extra is missing, the folder holds a run and `resume`
            is off, or a run of another config.
        DataError: `resume` without a run in the folder.
    """
    factory = _algorithm(config.algo)
    load("torch.utils.tensorboard", _WHAT, "sb3")
    if resume:
        _check_same(config, output_dir)
    elif (output_dir / _SETTINGS).exists():
        raise ConfigError(f"{output_dir} already holds a run; --resume goes on with it.")
    output_dir.mkdir(parents=True, exist_ok=True)
    library = importlib.import_module("stable_baselines3.common.env_util")
    vector = library.make_vec_env(lambda: make_env(config), n_envs=config.envs, seed=config.seed)
    load("torch", _WHAT, "sb3").set_num_threads(1)
    saved = _last_model(output_dir) if resume else None
    model = factory("MlpPolicy", vector, seed=config.seed, device="cpu", **_options(config))
    if saved is not None:
        restore(model, saved)
        model.set_random_seed((config.seed + model.num_timesteps) % 2**32)  # other episodes
    _log(model, output_dir, verbose)
    _write_settings(config, output_dir)
    with saving(output_dir, "The model is kept: the same command with --resume goes on."):
        return _learn(model, config, output_dir, log=log)


def _learn(model: Any, config: Sb3Config, output_dir: Path, *, log: bool) -> Path:  # noqa: ANN401
    """The choices that are left; the model is saved however they end."""
    path, aside = output_dir / _MODEL, output_dir / f"new-{_MODEL}"
    planned = choices(config)
    done = min(model.num_timesteps, planned)
    if log:
        what = f"{planned:,} choices{f', {done:,} of them done' if done else ''}"
        watch = shlex.join(["tensorboard", "--logdir", str(output_dir.parent)])
        begin(f"{what}: {config.algo} on {config.env}", output_dir, watch)
    try:
        with Progress(planned, "choice", shown=log) as progress:
            progress.skip(done)
            model.learn(
                total_timesteps=max(0, config.steps - model.num_timesteps),
                callback=_callbacks(config, output_dir, progress),
                reset_num_timesteps=False,
            )
    finally:
        model.save(aside)
        aside.replace(path)
        model.logger.close()
        model.get_env().close()
    return path


def _last_model(output_dir: Path) -> Path | None:
    """The model of the run, or the newest checkpoint of one that was killed."""
    path = output_dir / _MODEL
    saved = sorted(
        (output_dir / "checkpoints").glob("*.zip"), key=lambda zip_: zip_.stat().st_mtime
    )
    return path if path.is_file() else next(iter(reversed(saved)), None)


def _log(model: Any, output_dir: Path, log: bool) -> None:  # noqa: ANN401
    """Write numbers to the folder; those of an earlier start keep a file of their own."""
    logger = importlib.import_module("stable_baselines3.common.logger")
    table = output_dir / "progress.csv"
    if table.exists():
        table.rename(output_dir / f"progress-to-{model.num_timesteps}.csv")
    kinds = ["csv", "tensorboard", *(["stdout"] if log else [])]
    model.set_logger(logger.configure(str(output_dir), kinds))


def _check_same(config: Sb3Config, output_dir: Path) -> None:
    """A run goes on under its own settings; only the number of choices may grow."""
    before = _read_settings(output_dir / _SETTINGS)
    for field_ in dataclasses.fields(Sb3Config):
        old, new = getattr(before, field_.name), getattr(config, field_.name)
        if old != new and field_.name != "steps":
            raise ConfigError(
                f"{output_dir} holds a run with another {field_.name}: {old!r}, not {new!r}."
            )


class Sb3Agent:
    """Plays a checkpoint of `train`, greedily; of the file it takes nothing but tensors.

    Args:
        checkpoint: the folder of the run, or a .zip inside it.

    Raises:
        ConfigError: the extra is missing.
        DataError: there is no such checkpoint.
    """

    def __init__(self, checkpoint: str) -> None:
        path = Path(checkpoint)
        path = path / _MODEL if path.is_dir() else path
        folder = path.parent.parent if path.parent.name == "checkpoints" else path.parent
        self._config = _read_settings(folder / _SETTINGS)
        if not path.is_file():
            raise DataError(f"{path}: no such checkpoint.")
        load("torch", _WHAT, "sb3").set_num_threads(1)
        self._model = blank(self._config)
        restore_policy(self._model, path)

    def reset(self, info: Mapping[str, Any]) -> None:
        """Nothing is carried from one episode to the next."""

    def act(self, observation: str, info: Mapping[str, Any]) -> str:
        """Choose operations one after the other until the chunk has been seen."""
        config = self._config
        draft = make_draft(observation, info, config.sentences, config.slots)
        while not draft.done:
            masked = {"action_masks": draft.mask()} if config.algo == "maskable_ppo" else {}
            features = feature_array(draft.situation, config.sentences, config.slots, config.bins)
            choice, _ = self._model.predict(features, deterministic=True, **masked)
            draft.apply(int(choice))
        return draft.action()


def blank(config: Sb3Config) -> Any:  # noqa: ANN401
    """An untrained model of the config's shape; of what it was trained on, nothing is opened."""
    shape = {"policy_kwargs": _options(config).get("policy_kwargs")}
    small = {"buffer_size": 1} if config.algo == "dqn" else {}
    with closing(make_env(dataclasses.replace(config, env=Sb3Config().env, env_args={}))) as env:
        try:
            return _algorithm(config.algo)("MlpPolicy", env, device="cpu", **shape, **small)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{_SETTINGS}: policy_kwargs of a {config.algo} policy: {error}"
            ) from error


def _algorithm(name: str) -> Any:  # noqa: ANN401
    if name not in ALGORITHMS:
        raise ConfigError(nearest("algorithm", name, ALGORITHMS))
    module, _, attribute = ALGORITHMS[name].partition(":")
    return getattr(load(module, _WHAT, "sb3"), attribute)


def _options(config: Sb3Config) -> dict[str, Any]:
    return {**(_DQN if config.algo == "dqn" else _PPO), **config.options}


def choices(config: Sb3Config) -> int:
    """How many choices training takes: those asked for, for PPO in whole rollouts of all `envs`."""
    if config.algo == "dqn":
        return config.steps
    rollout = int(_options(config)["n_steps"]) * config.envs
    return -(-config.steps // rollout) * rollout


def _callbacks(config: Sb3Config, output_dir: Path, progress: Progress) -> list[Any]:
    base = importlib.import_module("stable_baselines3.common.callbacks")
    every = max(1, choices(config) // (4 * config.envs))
    saved = base.CheckpointCallback(every, str(output_dir / "checkpoints"), "model", verbose=0)
    return [saved, _score_callback(base.BaseCallback, progress)]


def _score_callback(base: Any, progress: Progress) -> Any:  # noqa: ANN401
    scores: deque[float] = deque(maxlen=100)
    accepted: deque[float] = deque(maxlen=1000)

    class ScoreCallback(base):  # type: ignore[misc]
        """Logs the mean score of the final questions over the last hundred episodes."""

        def _on_step(self) -> bool:
            dones = self.locals["dones"]
            for over, info in zip(dones, self.locals["infos"], strict=True):
                accepted.extend(float(result["accepted"]) for result in info["operations"])
                if over:
                    scores.append(info["score"])
                    self.logger.record("memory/tokens", info["memory_tokens"])
            if scores:
                self.logger.record("memory/score", float(np.mean(scores)))
            progress(_state(scores, accepted), len(dones))
            return True

    return ScoreCallback()


def _state(scores: Sequence[float], accepted: Sequence[float]) -> str:
    """Beside the bar: the score of the last episodes, the accepted share of operations."""
    if not scores or not accepted:
        return ""
    return f"score {np.mean(scores):.2f}, accepted {np.mean(accepted):.2f}"


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
    if not path.is_file():
        raise DataError(f"{path}: expected the settings of a training run, there is no such file.")
    record = read_object(path)
    stored = {setting.name: record.get(setting.name) for setting in dataclasses.fields(Sb3Config)}
    return read_options(Sb3Config, stored, str(path))


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and say how to score what was trained."""
    options = _parser().parse_args(arguments)
    names = ("algo", "steps", "envs", "seed", "sentences", "slots", "bins", "options")
    chosen = {name: getattr(options, name) for name in names}
    config = Sb3Config(env_id(options), env_args(options), **chosen)
    folder = options.output_dir
    with claimed(folder):
        path = train(config, folder, verbose=options.verbose, resume=options.resume)
    if options.verbose:
        environment = json.loads((folder / _SETTINGS).read_text("utf-8"))["environment"]
        print(f"settings: {json.dumps(environment, ensure_ascii=False)}")
    print(f"written to {path}")
    print(f"score it: {_scoring(config, folder)}")
    return 0


def _scoring(config: Sb3Config, folder: Path) -> str:
    """The command that plays the checkpoint on test episodes of what it was trained on."""
    keywords = {key: value for key, value in config.env_args.items() if key != "split"}
    return shell_line(
        "baselines.benchmark",
        *("--env", config.env),
        *(("--env-args", json.dumps(keywords)) if keywords else ()),
        *("--agent", "sb3", "--agent-args", json.dumps({"checkpoint": str(folder)})),
        *("--output-dir", folder / "benchmark"),
    )


def _parser() -> Parser:
    parser = program(_WHAT, __doc__)
    add, default = parser.add_argument, Sb3Config()
    add_env_options(parser)
    add("--algo", choices=list(ALGORITHMS), default=default.algo, help="what learns")
    add(
        "--steps",
        type=positive,
        default=default.steps,
        metavar="N",
        help="choices in all; PPO rounds up",
    )
    add("--envs", type=positive, default=default.envs, metavar="N", help="in one batch")
    add_seed(parser, "of weights and episodes")
    add("--sentences", type=positive, default=default.sentences, metavar="N", help="window")
    add("--slots", type=positive, default=default.slots, metavar="N", help="items in reach")
    add("--bins", type=positive, default=default.bins, metavar="N", help="hash bins")
    add("--options", type=json_object, default={}, metavar="JSON", help="the algorithm's own")
    add_output_options(parser, "the choices that are left")
    add_verbose(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
