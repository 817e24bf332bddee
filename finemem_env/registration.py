"""Environment ids and the factories behind them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from finemem_env.env import MemoryEnv
from finemem_env.errors import ConfigError, KeywordError
from finemem_env.locate import ENVIRONMENTS, load_module
from finemem_env.vector import MemoryVectorEnv


def register_all() -> None:
    """Register every id once (importing `finemem_env` does it)."""
    for env_id in ENVIRONMENTS:
        if env_id not in gym.registry:
            gym.register(
                env_id,
                entry_point="finemem_env.registration:make_env",
                vector_entry_point="finemem_env.registration:make_vector_env",
                kwargs={"env_id": env_id},
            )


def make_env(env_id: str, **keywords: Any) -> MemoryEnv:  # noqa: ANN401
    """The environment behind an id (the entry point that `gym.make` calls)."""
    return env_class(env_id)(**keywords)


def make_vector_env(env_id: str, **keywords: Any) -> MemoryVectorEnv:  # noqa: ANN401
    """The batched environment behind an id (the entry point that `gym.make_vec` calls)."""
    made = env_class(env_id)
    return MemoryVectorEnv(made.competency, **{"source": made.default_source, **keywords})


def env_class(env_id: str) -> type[MemoryEnv]:
    """The class behind an id."""
    module, name = ENVIRONMENTS[env_id]
    env_type: type[MemoryEnv] = getattr(load_module(module), name)
    return env_type


# Of `gym.make_vec`: how the episodes are held is no keyword of the environment.
_HELD = ("num_envs", "autoreset_mode", "vectorization_mode", "vector_kwargs", "wrappers")


def make_rollout_env(env_id: str, env_args: dict[str, Any], count: int) -> MemoryVectorEnv:
    """The batched environment that holds `count` episodes.

    Raises:
        ConfigError: not an environment of this suite, or a keyword that does not fit.
    """
    known = [env_id for env_id in gym.registry if env_id.startswith("FineMem-")]
    for name in _HELD:
        if name in env_args:
            raise KeywordError(f"{name}: whoever plays the episodes decides it; leave it out.")
    try:
        made = gym.make_vec(env_id, num_envs=count, autoreset_mode="disabled", **env_args)
    except ConfigError:
        raise
    except (gym.error.Error, TypeError) as error:  # not registered, or not made like ours
        raise ConfigError(
            f"env: expected one of {known} or an id of your own, got {env_id!r}: {error}"
        ) from error
    env = made.unwrapped
    if not isinstance(env, MemoryVectorEnv):
        made.close()
        raise ConfigError(
            f"env: expected one of {known} or an id of your own, got {env_id!r} (which needs "
            "vector_entry_point='finemem_env.registration:make_vector_env')."
        )
    return env
