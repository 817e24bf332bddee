"""RLlib's new API stack on numbered choices: text comes in as features, choices are masked.

    ray.tune.register_env("finemem", make_env)
    config = PPOConfig().environment("finemem", env_config={"env_id": "FineMem-AR-v0"})

RLlib's own `ActionMaskingTorchRLModule` reads the mask. RLlib itself is not imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

import finemem_env  # noqa: F401  (registers the ids: a worker imports this module alone)
from finemem_env.errors import KeywordError
from finemem_env.wrappers import DiscreteOperations, FeatureObservation

_Observation = dict[str, NDArray[np.float32]]
_KEYS = ("env_id", "env_args", "sentences", "slots", "bins")


class MaskedObservation(
    gym.ObservationWrapper[_Observation, Any, NDArray[np.float32]], gym.utils.RecordConstructorArgs
):
    """The observation beside the mask of the choices that would be accepted.

    A Dict of "observations" and "action_mask", shape (n,), 1.0 where a choice is allowed.

    Args:
        env: with Discrete actions and `action_masks()`, as `DiscreteOperations` has.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        self._masks = env.get_wrapper_attr("action_masks")
        size = (self._masks().size,)
        self.observation_space: spaces.Space[Any] = spaces.Dict(
            {
                "action_mask": spaces.Box(0.0, 1.0, size, np.float32),
                "observations": env.observation_space,
            }
        )

    def observation(self, observation: NDArray[np.float32]) -> _Observation:
        """The observation beside the mask."""
        return {"action_mask": self._masks().astype(np.float32), "observations": observation}


def make_env(config: Mapping[str, Any]) -> MaskedObservation:
    """The environment of a worker, for `ray.tune.register_env`.

    Args:
        config: the `env_config`: env_id; env_args, the keywords of `gym.make`; sentences and slots
            of `DiscreteOperations`; bins of `FeatureObservation`.

    Raises:
        KeywordError: another key.
    """
    for key in config:
        if key not in _KEYS:
            raise KeywordError.of(key, _KEYS)
    env = gym.make(config.get("env_id", "FineMem-AR-v0"), **config.get("env_args", {}))
    numbered = DiscreteOperations(env, config.get("sentences", 1), config.get("slots", 2))
    return MaskedObservation(FeatureObservation(numbered, config.get("bins", 128)))


def log_score(*, episode: Any, metrics_logger: Any, **_: Any) -> None:  # noqa: ANN401
    """For `callbacks(on_episode_end=…)`: logs "score", the mean score of the final questions."""
    metrics_logger.log_value("score", float(episode.get_infos(-1)["score"]), window=100)
