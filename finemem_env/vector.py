"""`MemoryVectorEnv`: N sessions whose questions reach the reader as one batch per round.

Behaves as N single environments, byte for byte, whatever the mode of restarting.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from finemem_env.errors import ConfigError, KeywordError
from finemem_env.factory import SessionFactory
from finemem_env.prompts import INSTRUCTIONS
from finemem_env.session import Session, StepResult, render_text, run_step
from finemem_env.session.info import make_info
from finemem_env.spaces import fork_space
from finemem_env.types import Competency

_Info = dict[str, Any]
_Step = tuple[tuple[str, ...], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], _Info]


class MemoryVectorEnv(VectorEnv[tuple[str, ...], Sequence[str], NDArray[Any]]):
    """N episodes in step. `reset(seed=[s] * G)` gives a group: the same start G times.

    Args:
        competency: as in `SessionFactory`.
        num_envs: N ≥ 1.
        autoreset_mode: "next_step" (Gymnasium's default), "same_step" or "disabled" (rollouts), or
            an `AutoresetMode`.
        render_mode: None or "ansi".
        **keywords: as for `MemoryEnv`.

    Raises:
        ConfigError: an unknown or contradictory keyword.
        KeywordError: an unknown render mode, as of `MemoryEnv`.
    """

    instructions = INSTRUCTIONS

    def __init__(
        self,
        competency: Competency | None = None,
        *,
        num_envs: int = 1,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **keywords: Any,  # noqa: ANN401
    ) -> None:
        if render_mode not in (None, "ansi"):
            raise KeywordError(f'render_mode: expected None or "ansi", got {render_mode!r}.')
        whole = isinstance(num_envs, int | np.integer) and not isinstance(num_envs, bool)
        if not whole or num_envs < 1:
            raise ConfigError(f"num_envs: expected an integer ≥ 1, got {num_envs!r}.")
        self.num_envs = num_envs = int(num_envs)
        self.autoreset_mode = _autoreset(autoreset_mode)
        self.render_mode = render_mode
        self.metadata = {
            "render_modes": ["ansi"],
            "render_fps": 1,
            "autoreset_mode": self.autoreset_mode,
        }
        self.factory = SessionFactory(competency, **keywords)
        self.instructions = self.factory.instructions
        self.single_observation_space = self.factory.observation_space()
        self.single_action_space = self.factory.action_space()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.sessions: list[Session] = []
        self._rngs: list[np.random.Generator | None] = [None] * num_envs
        self._versions: list[dict[str, str]] = [{}] * num_envs

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | NDArray[np.integer[Any]] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[tuple[str, ...], _Info]:
        """Start episodes: all, or those of `options={"reset_mask": bool array}`.

        Args:
            seed: one number (environment i gets seed + i) or one per environment.
            options: `reset_mask`, and "episode_id" as one id or one per environment.

        Raises:
            ConfigError: an unknown option, seeds or a mask of the wrong length, or a partial reset
                before the first full one.
        """
        chosen = dict(options or {})
        mask = self._mask(chosen.pop("reset_mask", None))
        ids = self._episode_ids(chosen.pop("episode_id", None))
        seeds = self._seeds(seed)
        for number in np.flatnonzero(mask):
            if seeds[number] is not None:
                self._rngs[number] = seeding.np_random(seeds[number])[0]
            self._start(int(number), chosen | ids[number])
        started = np.flatnonzero(mask).tolist()
        infos = {
            number: make_info(self.sessions[number], self._versions[number], None)
            for number in started
        }
        return self._observations(), _batched(infos, self.num_envs)

    def step(self, actions: Iterable[str]) -> _Step:
        """One action per environment; a terminated one is restarted as `autoreset_mode` says.

        Raises:
            ConfigError: not one string per environment.
            gymnasium.error.ResetNeeded: before reset, or a finished episode under "disabled".
        """
        texts = self._check(actions)
        over = [session.terminated for session in self.sessions]
        if any(over) and self.autoreset_mode is not AutoresetMode.NEXT_STEP:
            raise gym.error.ResetNeeded(
                f"Environments {np.flatnonzero(over).tolist()} are over: reset them with "
                'options={"reset_mask": …}.'
            )
        live = [number for number in range(self.num_envs) if not over[number]]
        results = run_step(
            [self.sessions[i] for i in live],
            [texts[i] for i in live],
            self.factory.reader,
            self.factory.judge,
        )
        return self._collect(dict(zip(live, results, strict=True)))

    def fork(self) -> Self:
        """A copy in the middle of the episodes: equal actions give equal steps, apart from it.

        Each episode stands where it stood, those that are over too: they restart as
        `autoreset_mode` says, with the same episodes to come. Reader, judge and source are shared.

        Raises:
            ReaderError: within a step.
        """
        other = copy.copy(self)
        other.factory = self.factory.fork()
        other.sessions = [session.fork() for session in self.sessions]
        other._rngs = copy.deepcopy([self._rng(number) for number in range(self.num_envs)])
        other._versions = list(self._versions)
        other._np_random = copy.deepcopy(self.np_random)  # made on first use, for both copies
        other._np_random_seed = self._np_random_seed
        for name in ("observation_space", "action_space"):
            for kind in (name, f"single_{name}"):
                setattr(other, kind, fork_space(getattr(self, kind)))
        return other

    def render(self) -> tuple[str, ...] | None:
        """One text per environment (`render_mode="ansi"`)."""
        if self.render_mode != "ansi":
            return None
        return tuple(render_text(session) for session in self.sessions)

    def _collect(self, results: dict[int, StepResult]) -> _Step:
        rewards = np.zeros(self.num_envs)
        ends = np.zeros(self.num_envs, dtype=np.bool_)
        infos: dict[int, _Info] = {}
        for number in range(self.num_envs):
            result = results.get(number)
            if result is None:
                self._start(number, {})
                info = make_info(self.sessions[number], self._versions[number], None)
            else:
                rewards[number], ends[number] = result.reward, result.terminated
                info = make_info(self.sessions[number], self._versions[number], result)
                if result.terminated and self.autoreset_mode is AutoresetMode.SAME_STEP:
                    final = {"final_obs": self.sessions[number].observe(), "final_info": info}
                    self._start(number, {})
                    info = final | make_info(self.sessions[number], self._versions[number], None)
            infos[number] = info
        batched = _batched(infos, self.num_envs)
        return self._observations(), rewards, ends, np.zeros_like(ends), batched

    def _start(self, number: int, options: dict[str, Any]) -> None:
        session = self.factory.session(self._rng(number), options)
        if number == len(self.sessions):
            self.sessions.append(session)
        else:
            self.sessions[number] = session
        self._versions[number] = self.factory.versions(session)

    def _rng(self, number: int) -> np.random.Generator:
        """Of an environment, made on first use."""
        rng = self._rngs[number] = self._rngs[number] or seeding.np_random(None)[0]
        return rng

    def _observations(self) -> tuple[str, ...]:
        return tuple(session.observe() for session in self.sessions)

    def _seeds(
        self, seed: int | Sequence[int | None] | NDArray[np.integer[Any]] | None
    ) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + number for number in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ConfigError(f"seed: expected {self.num_envs} seeds, got {len(seed)}.")
        return [int(one) if isinstance(one, np.integer) else one for one in seed]

    def _mask(self, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        if mask is None:
            return np.ones(self.num_envs, dtype=np.bool_)
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ConfigError(
                f"reset_mask: expected a bool array of shape ({self.num_envs},) with a True, "
                f"got {mask!r}."
            )
        if not self.sessions and not mask.all():
            raise ConfigError("reset_mask: the first reset must reset every environment.")
        return mask

    def _episode_ids(self, ids: str | Sequence[str] | None) -> list[dict[str, str]]:
        if ids is None:
            return [{}] * self.num_envs
        if isinstance(ids, str):
            return [{"episode_id": ids}] * self.num_envs
        if not isinstance(ids, Sequence) or len(ids) != self.num_envs:
            raise ConfigError(f"episode_id: expected one id or {self.num_envs}, got {ids!r}.")
        return [{"episode_id": name} for name in ids]

    def _check(self, actions: Iterable[str]) -> list[str]:
        if not self.sessions:
            raise gym.error.ResetNeeded("Call reset() first: there are no episodes yet.")
        if isinstance(actions, str) or not isinstance(actions, Iterable):
            raise ConfigError(f"actions: expected {self.num_envs} strings, got {actions!r}.")
        texts = list(actions)
        if len(texts) != self.num_envs or not all(isinstance(text, str) for text in texts):
            raise ConfigError(
                f"actions: expected {self.num_envs} strings, got "
                f"{[type(text).__name__ for text in texts]}."
            )
        return texts


def _batched(infos: Mapping[int, _Info], size: int) -> _Info:
    """The infos of some of `size` environments as one, as Gymnasium's `_add_info` makes it.

    For each key an array with the value of every environment, and under "_key" a mask of those
    that have it; a value that is a dictionary is batched likewise.
    """
    batched: _Info = {}
    for key in dict.fromkeys([key for info in infos.values() for key in info]):
        values = {number: info[key] for number, info in infos.items() if key in info}
        first = next(iter(values.values()))
        if isinstance(first, dict) and key != "final_obs":
            batched[key] = _batched(values, size)
        else:
            kind = type(first) if isinstance(first, bool | int | float | np.number) else object
            batched[key] = array = (
                np.empty(size, object) if kind is object else np.zeros(size, kind)
            )
            for number, value in values.items():
                array[number] = value
        batched[f"_{key}"] = mask = np.zeros(size, np.bool_)
        for number in values:
            mask[number] = True
    return batched


def _autoreset(mode: str | AutoresetMode) -> AutoresetMode:
    if isinstance(mode, AutoresetMode):
        return mode
    known = {mode.name.lower(): mode for mode in AutoresetMode}
    wanted = str(mode).lower().replace("-", "_")
    if wanted not in known:
        raise ConfigError(f"autoreset_mode: expected one of {sorted(known)}, got {mode!r}.")
    return known[wanted]
