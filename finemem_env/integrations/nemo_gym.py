"""The environments in NeMo Gym: a server for its `gymnasium_agent` (nemo-gym 0.4.0, Python 3.12).

A row of the dataset has the `seed` of its episode. The agent appends every turn to one conversation
and sums the rewards; those of the steps are in the `info` of its rollout. Its `max_steps`, 10 by
default, has to be the number of chunks at least. `openenv.MemoryEnvironment` in NeMo Gym's own
OpenEnv server needs no code, and loses more (docs/integrations.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from finemem_env.extras import needs
from finemem_env.integrations.infos import step_info
from finemem_env.integrations.sessions import session_env

with needs("NeMo Gym", "nemo-gym"):
    from nemo_gym.base_resources_server import BaseResourcesServerConfig
    from nemo_gym.openai_utils import NeMoGymResponse
    from resources_servers.gymnasium import GymnasiumServer, extract_text


class MemoryServerConfig(BaseResourcesServerConfig):
    """What the YAML says beside NeMo Gym's own keys."""

    env_id: str = "FineMem-AR-v0"
    env_args: dict[str, Any] = {}  # noqa: RUF012 (pydantic copies it)


class MemoryServer(GymnasiumServer):
    """One episode for each session."""

    config: MemoryServerConfig

    async def reset(
        self, metadata: Mapping[str, Any], session_id: str | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start the episode of the row's `seed`; the instructions stand before its first chunk."""
        env = session_env(self.config.env_id, self.config.env_args)
        text, info = env.reset(seed=metadata.get("seed"))
        self.session_state[session_id] = env
        return f"{env.instructions}\n\n{text}", step_info(info)

    async def step(
        self,
        action: NeMoGymResponse,
        metadata: Mapping[str, Any],
        session_id: str | None = None,
    ) -> tuple[str | None, float, bool, bool, dict[str, Any]]:
        """Apply the reply; the reward is the streamed one."""
        env = self.session_state[session_id]
        # In a thread, since a reader may be a model behind a network.
        text, reward, over, cut, info = await asyncio.to_thread(env.step, extract_text(action))
        return None if over else text, float(reward), over, cut, step_info(info)
