"""Wrappers that make the text environments fit for classic agents such as stable-baselines3.

    env = FeatureObservation(DiscreteOperations(gym.make("FineMem-AR-v0")))

The first turns one step into several small choices, numbered; the second turns text into numbers.
`action_masks()` is what sb3-contrib's MaskablePPO asks for.
"""

from __future__ import annotations

import copy
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from finemem_env.errors import ConfigError
from finemem_env.prompts import parse_observation
from finemem_env.wrappers.draft import Draft, Situation, make_draft, num_actions
from finemem_env.wrappers.features import SENTENCE_FEATURES, SLOT_FEATURES, STATE_FEATURES, encode

Observation = NDArray[np.float32] | dict[str, NDArray[np.float32]]


class DiscreteOperations(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """One step of the environment as several numbered choices, see `draft.Draft`.

    Until the chunk's last sentence has passed the window a step returns reward 0 and the same
    observation; then the collected operations go to the environment as one action and its reward
    comes back. `draft` holds the choices so far.

    Args:
        env: an environment of this suite.
        sentences: size of the window over the chunk's sentences.
        slots: memory items in reach of UPDATE and DELETE.

    Raises:
        ConfigError: a window or reach below 1.
    """

    def __init__(self, env: gym.Env[str, str], sentences: int = 1, slots: int = 2) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, sentences=sentences, slots=slots)
        gym.Wrapper.__init__(self, env)
        if sentences < 1 or slots < 1:
            raise ConfigError(
                f"DiscreteOperations: expected at least one sentence and one slot, got {sentences} "
                f"and {slots}."
            )
        self.sentences, self.slots = sentences, slots
        self.action_space = spaces.Discrete(num_actions(sentences, slots))
        self.draft: Draft | None = None
        self._observation = ""
        self._info: dict[str, Any] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode and its first draft."""
        self._observation, info = self.env.reset(seed=seed, options=options)
        self._info = copy.deepcopy(info)
        self.draft = self._fresh()
        return self._observation, info

    def step(self, action: np.int64) -> tuple[str, SupportsFloat, bool, bool, dict[str, Any]]:
        """One choice; the environment moves on when the chunk has been seen.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset or after the episode's end.
        """
        if self.draft is None:
            raise gym.error.ResetNeeded("Call reset() first: there is no episode to act in.")
        self.draft.apply(int(action))
        if not self.draft.done:
            return self._observation, 0.0, False, False, copy.deepcopy(self._info)
        action_text = self.draft.action()
        self._observation, reward, terminated, truncated, info = self.env.step(action_text)
        self._info = copy.deepcopy(info)
        self.draft = None if terminated or truncated else self._fresh()
        return self._observation, reward, terminated, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Which choices would be accepted now, shape (n,); another one counts as SKIP."""
        if self.draft is None:
            mask = np.zeros(num_actions(self.sentences, self.slots), dtype=np.bool_)
            mask[0] = True
            return mask
        return self.draft.mask()

    def _fresh(self) -> Draft:
        return make_draft(self._observation, self._info, self.sentences, self.slots)


class FeatureObservation(
    gym.ObservationWrapper[Observation, Any, str], gym.utils.RecordConstructorArgs
):
    """Numbers in place of text: hashed n-grams, similarity to the memory, fill, progress.

    Around `DiscreteOperations` it shows the window that the next choice is about; around a text
    environment the first sentences of the chunk, with actions left as text.

    Args:
        env: an environment of this suite, or `DiscreteOperations` around one.
        bins: hash bins of a sentence's words and word pairs.
        sentences: sentences shown, `slots` memory items shown; None takes those of
            `DiscreteOperations` (8 and 2 without it).
        slots: see `sentences`.
        flat: one Box; otherwise a Dict of Boxes: words, sentences, slots, state.
    """

    def __init__(
        self,
        env: gym.Env[str, Any],
        bins: int = 128,
        *,
        sentences: int | None = None,
        slots: int | None = None,
        flat: bool = True,
    ) -> None:
        gym.utils.RecordConstructorArgs.__init__(
            self, bins=bins, sentences=sentences, slots=slots, flat=flat
        )
        gym.ObservationWrapper.__init__(self, env)
        self._discrete = _find(env)
        discrete = self._discrete
        self.sentences = sentences or (discrete.sentences if discrete else 8)
        self.slots = slots or (discrete.slots if discrete else 2)
        self.bins, self.flat = bins, flat
        shapes = {
            "words": (self.sentences, bins),
            "sentences": (self.sentences, len(SENTENCE_FEATURES)),
            "slots": (self.slots, len(SLOT_FEATURES)),
            "state": (len(STATE_FEATURES),),
        }
        size = sum(int(np.prod(shape)) for shape in shapes.values())
        self.observation_space: spaces.Space[Any] = (
            _box((size,))
            if flat
            else spaces.Dict({name: _box(shape) for name, shape in shapes.items()})
        )

    def observation(self, observation: str) -> Observation:
        """The numbers of a text observation."""
        situation = self._situation(observation)
        if self.flat:
            return feature_array(situation, self.sentences, self.slots, self.bins)
        return encode(situation, self.sentences, self.slots, self.bins)

    def _situation(self, observation: str) -> Situation:
        if self._discrete is not None and self._discrete.draft is not None:
            return self._discrete.draft.situation
        view = parse_observation(observation)
        return Draft(view, self.sentences, self.slots).situation


def feature_array(
    situation: Situation, sentences: int, slots: int, bins: int
) -> NDArray[np.float32]:
    """The features of `situation` as one array in the order words, sentences, slots, state."""
    parts = encode(situation, sentences, slots, bins)
    return np.concatenate([part.ravel() for part in parts.values()])


def _box(shape: tuple[int, ...]) -> spaces.Box:
    return spaces.Box(0.0, 1.0, shape, np.float32)


def _find(env: gym.Env[Any, Any]) -> DiscreteOperations | None:
    """The `DiscreteOperations` in a stack of wrappers."""
    while isinstance(env, gym.Wrapper):
        if isinstance(env, DiscreteOperations):
            return env
        env = env.env
    return None
