"""`step_rewards` arrive through every wire as the plain environment gives them.

A wire plays one episode in its package's own way: `play(seed, replies)` gives each reply of
`replies` at its step and returns the step rewards that come out at the other end. A new package is
one function with `@wire`; one that is not installed is skipped by its name.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from finemem_env.integrations import play_groups, step_info
from finemem_env.wrappers import DiscreteOperations

Wire = Callable[[int, Sequence[str]], Sequence[float]]

ENV = "FineMem-AR-v0"
TASK: dict[str, Any] = {"num_chunks": 3, "difficulty": {"facts_per_chunk": 2}}
SEED = 3
INSERT = np.int64(1)  # the choice that numbered agents make at every sentence
WIRES: dict[str, tuple[Wire, tuple[str, ...]]] = {}


def wire(*packages: str) -> Callable[[Wire], Wire]:
    """Adds a wire under its function's name; `packages` are what it needs."""

    def add(play: Wire) -> Wire:
        WIRES[play.__name__] = (play, packages)
        return play

    return add


@cache
def plain() -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The replies of whoever inserts every sentence that fits, and their step rewards."""
    env = DiscreteOperations(gym.make(ENV, **TASK))
    env.reset(seed=SEED)
    replies, over = [], False
    while not over:
        draft = env.draft
        assert draft is not None
        _, _, over, _, info = env.step(INSERT)
        if draft.done:
            replies.append(draft.action())
    return tuple(replies), info["step_rewards"]


@wire()
def through_the_vector_environment(seed: int, replies: Sequence[str]) -> Sequence[float]:
    envs = gym.make_vec(ENV, num_envs=2, autoreset_mode="same_step", **TASK)
    envs.reset(seed=[seed, seed + 1])  # type: ignore[arg-type]
    for reply in replies:
        *_, infos = envs.step([reply, "[]"])
    return list(infos["final_info"]["step_rewards"][0])


@wire()
def through_play_groups(seed: int, replies: Sequence[str]) -> Sequence[float]:
    left = iter(replies)
    rows = play_groups(ENV, [seed], 1, lambda prompts: [next(left)], env_args=TASK)
    return [row.reward for row in rows]


@wire()
def through_json(seed: int, replies: Sequence[str]) -> Sequence[float]:
    env = gym.make(ENV, **TASK)
    env.reset(seed=seed)
    for reply in replies:
        *_, info = env.step(reply)
    rewards: list[float] = json.loads(json.dumps(step_info(info)))["step_rewards"]
    return rewards


@pytest.mark.parametrize("name", WIRES)
def test_step_rewards_are_those_of_the_plain_environment(name: str) -> None:
    play, packages = WIRES[name]
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    replies, rewards = plain()
    assert len(set(rewards)) == len(replies) == 3  # none of them stands for another
    assert play(SEED, replies) == pytest.approx(rewards)
