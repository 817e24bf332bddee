"""A trained policy as an agent of the benchmark: `agents.policy:Manager`."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.runs.load import load_manager
from agents.settings import TINY
from finemem_env.backends import Sampling
from finemem_env.backends.options import read_options
from finemem_env.backends.usage import Usage, spend
from finemem_env.errors import ConfigError


@dataclass(frozen=True, slots=True)
class _Options:
    """Types and ranges of the arguments, which a command line hands over as JSON."""

    run: str | None
    model: str
    update: int | None
    temperature: float
    max_new_tokens: int | None
    instructions: bool | None
    seed: int
    trust_settings: bool

    def __post_init__(self) -> None:
        if self.run is not None and self.model != TINY:
            raise ConfigError("agents.policy:Manager: expected a run or a model, got both.")
        if self.update is not None and self.run is None:
            raise ConfigError("agents.policy:Manager: update is of a run, and there is none.")
        longest = 1 if self.max_new_tokens is None else self.max_new_tokens
        Sampling(self.temperature, max_tokens=longest)


class Manager:
    """A trained policy as an agent of the benchmark, named `agents.policy:Manager`.

    Args:
        run: folder of a run of `agents.grpo`; None takes `model`.
        model: transformers folder or hub id; "tiny" is the packaged model.
        temperature: of sampling; 0 is greedy.
        max_new_tokens: longest reply; None takes the run's, else 512.
        instructions: put the environment's instructions into the prompt; None takes the run's,
            else all models but "tiny" get them.
        seed: of the draws.
        trust_settings: load whichever model the run's config names; otherwise the packaged one
            only, since the run may be somebody else's.
        update: of the run, that its best weights must be of; None takes whichever they are.

    Raises:
        ConfigError: a folder that holds no run, no such model, or an argument that does not fit.
    """

    def __init__(
        self,
        run: str | None = None,
        model: str = "tiny",
        temperature: float = 0.0,
        max_new_tokens: int | None = None,
        instructions: bool | None = None,
        seed: int = 0,
        trust_settings: bool = False,
        update: int | None = None,
    ) -> None:
        given = {
            "run": os.fspath(run) if isinstance(run, os.PathLike) else run,
            "model": model,
            "update": update,
            "temperature": temperature,
            "max_new_tokens": max_new_tokens,
            "instructions": instructions,
            "seed": seed,
            "trust_settings": trust_settings,
        }
        read_options(_Options, given, "agents.policy:Manager")
        config, self.policy = load_manager(run, model, update, trust=trust_settings)
        self.max_new_tokens = max_new_tokens or config.sampling.max_new_tokens
        self.instructions = config.sampling.instructions if instructions is None else instructions
        self.temperature = temperature
        self.seed = seed
        self._step = 0

    def reset(self, info: Mapping[str, Any]) -> None:
        """Start an episode: its draws depend on the seed and its id."""
        self._step = zlib.crc32(str(info.get("episode_id", "")).encode())

    def act(self, observation: str, info: Mapping[str, Any]) -> str:
        """The model's reply; a prompt beyond its context raises, which costs the episode."""
        instructions = str(info["instructions"]) if self.instructions else ""
        self._step += 1
        start = time.perf_counter()
        prompts = self.policy.encode([(instructions, observation)])
        (reply,) = self.policy.sample(
            prompts,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            seed=self.seed * 2**32 + self._step,
        )
        (text,) = self.policy.decode([reply.token_ids])
        seconds = time.perf_counter() - start
        spend(Usage(1, len(prompts[0]), len(reply.token_ids), seconds))
        return text
