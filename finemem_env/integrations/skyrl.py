"""The environments in SkyRL-gym (skyrl-gym 0.4.0).

    import skyrl_gym
    skyrl_gym.register("finemem", "finemem_env.integrations.skyrl:MemorySkyRL")
    env = skyrl_gym.make("finemem", env_config=config, extras={"extra_info": {"seed": 7}})

SkyRL appends every turn to one growing conversation, and its step-wise training takes the reward of
the last step for all of them; the step rewards are in the metadata of the last step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finemem_env.extras import needs
from finemem_env.integrations.infos import step_info
from finemem_env.integrations.sessions import request_messages, session_env

with needs("SkyRL", "skyrl"):
    from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput


class MemorySkyRL(BaseTextEnv):
    """One episode of a seed.

    Args:
        env_config: `env_id` and `env_args`, the keywords of `gym.make`, where they are not the
            defaults.
        extras: the row of the dataset; `extra_info` has its `seed`.
    """

    def __init__(
        self, env_config: Mapping[str, Any] | None = None, extras: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        config = dict(env_config or {})
        args = dict(config.get("env_args") or {})
        self._env = session_env(config.get("env_id") or "FineMem-AR-v0", args)
        self._seed = ((extras or {}).get("extra_info") or {}).get("seed")
        self._score = 0.0

    def init(self, prompt: list[dict[str, str]]) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """The first request, in place of the row's prompt."""
        text, info = self._env.reset(seed=None if self._seed is None else int(self._seed))
        self.max_turns = info["num_chunks"]
        return request_messages(text, self._env.instructions), step_info(info)

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Apply the reply; the reward is the streamed one."""
        self.turns += 1
        text, reward, done, _, info = self._env.step(action)
        self._score = float(info["score"])
        seen = [] if done else [{"role": "user", "content": text}]
        return BaseTextEnvStepOutput(
            observations=seen, reward=float(reward), done=done, metadata=step_info(info)
        )

    def get_metrics(self) -> dict[str, Any]:
        """The mean score of the final questions."""
        return {"score": self._score}
