"""Sync, async (shared memory on and off, fork and spawn) and batched envs equal single envs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv

import finemem_env
from finemem_env.registration import make_vector_env
from finemem_env.spaces import TextSpace
from finemem_env.testing import canonical
from tests.envs.policies import policy_actions

ENV_ID = "FineMem-CR-v0"
SEEDS = (3, 4, 5)
Step = tuple[tuple[str, ...], list[float], list[bool], list[dict[str, Any]]]


def _single(autoreset: AutoresetMode) -> list[Step]:
    """Two episodes of each single environment, restarted as the vector modes would."""
    columns = []
    for seed in SEEDS:
        env = gym.make(ENV_ID)
        observation, info = env.reset(seed=seed)
        rows: list[tuple[str, float, bool, dict[str, Any]]] = [(observation, 0.0, False, info)]
        over = False
        for action in _actions(seed):
            if over and autoreset is AutoresetMode.NEXT_STEP:
                observation, info = env.reset()
                reward: float = 0.0
                over = False
            else:
                observation, value, over, _, info = env.step(action)
                reward = float(value)
                if over and autoreset is AutoresetMode.SAME_STEP:
                    final = {"final_obs": observation, "final_info": info}
                    observation, info = env.reset()
                    rows.append((observation, reward, True, final | info))
                    over = False
                    continue
            rows.append((observation, reward, over, info))
        columns.append(rows)
    return [
        (
            tuple(row[0] for row in step),
            [row[1] for row in step],
            [row[2] for row in step],
            [row[3] for row in step],
        )
        for step in zip(*columns, strict=True)
    ]


def _actions(seed: int) -> list[str]:
    """An episode's worth of actions, then a few more that fall into the next episode."""
    own = list(policy_actions(ENV_ID, seed))
    return [*own, '[{"op":"INSERT","content":"spans an episode"}]', *own[:3]]


def _vector(env: VectorEnv[Any, Any, Any]) -> list[Step]:
    observations, infos = env.reset(seed=list(SEEDS))  # type: ignore[arg-type]
    n = len(SEEDS)
    steps: list[Step] = [(tuple(observations), [0.0] * n, [False] * n, _split(infos, n))]
    for actions in zip(*(_actions(seed) for seed in SEEDS), strict=True):
        observations, rewards, ends, _, infos = env.step(actions)
        steps.append((tuple(observations), rewards.tolist(), ends.tolist(), _split(infos, n)))
    env.close()
    return steps


def _split(infos: dict[str, Any], n: int) -> list[dict[str, Any]]:
    """Vector infos taken apart again into one dictionary per environment."""
    return [
        {
            key: _split(value, n)[i] if isinstance(value, dict) else _plain(value[i])
            for key, value in infos.items()
            if not key.startswith("_") and infos[f"_{key}"][i]
        }
        for i in range(n)
    ]


def _plain(value: Any) -> Any:  # noqa: ANN401
    return value.item() if isinstance(value, np.generic) else value


def _assert_equal(found: Sequence[Step], expected: Sequence[Step]) -> None:
    assert len(found) == len(expected)
    for t, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert canonical(one) == canonical(other), f"step {t}"


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_batched_env_equals_single_envs(mode: AutoresetMode) -> None:
    env = gym.make_vec(ENV_ID, num_envs=3, autoreset_mode=mode)
    assert isinstance(env.unwrapped, finemem_env.MemoryVectorEnv)
    assert env.metadata["autoreset_mode"] is mode
    if mode is AutoresetMode.DISABLED:
        env.reset(seed=list(SEEDS))  # type: ignore[arg-type]
        for actions in zip(*(policy_actions(ENV_ID, seed) for seed in SEEDS), strict=True):
            *_, ends, _, _ = env.step(actions)
        assert ends.all()
        with pytest.raises(gym.error.ResetNeeded, match="reset_mask"):
            env.step(("",) * 3)
        return
    _assert_equal(_vector(env), _single(mode))


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_sync_env_equals_single_envs(mode: AutoresetMode) -> None:
    env = gym.make_vec(
        ENV_ID, num_envs=3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}
    )
    _assert_equal(_vector(env), _single(mode))


@pytest.mark.parametrize(
    ("context", "shared_memory"), [("fork", True), ("fork", False), ("spawn", True)]
)
def test_async_env_equals_single_envs(context: str, shared_memory: bool) -> None:
    env = gym.make_vec(
        ENV_ID,
        num_envs=3,
        vectorization_mode="async",
        vector_kwargs={"shared_memory": shared_memory, "context": context},
    )
    assert isinstance(env, AsyncVectorEnv)
    _assert_equal(_vector(env), _single(AutoresetMode.NEXT_STEP))


def test_partial_reset_touches_only_the_masked() -> None:
    env = gym.make_vec(ENV_ID, num_envs=3, autoreset_mode="disabled")
    before, _ = env.reset(seed=1)
    mask = np.array([False, True, False])
    after, infos = env.reset(seed=[7, 7, 7], options={"reset_mask": mask})  # type: ignore[arg-type]
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] == gym.make(ENV_ID).reset(seed=7)[0]
    assert infos["_episode_id"].tolist() == [False, True, False]


class _TextEnv(gym.Env[str, str]):
    """Shows a counter through whichever text space it is given."""

    def __init__(self, space: spaces.Text) -> None:
        self.observation_space = self.action_space = space
        self.count = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
        super().reset(seed=seed)
        return "start", {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.count += 1
        return f"step{self.count}", 0.0, False, False, {}


def _observed(space: spaces.Text) -> list[tuple[str, ...]]:
    env = AsyncVectorEnv([lambda: _TextEnv(space)] * 2)
    seen = [tuple(env.reset()[0]), tuple(env.step(("a", "b"))[0])]
    env.close()
    return seen


def test_stock_text_space_is_stale_in_shared_memory_and_ours_is_not() -> None:
    expected = [("start", "start"), ("step1", "step1")]
    assert _observed(spaces.Text(20)) != expected
    assert _observed(TextSpace(20)) == expected


@pytest.mark.parametrize("text", ["", "naïve 你好 🙂", "a\x00b", "x" * 50])
def test_text_space_contains_by_length_alone(text: str) -> None:
    space = TextSpace(50)
    assert text in space
    assert text + "y" * 51 not in space
    assert 3 not in space


def test_text_space_samples_are_mostly_operations_and_seeded() -> None:
    first, second = TextSpace(1000, seed=0), TextSpace(1000, seed=0)
    samples = [first.sample() for _ in range(200)]
    assert samples == [second.sample() for _ in range(200)]
    assert 100 < sum(sample.startswith('[{"op"') for sample in samples) < 190
    assert all(sample in first for sample in samples)
    with pytest.raises(ValueError, match="no mask"):
        first.sample(mask=(None, None))


def _laid_out(info: dict[str, Any]) -> list[Any]:
    """A batch of infos with the order of its keys and the types of its arrays."""
    return [
        (key, _laid_out(part) if isinstance(part, dict) else (str(part.dtype), part.tolist()))
        for key, part in info.items()
    ]


@pytest.mark.parametrize("mode", ["same_step", "next_step"])
def test_infos_are_batched_as_gymnasium_does(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env: Any = make_vector_env(ENV_ID, num_envs=2, num_chunks=2, autoreset_mode=mode)

    def theirs(infos: dict[int, dict[str, Any]], size: int) -> dict[str, Any]:
        batched: dict[str, Any] = {}
        for number, info in infos.items():
            batched = env._add_info(batched, info, number)
        return batched

    def play() -> list[list[Any]]:
        told = [env.reset(seed=[3, 4])[1]]
        told.append(env.reset(options={"reset_mask": np.array([False, True])})[1])
        told += [env.step(("[]", '[{"op": "SKIP"}]'))[-1] for _ in range(4)]
        return list(map(_laid_out, told))

    ours = play()
    monkeypatch.setattr("finemem_env.vector._batched", theirs)
    assert play() == ours
