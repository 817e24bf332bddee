"""One text per value and one hash per trajectory, the same in every process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import gymnasium as gym


def canonical(value: object) -> str:
    """One text per value, the same in every process: sorted keys, floats in hexadecimal.

    Raises:
        TypeError: the value holds something that has no canonical form (an array, an object).
    """
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=True, allow_nan=False)


def trajectory_hash(
    env: gym.Env[str, str],
    actions: Iterable[str],
    *,
    seed: int,
    options: dict[str, Any] | None = None,
) -> str:
    """SHA-256 over (observation, reward, flags, info) of an episode played with `actions`.

    The actions are cut at the episode's end; if they run out first, the last is repeated.
    """
    digest = hashlib.sha256()
    observation, info = env.reset(seed=seed, options=options)
    digest.update(canonical((observation, info)).encode())
    action, over, remaining = "", False, iter(actions)
    while not over:
        action = next(remaining, action)
        observation, reward, terminated, truncated, info = env.step(action)
        digest.update(canonical((observation, float(reward), terminated, truncated, info)).encode())
        over = terminated or truncated
    return digest.hexdigest()


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    raise TypeError(f"no canonical form for {type(value).__name__}: {value!r}")
