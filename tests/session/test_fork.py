"""Copies in the middle of an episode: they go on identically, and apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import finemem_env
from finemem_env import Chunk, MemoryEnv, Question
from finemem_env.errors import ReaderError
from finemem_env.locate import ENVIRONMENTS
from finemem_env.operations import render
from finemem_env.session import Streamed
from finemem_env.testing import canonical
from finemem_env.types import Op, Operation
from tests.envs.policies import policy_actions


def _rest(env: MemoryEnv, actions: list[str]) -> list[str]:
    return [canonical(env.step(action)) for action in actions]


@pytest.mark.parametrize("env_id", sorted(ENVIRONMENTS))
@pytest.mark.parametrize("protocol", ["managed", "mem-alpha"])
def test_a_forked_environment_goes_on_identically(env_id: str, protocol: str) -> None:
    keywords: dict[str, Any] = {"protocol": protocol, "reward": "fine-mem-cited"}
    env = gym.make(env_id, **keywords).unwrapped
    assert isinstance(env, MemoryEnv)
    actions = list(policy_actions(env_id, 4))
    env.reset(seed=4)
    for action in actions[:4]:
        env.step(action)
    fork, other = env.fork(), env.fork()
    assert canonical(other.session.observe()) == canonical(env.session.observe())
    for _ in actions[4:]:
        other.step('[{"op": "INSERT", "content": "Something else."}]')
    assert _rest(env, actions[4:]) == _rest(fork, actions[4:])
    # The next episode of each is the same too: the random numbers to come are copied.
    assert canonical(env.reset()) == canonical(fork.reset()) == canonical(other.reset())
    assert [env.action_space.sample() for _ in range(5)] == [
        fork.action_space.sample() for _ in range(5)
    ]


def _conversation() -> Iterator[Streamed]:
    for number in range(6):
        asked = Question(f"k{number}", f"Where is thing{number}?", (f"place{number}",))
        yield Chunk(f"c{number}", f"thing{number} is in place{number}.", questions=(asked,))
        if number % 2:
            yield Question("", f"Where was thing{number}?", (f"place{number}",))


@pytest.mark.parametrize("first", [0, 1])
def test_a_forked_stream_reads_on_by_itself(first: int) -> None:
    def make() -> MemoryEnv:
        return MemoryEnv(source=_conversation(), memory_budget=0.8, chunk_questions=1)

    actions = [
        render([Operation(Op.INSERT, content=f"thing{i} is in place{i}.")]) for i in range(6)
    ]
    whole = make()
    whole.reset(seed=1)
    expected = _rest(whole, actions)
    env = make()
    env.reset(seed=1)
    assert _rest(env, actions[:3]) == expected[:3]
    pair = [env, env.fork()]
    again = pair[first].fork()
    for one in (pair[first], pair[1 - first], again):
        assert _rest(one, actions[3:]) == expected[3:]


def test_a_fork_before_the_first_reset_and_within_a_step() -> None:
    env = MemoryEnv(num_chunks=2)
    with pytest.raises(gym.error.ResetNeeded):
        env.fork().session  # noqa: B018
    env.reset(seed=0)
    env.session.advance(render([Operation(Op.SKIP)]))
    with pytest.raises(ReaderError, match="inside a step"):
        env.session.fork()


def test_a_forked_reader_is_replaced_alone() -> None:
    env = MemoryEnv(num_chunks=2)
    env.reset(seed=0)
    fork = env.fork()
    fork.factory.reader = object()  # type: ignore[assignment]
    env.step(render([Operation(Op.SKIP)]))


def test_branches_of_a_group_share_their_beginning() -> None:
    env = finemem_env.MemoryEnv(num_chunks=3, memory_budget="unlimited")
    env.reset(seed=5)
    chunks = env.session.episode.chunks
    env.step(render([Operation(Op.INSERT, content=chunks[0].text)]))
    scores = []
    for keep in (True, False):
        branch = env.fork()
        for chunk in chunks[1:]:
            operation = Operation(Op.INSERT, content=chunk.text) if keep else Operation(Op.SKIP)
            *_, info = branch.step(render([operation]))
        scores.append(info["score"])
    assert scores[0] > scores[1]
    assert np.isclose(env.session.step_index, 1)
