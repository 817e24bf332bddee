"""Environments for servers: many sessions that share one source and one reader."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import gymnasium as gym

import finemem_env.registration  # noqa: F401  (registers the ids)
from finemem_env.backends.policy import manage_request
from finemem_env.env import MemoryEnv
from finemem_env.errors import ConfigError

_KEPT = 8  # (id, keywords) whose files stay open


def session_env(env_id: str, env_args: Mapping[str, Any] | None = None) -> MemoryEnv:
    """An environment for one session, apart from all others but for source and reader.

    Args:
        env_id: of this suite, or of your own with its `MemoryEnv`.
        env_args: keywords of `gym.make`, as JSON could hold them.

    Raises:
        ConfigError: an id that is not ours, or keywords that do not fit.
    """
    try:
        keywords = json.dumps(dict(env_args or {}), sort_keys=True)
    except TypeError as error:
        raise ConfigError(f"env_args: expected what JSON can hold, got {env_args!r}.") from error
    return _first(env_id, keywords).fork()


def request_messages(observation: str, instructions: str) -> list[dict[str, str]]:
    """The request of one step, without history: a system and a user message."""
    request = manage_request(observation, instructions)
    return [{"role": message.role, "content": message.content} for message in request.messages]


@lru_cache(maxsize=_KEPT)
def _first(env_id: str, keywords: str) -> MemoryEnv:
    try:
        env = gym.make(env_id, **json.loads(keywords)).unwrapped
    except (gym.error.Error, TypeError) as error:
        raise ConfigError(
            f"env_id: expected an id of this suite and its keywords, got {env_id!r} with "
            f"{keywords}: {error}"
        ) from error
    if not isinstance(env, MemoryEnv):
        raise ConfigError(f"env_id: expected an environment of this suite, got {env_id!r}.")
    return env
