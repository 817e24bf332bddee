"""Gymnasium's own wrappers and vector modes around the text environments."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import FlattenObservation, TimeAwareObservation, TimeLimit

import finemem_env  # noqa: F401
from finemem_env.spaces import TextSpace

SKIP = '[{"op": "SKIP"}]'
TEXTS = ("", "<chunk>", "naïve 北京 \U0001f980 \ud800", "x" * 30)


def _make(**keywords: Any) -> gym.Env[str, str]:  # noqa: ANN401
    return gym.make("FineMem-AR-v0", max_observation_tokens=300, **keywords)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_flattens_to_its_code_points_and_back(text: str) -> None:
    space = TextSpace(30)
    assert text in space
    assert all(char in space.character_set for char in text)
    flat: Any = spaces.flatten(space, text)
    assert flat[: len(text)].tolist() == list(map(ord, text))
    assert flat in spaces.flatten_space(space)
    assert spaces.unflatten(space, flat) == text


def test_the_declared_characters_are_all_of_unicode() -> None:
    space = TextSpace(5)
    assert len(space.character_set) == len(space.character_list) == 0x110000
    assert "ab" not in space.character_set
    assert space.character_list[ord("<")] == "<"
    assert space.character_list[60:63] == ("<", "=", ">")
    assert space.characters.index("北") == ord("北")
    assert space.character_set == TextSpace(9).character_set


@pytest.mark.parametrize("wrapper", [FlattenObservation, TimeAwareObservation])
def test_observations_as_numbers(wrapper: Callable[..., gym.Env[Any, str]]) -> None:
    env = wrapper(_make(num_chunks=3, max_episode_steps=3))
    plain = _make(num_chunks=3)
    observation, _ = env.reset(seed=0)
    expected, _ = plain.reset(seed=0)
    for _ in range(3):
        assert observation in env.observation_space
        flat: Any = spaces.flatten(plain.observation_space, expected)
        assert flat.tolist() in (observation.tolist(), observation[:-1].tolist())
        observation, *_ = env.step(SKIP)
        expected, *_ = plain.step(SKIP)


@pytest.mark.parametrize(
    "make",
    [
        lambda fns: SyncVectorEnv(fns, observation_mode="different"),
        lambda fns: AsyncVectorEnv(fns, observation_mode="different", shared_memory=True),
        lambda fns: AsyncVectorEnv(fns, observation_mode="different", shared_memory=False),
    ],
)
def test_different_spaces_in_one_vector(make: Callable[[Any], Any]) -> None:
    envs = make([_make, lambda: _make(num_chunks=4)])
    observations, _ = envs.reset(seed=[0, 1])
    singles = [_make(), _make(num_chunks=4)]
    assert list(observations) == [one.reset(seed=i)[0] for i, one in enumerate(singles)]
    assert observations in envs.observation_space
    observations, *_ = envs.step([SKIP, SKIP])
    assert list(observations) == [one.step(SKIP)[0] for one in singles]
    envs.close()


@pytest.mark.parametrize(
    "make",
    [
        lambda: gym.make("FineMem-AR-v0", max_episode_steps=3),
        lambda: TimeLimit(gym.make("FineMem-AR-v0"), 3),
        lambda: FlattenObservation(TimeLimit(gym.make("FineMem-AR-v0").unwrapped, 3)),
    ],
)
def test_a_time_limit_that_loses_the_questions_says_so_once(make: Callable[[], Any]) -> None:
    env = make()
    with pytest.warns(UserWarning, match=r"3 steps .* 10 chunks .* num_chunks=3"):
        env.reset(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env.reset(seed=1)


@pytest.mark.parametrize("limit", [10, 500])
def test_a_time_limit_that_an_episode_fits_is_quiet(limit: int) -> None:
    env = TimeLimit(gym.make("FineMem-AR-v0"), limit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env.reset(seed=0)
        for _ in range(10):
            _, _, terminated, _, info = env.step(SKIP)
    assert terminated
    assert len(info["answers"]) > 0
    assert np.isfinite(info["score"])
