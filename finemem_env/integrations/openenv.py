"""The environments behind OpenEnv: server, client and their messages (run with openenv 0.10.0).

    uvicorn --factory finemem_env.integrations.openenv:make_app --port 8000

A client resets with `seed=…`, steps with text, and finds `step_info` in `metadata`, with the reward
of every step at the end. Which environment is served is the server's choice, never a client's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import finemem_env
from finemem_env.env import MemoryEnv
from finemem_env.errors import ConfigError
from finemem_env.extras import needs
from finemem_env.integrations.infos import step_info
from finemem_env.integrations.sessions import request_messages, session_env

with needs("OpenEnv", "openenv"):
    from openenv.core.client_types import StepResult
    from openenv.core.env_client import EnvClient
    from openenv.core.env_server import Action, Environment, Observation, State, create_app
    from openenv.core.env_server.types import ConcurrencyConfig, EnvironmentMetadata

ENV_ID, ENV_ARGS = "FINEMEM_ENV_ID", "FINEMEM_ENV_ARGS"


class Edit(Action):
    """The agent's reply, as text: operations on the memory."""

    text: str


class Seen(Observation):
    """What the agent reads: instructions, chunk and memory. `metadata` is `step_info`."""

    text: str = ""

    def messages(self) -> list[dict[str, str]]:
        """The request of this step alone: a system message and a user message."""
        return request_messages(self.text, self.metadata["instructions"])


class MemoryEnvironment(Environment[Edit, Seen, State]):
    """One episode at a time.

    Args:
        env: for this session alone; None: what $FINEMEM_ENV_ID and $FINEMEM_ENV_ARGS (JSON) name.

    Raises:
        ConfigError: the variables name nothing that can be made.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, env: MemoryEnv | None = None) -> None:
        super().__init__()
        self._env: MemoryEnv | None = _make() if env is None else env
        self._label: str | None = None
        self._info: dict[str, Any] = {}

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: object) -> Seen:
        """Start the seed's episode; `episode_id` is a label of the client's, told by `state`."""
        text, self._info = self._open().reset(seed=seed)
        self._label = episode_id
        return Seen(text=text, metadata=step_info(self._info))

    def step(self, action: Edit, timeout_s: float | None = None, **_: object) -> Seen:
        """Apply the reply; the reward is the streamed one."""
        text, reward, done, _truncated, self._info = self._open().step(action.text)
        return Seen(text=text, reward=float(reward), done=done, metadata=step_info(self._info))

    @property
    def state(self) -> State:
        """The label, or the name of the episode where there is none, and the steps done."""
        label = self._label or self._info.get("episode_id")
        return State(episode_id=label, step_count=self._info.get("chunk_index", 0))

    def get_metadata(self) -> EnvironmentMetadata:
        """What /metadata tells."""
        return EnvironmentMetadata(
            name="finemem",
            description="Reads a long context chunk by chunk; each action edits the memory.",
            version=finemem_env.__version__,
        )

    def close(self) -> None:
        """Let go of the episode, as the server does with sessions that idle."""
        self._env = None

    def _open(self) -> MemoryEnv:
        if self._env is None:
            raise ConfigError("session: closed after it idled; connect again and reset.")
        return self._env


class MemoryClient(EnvClient[Edit, Seen, State]):
    """Plays a served environment: `with MemoryClient(base_url=…).sync() as client: …`."""

    def _step_payload(self, action: Edit) -> dict[str, Any]:
        return {"text": action.text}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[Seen]:
        ended, reward = payload.get("done", False), payload.get("reward")
        seen = Seen(**payload["observation"], reward=reward, done=ended)
        return StepResult(seen, seen.reward, seen.done, seen.metadata)

    def _parse_state(self, payload: dict[str, Any]) -> State:
        return State(**payload)


def make_app(
    env_id: str | None = None,
    env_args: Mapping[str, Any] | None = None,
    *,
    sessions: int = 64,
    idle_seconds: float = 900.0,
) -> Any:  # noqa: ANN401 (FastAPI)
    """The FastAPI application; its sessions share one source and one reader.

    Args:
        env_id: of this suite; None: $FINEMEM_ENV_ID, or FineMem-AR-v0.
        env_args: keywords of `gym.make`; None: $FINEMEM_ENV_ARGS, JSON.
        sessions: most at once, one for each rollout of a batch.
        idle_seconds: a session without a message for so long gives its place back.

    Raises:
        ConfigError: an environment that cannot be made.
    """
    _make(env_id, env_args)  # refuses now what every session would refuse
    limits = ConcurrencyConfig(max_concurrent_envs=sessions, session_timeout=idle_seconds)

    def session() -> MemoryEnvironment:
        return MemoryEnvironment(_make(env_id, env_args))

    return create_app(session, Edit, Seen, env_name="finemem", concurrency_config=limits)


def _make(env_id: str | None = None, env_args: Mapping[str, Any] | None = None) -> MemoryEnv:
    variable = os.environ.get(ENV_ARGS, "{}")
    try:
        keywords = dict(json.loads(variable) if env_args is None else env_args)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{ENV_ARGS}: expected a JSON object, got {variable!r}.") from error
    env_id = env_id or os.environ.get(ENV_ID, "FineMem-AR-v0")
    return session_env(env_id, {"include_instructions": True, **keywords})
