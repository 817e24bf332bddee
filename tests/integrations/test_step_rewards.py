"""`step_rewards` arrive through every wire as the plain environment gives them.

A wire plays one episode in its package's own way: `play(seed, replies)` gives each reply of
`replies` at its step and returns the step rewards that come out at the other end. A new package is
one function with `@wire`; one that is not installed is skipped by its name.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from finemem_env.integrations import play_groups, step_info
from finemem_env.wrappers import DiscreteOperations, FeatureObservation
from tests.backends.servers import StubServer
from tests.integrations.serving import served

Wire = Callable[[int, Sequence[str]], Sequence[float]]

ENV = "FineMem-AR-v0"
TASK: dict[str, Any] = {"num_chunks": 3, "difficulty": {"facts_per_chunk": 2}}
SEED = 3
ASKED = os.environ.get("FINEMEM_INTEGRATION", "")  # must not be skipped (tox.ini)
INSERT = np.int64(1)  # the choice that numbered agents make at every sentence
WIRES: list[Any] = []


def wire(*packages: str, slow: bool = False) -> Callable[[Wire], Wire]:
    """Adds a wire under its function's name; `packages` are what it needs."""

    def add(play: Wire) -> Wire:
        marks = [pytest.mark.slow] if slow else []
        WIRES.append(pytest.param(play, packages, id=play.__name__, marks=marks))
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


@wire("trl", "torch", slow=True)
def through_trl(seed: int, replies: Sequence[str]) -> Sequence[float]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl.trainer.grpo_trainer import GRPOTrainer

    from agents.assets import tiny_folder
    from finemem_env.integrations.trl import StepTask

    seen: list[Any] = []
    left = iter(replies)
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder(), padding_side="left")

    class Scripted(GRPOTrainer):
        def _generate_single_turn(self, ids: list[Any], *_: object) -> tuple[list[Any], None]:
            return [tokenizer(next(left))["input_ids"]] * len(ids), None

    def reward(step_reward: list[float | None], **_: object) -> list[float | None]:
        seen.extend(step_reward)
        return step_reward

    task = StepTask(ENV, group_size=2, updates=1, env_args=TASK, credit="step", seed=seed)
    model = AutoModelForCausalLM.from_pretrained(tiny_folder())
    with tempfile.TemporaryDirectory() as folder:
        config = task.config(folder, bf16=False, use_cpu=True, save_strategy="no")
        parts: dict[str, Any] = {"processing_class": tokenizer, "rollout_func": task.roll_out}
        Scripted(model, reward, config, task.dataset(), **parts).train()
    assert seen[::2] == seen[1::2]
    return seen[::2]


def numbered() -> gym.Env[Any, Any]:
    return FeatureObservation(DiscreteOperations(gym.make(ENV, **TASK)))


@wire("ray", "tree", slow=True)  # others bring ray without what its rllib needs
def through_rllib(seed: int, replies: Sequence[str]) -> Sequence[float]:
    script = str(Path(__file__).with_name("rllib_episode.py"))
    asked = json.dumps({"seed": seed, "config": {"env_id": ENV, "env_args": TASK}})
    done = subprocess.run([sys.executable, script, asked], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rewards: list[float] = json.loads(done.stdout.splitlines()[-1])
    return rewards


@wire("stable_baselines3", slow=True)
def through_sb3(seed: int, replies: Sequence[str]) -> Sequence[float]:
    from stable_baselines3.common.env_util import make_vec_env

    env = make_vec_env(numbered, n_envs=1, seed=seed)
    env.reset()
    over = False
    while not over:
        _, _, ends, infos = env.step(np.array([INSERT]))
        over = bool(ends[0])
    rewards: Sequence[float] = infos[0]["step_rewards"]
    return rewards


@wire("torchrl", slow=True)
def through_torchrl(seed: int, replies: Sequence[str]) -> Sequence[float]:
    from torchrl.envs import GymEnv
    from torchrl.envs.gym_like import BaseInfoDictReader

    class Last(BaseInfoDictReader):
        """Puts nothing into tensors: `step_rewards` has a length at the end only."""

        seen: Any = ()
        info_spec: Any = {}

        def __call__(self, info_dict: Any, tensordict: Any) -> Any:  # noqa: ANN401
            self.seen = info_dict["step_rewards"]
            return tensordict

    last = Last()
    env = GymEnv(ENV, **TASK).set_info_dict_reader(last)
    seen = env.reset(seed=seed)
    for reply in replies:
        seen = env.step(seen.set("action", reply))["next"]
    rewards: Sequence[float] = last.seen
    return rewards


@wire("tianshou", slow=True)
def through_tianshou(seed: int, replies: Sequence[str]) -> Sequence[float]:
    from tianshou.env import DummyVectorEnv

    envs = DummyVectorEnv([numbered])
    envs.reset(seed=seed)
    ends = [False]
    while not ends[0]:
        _, _, ends, _, infos = envs.step([INSERT])
    rewards: Sequence[float] = infos[0]["step_rewards"]
    return rewards


@wire()
def through_json(seed: int, replies: Sequence[str]) -> Sequence[float]:
    env = gym.make(ENV, **TASK)
    env.reset(seed=seed)
    for reply in replies:
        *_, info = env.step(reply)
    rewards: list[float] = json.loads(json.dumps(step_info(info)))["step_rewards"]
    return rewards


@wire("openenv")
def through_openenv(seed: int, replies: Sequence[str]) -> Sequence[float]:
    from finemem_env.integrations.openenv import Edit, MemoryClient, make_app

    with served(make_app(ENV, TASK)) as url, MemoryClient(base_url=url).sync() as client:
        client.reset(seed=seed)
        for reply in replies:
            result = client.step(Edit(text=reply))
    rewards: list[float] = result.metadata["step_rewards"]
    return rewards


@wire("verifiers")
def through_verifiers(seed: int, replies: Sequence[str]) -> Sequence[float]:
    import verifiers.v1 as vf

    from finemem_env.integrations.verifiers import MemoryData, MemoryHarness

    data = MemoryData(env_id=ENV, env_args=TASK, seed=seed)
    ctx, trace = SimpleNamespace(model="stub"), SimpleNamespace(info={})
    left = iter(replies)
    with StubServer(lambda request: next(left)) as server:
        harness: Any = MemoryHarness(vf.HarnessConfig())
        asyncio.run(harness.launch(ctx, trace, None, server.url, "unused", {}, data))
    rewards: list[float] = trace.info["turn_rewards"]
    return rewards


@wire("art")
def through_art(seed: int, replies: Sequence[str]) -> Sequence[float]:
    import art

    from finemem_env.integrations.art import gather_steps

    said: dict[str, str] = {}
    with StubServer(lambda asked: _by_chunk(said, _shown(asked), replies)) as server:
        endpoint = {"inference_base_url": server.url, "inference_api_key": "unused"}
        model = art.Model(name="stub", project="test", inference_model_name="stub", **endpoint)
        groups = asyncio.run(gather_steps(model, ENV, seed, 2, env_args=TASK, credit="step"))
    return [group.trajectories[0].reward for group in groups]


def _shown(request: Any) -> str:  # noqa: ANN401
    shown: str = request["messages"][-1]["content"]
    return shown


def _by_chunk(said: dict[str, str], prompt: str, replies: Sequence[str]) -> str:
    """The reply of the step whose chunk the prompt shows, to every rollout the same."""
    chunk = prompt.rpartition("<chunk")[2].partition("</chunk>")[0]
    return said.setdefault(chunk, replies[len(said) % len(replies)])


@wire("atroposlib")
def through_atropos(seed: int, replies: Sequence[str]) -> Sequence[float]:
    from tests.integrations.test_atropos import TokenServer, played

    said: dict[str, str] = {}
    with TokenServer() as server:
        server.notes = lambda prompt: _by_chunk(said, prompt, replies)
        _, groups = asyncio.run(played(server, seed))
    return [group["scores"][0] for group in groups]


@wire("verl")
def through_verl(seed: int, replies: Sequence[str]) -> Sequence[float]:
    from tests.integrations.test_verl import Model, rollout

    left = iter(replies)
    return [one.reward_score for one in rollout(Model(lambda prompt: next(left)), seed)]


@wire("gem")
def through_gem(seed: int, replies: Sequence[str]) -> Sequence[float]:
    from finemem_env.integrations.gem import MemoryGem

    env = MemoryGem(ENV, TASK, seed)
    env.reset()
    for reply in replies:
        *_, info = env.step(reply)
    rewards: list[float] = info["step_rewards"]
    return rewards


@wire("skyrl_gym")
def through_skyrl(seed: int, replies: Sequence[str]) -> Sequence[float]:
    from finemem_env.integrations.skyrl import MemorySkyRL

    env = MemorySkyRL({"env_id": ENV, "env_args": TASK}, {"extra_info": {"seed": seed}})
    env.init([])
    for reply in replies:
        out = env.step(reply)
    rewards: list[float] = out["metadata"]["step_rewards"]
    return rewards


@wire("nemo_gym")
def through_nemo_gym(seed: int, replies: Sequence[str]) -> Sequence[float]:
    from tests.integrations.test_nemo_gym import rollout

    left = iter(replies)
    rolled, _ = rollout(lambda prompt: next(left), seed, TASK)
    rewards: list[float] = rolled["info"]["step_rewards"]
    return rewards


@wire("nemo_gym", "openenv")
def through_nemo_gyms_openenv(seed: int, replies: Sequence[str]) -> Sequence[float]:
    from tests.integrations.test_nemo_gym import through_openenv

    return through_openenv(seed, replies, TASK)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("play", "packages"), WIRES)
def test_step_rewards_are_those_of_the_plain_environment(
    play: Wire, packages: tuple[str, ...]
) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            assert play.__name__ != f"through_{ASKED}", f"{package} is not installed"
            pytest.skip(f"{package} is not installed")
    replies, rewards = plain()
    assert len(set(rewards)) == len(replies) == 3  # none of them stands for another
    assert play(SEED, replies) == pytest.approx(rewards)
