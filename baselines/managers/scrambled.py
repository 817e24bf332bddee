"""`scrambled`: what another agent remembers of another episode, as a negative control.

A memory of the wrong text must score what no memory scores. Where it scores more, the questions can
be answered without having read, or the reader knows the text.

For every episode it draws another one of the same source, by (seed, episode id), and lets the other
agent manage that one under the same settings. After t of this episode's T chunks the memory holds
what that agent held after the same share of the other's.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from baselines.agents import Agent, Info, PrivilegedAgent, make_agent
from baselines.managers.mirror import Mirror
from baselines.managers.scripted import reply, skip
from finemem_env.errors import ConfigError
from finemem_env.memory import Workspace
from finemem_env.operations import parse
from finemem_env.prompts import parse_observation
from finemem_env.session import Session, StreamSource, limits_of, public
from finemem_env.session.info import agent_info
from finemem_env.types import OperationResult

_DRAWS = 200  # of an episode that is another one


class Scrambled:
    """Writes the items of another episode; see the module's docstring.

    Args:
        agent: who manages the other episode; not one that looks inside the environment.
        arguments: of its constructor.
        seed: of the draw.

    Raises:
        ConfigError: an agent that looks inside the environment.
    """

    def __init__(
        self, agent: str = "salience", arguments: Mapping[str, Any] | None = None, seed: int = 0
    ) -> None:
        self._agent: Agent = make_agent(agent, arguments)
        if isinstance(self._agent, PrivilegedAgent):
            raise ConfigError(f"scrambled: agent {agent!r} looks inside its environment.")
        self._seed = seed
        self._env: Any = None
        self._states: list[dict[str, str]] = []
        self._mirror = Mirror()

    def attach(self, env: gym.Env[str, str]) -> None:
        """Receive the environment whose source it draws from.

        Raises:
            ConfigError: the source has no other episode.
        """
        self._env = env.unwrapped
        source = self._env.factory.source
        if isinstance(source, StreamSource) or source.size == 1:
            raise ConfigError(_alone(source.name))

    def reset(self, info: Info) -> None:
        """Draw another episode and let the other agent manage it."""
        self._mirror = Mirror()
        self._states = self._managed(self._other(str(info["episode_id"])), info)

    def act(self, observation: str, info: Info) -> str:
        """Bring the memory to what the other one was at the same share of the way."""
        view, limits, session = parse_observation(observation), limits_of(info), self._env.session
        if view.chunk is None:
            return skip(view.lines)
        total = max(view.num_chunks, view.chunk_index + 1)
        place = -(-(view.chunk_index + 1) * len(self._states) // total)
        held = {item.id: item.content for item in session.memory.items()}
        wanted = self._states[place - 1]
        operations = self._mirror.operations(
            wanted, held, budget=view.budget, most=limits.max_operations
        )
        return reply(operations, view.lines)

    def _other(self, episode_id: str) -> Session:
        """A session of another episode of the same source, under the same settings."""
        factory = self._env.factory
        entropy = [self._seed, zlib.crc32(episode_id.encode())]
        rng = np.random.default_rng(np.random.SeedSequence(entropy))
        for _ in range(_DRAWS):
            session: Session = factory.session(rng, None)
            if session.episode.episode_id != episode_id:
                return session
        raise ConfigError(_alone(factory.source.name))

    def _managed(self, session: Session, info: Info) -> list[dict[str, str]]:
        """Text by item id after every chunk of the other episode; no question is asked."""
        episode, total = session.episode, session.num_chunks
        workspace = Workspace(
            session.settings, self._env.factory.count_tokens, input_tokens=sum(session.chunk_tokens)
        )
        results: Sequence[OperationResult] = ()
        states: list[dict[str, str]] = []
        for t, chunk in enumerate(episode.chunks):
            lines, media = workspace.lines(chunk), workspace.media(chunk)
            told = public(
                agent_info(
                    workspace, episode.episode_id, t, total, results, info["versions"], lines, media
                )
            )
            if t == 0:
                self._agent.reset(told)
            observation = workspace.render(chunk, session.chunk_tokens[t], t, total)
            action = self._agent.act(observation, told)
            parsed = parse(action, lines, media=media is not None)
            results = workspace.apply(t, parsed, media or ()).results
            states.append({str(item.id): item.content for item in workspace.memory.items()})
        return states


def _alone(source: str) -> str:
    return (
        f"scrambled: it takes the items of another episode, and source {source!r} has only one in "
        "this split."
    )
