"""`info` as numbers of one shape, for clients that stack it, such as tianshou's buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

_NUMBERS = ("score", "memory_tokens", "memory_items", "chunk_index")


class TensorInfo(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Keeps of `info` the score, the memory's size, the step, and the attributed rewards.

    `step_rewards` and `step_reward_valid` have shape (T,) at every step, and are zeros before the
    episode's end. All other keys are left out, so it goes around every other wrapper.

    Args:
        env: of this suite, wrapped or not; of one length, where episodes are stacked.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, _numbers(info)

    def step(
        self,
        action: Any,  # noqa: ANN401
    ) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """One step of the environment below."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, _numbers(info)


def _numbers(info: Mapping[str, Any]) -> dict[str, Any]:
    steps = max(0, info["num_chunks"])
    numbers: dict[str, Any] = {key: np.float64(info[key]) for key in _NUMBERS}
    numbers["step_rewards"] = _padded(info["step_rewards"], steps)
    numbers["step_reward_valid"] = _padded(info["step_reward_valid"], steps) > 0
    return numbers


def _padded(values: Sequence[float], size: int) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64) if len(values) else np.zeros(size)
