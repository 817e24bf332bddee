"""The environments in libraries that know nothing of them, as their users write it.

Each test needs its package and is skipped without it; tox run -e integrations has them all.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest

import finemem_env  # noqa: F401
from finemem_env.integrations.tensors import TensorInfo
from finemem_env.wrappers import DiscreteOperations, FeatureObservation

ENV = "FineMem-AR-v0"
TASK: dict[str, Any] = {"num_chunks": 2}
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def needs(package: str) -> Callable[[Any], Any]:
    lacks = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(lacks, reason=f"{package} is not installed: tox run -e integrations")


def numbered(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return FeatureObservation(DiscreteOperations(env))


def make_numbered() -> gym.Env[Any, Any]:
    return numbered(gym.make(ENV, **TASK))


@needs("torchrl")
def test_torchrl_steps_numbers() -> None:
    from torchrl.envs import GymWrapper
    from torchrl.envs.utils import check_env_specs

    env = GymWrapper(make_numbered())
    check_env_specs(env)
    rollout = env.rollout(1000)
    assert rollout["next", "done"].sum() == 1
    assert rollout["observation"].shape[1:] == env.observation_spec["observation"].shape
    assert rollout["action"].shape[-1] == env.action_spec.shape[-1]


@needs("torchrl")
def test_torchrl_steps_text_by_its_id() -> None:
    from torchrl.envs import GymEnv

    env = GymEnv(ENV, **TASK)
    seen = env.reset(seed=1)
    text, _ = gym.make(ENV, **TASK).reset(seed=1)
    assert seen["observation"] == text
    for step in range(2):
        seen = env.step(seen.set("action", '[{"op": "SKIP"}]'))["next"]
        assert bool(seen["done"]) == (step == 1)
        assert "<memory" in seen["observation"]


@needs("stable_baselines3")
@pytest.mark.parametrize("processes", [False, True])
def test_sb3_makes_a_vector_of_them_by_id(processes: bool) -> None:
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    env = make_vec_env(
        ENV,
        n_envs=2,
        wrapper_class=numbered,
        env_kwargs=TASK,
        vec_env_cls=SubprocVecEnv if processes else DummyVecEnv,
    )
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16, n_epochs=1, device="cpu").learn(64)
    assert model.num_timesteps == 64
    env.close()


@needs("tianshou")
def test_tianshou_collects_episodes() -> None:
    from tianshou.algorithm.algorithm_base import RandomActionPolicy
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.env import DummyVectorEnv

    envs = DummyVectorEnv([lambda: TensorInfo(make_numbered())] * 2)
    choices = make_numbered().action_space
    choices.seed(0)
    policy = RandomActionPolicy(choices)
    buffer = VectorReplayBuffer(2000, 2)
    collector = Collector(policy, envs, buffer)
    collector.reset(gym_reset_kwargs={"seed": 0})
    stats = collector.collect(n_episode=4)
    assert stats.n_collected_episodes == 4
    batch, _ = buffer.sample(0)
    assert batch.done.sum() == 4
    assert batch.info.step_rewards[batch.done].shape == (4, 2)
    assert batch.info.step_rewards[batch.done].any()
    assert not batch.info.step_rewards[~batch.done].any()
