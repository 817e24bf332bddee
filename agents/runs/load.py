"""Finding what a run left behind: its settings and its best weights as a policy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agents.runs.config import PRESETS, TrainConfig
from agents.settings import TINY
from baselines.reaching import reaching, refuse
from finemem_env.errors import ConfigError
from finemem_env.extras import needs
from finemem_env.fields import read_object

if TYPE_CHECKING:
    from agents.model.policy import Policy

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def read_config(folder: Path) -> TrainConfig:
    """The resolved settings of a run.

    Raises:
        ConfigError: not the folder of a run, or settings that do not fit.
        DataError: its config.json is no JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ConfigError(f"{folder}: expected the folder of a run, with a config.json.")
    settings = read_object(path).mapping_of_all()
    try:
        return TrainConfig(**settings)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def refuse_reaching(config: TrainConfig, folder: Path, env: Mapping[str, Any] = _NOTHING) -> None:
    """Stop where a run of somebody else names a model to load, or an environment that reaches.

    Args:
        config: as the run has it.
        folder: of the run.
        env: what will be made of its environment: `id`, keywords.

    Raises:
        ConfigError: it does.
    """
    model = config.model.model
    named = [] if model == TINY else [f"model {model!r}"]
    refuse(str(folder), [*named, *reaching(env)])


def load_run(
    folder: Path, which: str = "best", *, trust: bool = False
) -> tuple[TrainConfig, Policy]:
    """Settings and policy of a run: its best weights, the `last` ones, or the `initial` ones.

    Args:
        folder: of the run.
        which: weights.
        trust: load whichever model its config names; otherwise the packaged one only.

    Raises:
        ConfigError: not the folder of a run, it has no such weights yet, or it is not trusted.
    """
    config = read_config(folder)
    if not trust:
        refuse_reaching(config, folder)
    policy = _load_policy(config)
    if which != "initial":
        from agents.learn import checkpoint

        checkpoint.load_weights(_weights(folder, which), policy.model)
    return config, policy


def best_update(folder: Path) -> int:
    """The update that a run's best weights are of.

    Raises:
        ConfigError: it has none yet.
    """
    return int(_weights(folder, "best").name)


def _weights(folder: Path, which: str) -> Path:
    with needs("a trained model", "train"):
        from agents.learn import checkpoint
    weights = checkpoint.latest(folder / {"best": "best", "last": "checkpoints"}[which])
    if weights is None:
        raise ConfigError(f"{folder}: it has no {which} weights yet.")
    return weights


def load_manager(
    run: str | None, model: str, update: int | None = None, *, trust: bool = False
) -> tuple[TrainConfig, Policy]:
    """A run's best policy, or a plain model with the settings that suit it.

    Raises:
        ConfigError: the run's best weights are of another `update`; and see `load_run`.
    """
    if run is not None:
        if update is not None and update != (found := best_update(Path(run))):
            raise ConfigError(
                f"{run}: its best weights are those of update {found} by now, not of {update}: "
                "evaluate them in another folder."
            )
        return load_run(Path(run), trust=trust)
    preset = PRESETS["cpu"] if model == TINY else {"max_new_tokens": 512}
    config = TrainConfig(**{**preset, "model": model})
    return config, _load_policy(config)


def _load_policy(config: TrainConfig) -> Policy:
    with needs("a trained model", "train"):
        from agents.model.policy import load_policy
    return load_policy(config.model, config.sampling.sample_tokens)
