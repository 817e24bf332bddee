"""The environments in GEM, and so in Oat and what else reads GEM (gem-llm 0.1.0, Python 3.11).

    import gem
    from finemem_env.integrations.gem import register_all
    register_all()
    env = gem.make("finemem:FineMem-AR-v0", env_args={"num_chunks": 5})

Observations have the instructions in front and no history: use no wrapper that concatenates. GEM's
vector environments reset at once and hand on the next episode's `info`; its key `last_episode` has
the `info` of the episode that ended, and with it the step rewards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from finemem_env.extras import needs
from finemem_env.integrations.infos import step_info
from finemem_env.integrations.sessions import session_env
from finemem_env.locate import ENVIRONMENTS

with needs("GEM", "gem"):
    import gem
    from gem.envs.registration import ENV_REGISTRY


class MemoryGem(gem.Env):
    """One episode after the other.

    Args:
        task: the id of the suite.
        env_args: keywords of `gym.make`.
        seed: of the first episode; later resets without a seed go on from it.
    """

    def __init__(
        self, task: str, env_args: Mapping[str, Any] | None = None, seed: int | None = None
    ) -> None:
        self._made = {"task": task, "env_args": dict(env_args or {}), "seed": seed}
        self._env = session_env(task, {"include_instructions": True, **(env_args or {})})
        self._seed = seed
        self._info: dict[str, Any] = {}

    def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode; GEM's own `reset`, which seeds the whole process, is not called."""
        seed, self._seed = self._seed if seed is None else seed, None
        text, info = self._env.reset(seed=seed)
        ended, self._info = self._info, step_info(info)
        last = {"last_episode": ended} if ended.get("step_rewards") else {}
        return text, self._info | last

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Apply the reply; the reward is the streamed one."""
        text, reward, over, cut, info = self._env.step(action)
        self._info = step_info(info)
        return text, float(reward), over, cut, self._info

    def sample_random_action(self) -> str:
        """A reply drawn from the action space."""
        return str(self._env.action_space.sample())

    def spawn(self, same_state: bool = False, **keywords: Any) -> Self:  # noqa: ANN401
        """Another one; with `same_state` in the middle of the same episode."""
        other = type(self)(**{**self._made, **keywords})
        if same_state:
            other._env, other._info = self._env.fork(), self._info
            other._seed = keywords.get("seed", self._seed)  # of the next reset, as here
        return other


def register_all() -> None:
    """Register every id of the suite as `finemem:ID`, once."""
    for env_id in ENVIRONMENTS:
        if f"finemem:{env_id}" not in ENV_REGISTRY:
            gem.register(f"finemem:{env_id}", "finemem_env.integrations.gem:MemoryGem", task=env_id)
