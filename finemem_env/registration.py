"""Environment ids and the factories behind them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from finemem_env.env import MemoryEnv
from finemem_env.locate import ENVIRONMENTS, load_module
from finemem_env.vector import MemoryVectorEnv

__all__ = ["env_class", "make_env", "make_vector_env", "register_all"]


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
    return MemoryVectorEnv(env_class(env_id).competency, **keywords)


def env_class(env_id: str) -> type[MemoryEnv]:
    """The class behind an id."""
    module, name = ENVIRONMENTS[env_id]
    found: type[MemoryEnv] = getattr(load_module(module), name)
    return found
