"""Every registered id: Gymnasium's contract, determinism, pickling, rendering, documentation."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import finemem_env
from finemem_env.locate import ENVIRONMENTS
from finemem_env.registration import env_class
from finemem_env.testing import canonical, trajectory_hash
from tests.envs.policies import policy_actions

IDS = sorted(ENVIRONMENTS)
INFO_KEYS = {
    "reward_terms", "weights", "instructions", "chunk_answers", "operations", "memory_tokens",
    "memory_items", "chunk_index", "num_chunks", "episode_id", "anchor", "step_rewards",
    "step_reward_valid", "evidence_credit", "answers", "versions", "score", "limits",
}  # fmt: skip
HEADINGS = (
    "Description", "Action Space", "Observation Space", "Rewards", "Starting State", "Episode End",
    "Information", "Arguments", "Version History",
)  # fmt: skip


@pytest.mark.parametrize("env_id", IDS)
def test_check_env_has_no_warning(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(env_id)
        check_env(env.unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_made_through_the_module_prefix(env_id: str) -> None:
    env = gym.make(f"finemem_env:{env_id}")
    assert isinstance(env.unwrapped, finemem_env.MemoryEnv)


@pytest.mark.parametrize("env_id", IDS)
def test_info_has_the_same_keys_at_every_step(env_id: str) -> None:
    env = gym.make(env_id)
    _, info = env.reset(seed=1)
    keys = INFO_KEYS | ({"media"} if env_id == "FineMem-Media-v0" else set())
    assert set(info) == keys
    over = False
    while not over:
        _, reward, over, truncated, info = env.step('[{"op":"SKIP"}]')
        assert set(info) == keys
        assert isinstance(reward, float)
        assert truncated is False
    assert info["chunk_index"] == info["num_chunks"]
    assert len(info["step_rewards"]) == info["num_chunks"]
    assert len(info["answers"]) > 0


@pytest.mark.parametrize("env_id", IDS)
def test_streamed_and_attributed_returns_agree(env_id: str) -> None:
    env = gym.make(env_id, attribution="last_write")
    _, _ = env.reset(seed=2)
    total, over, actions = 0.0, False, policy_actions(env_id, 2)
    while not over:
        _, reward, over, _, info = env.step(next(actions))
        total += float(reward)
    assert total == pytest.approx(sum(info["step_rewards"]), abs=1e-9)


@pytest.mark.parametrize("env_id", IDS)
def test_two_copies_agree_and_seeds_differ(env_id: str) -> None:
    first, second = gym.make(env_id), gym.make(env_id)
    one = trajectory_hash(first, policy_actions(env_id, 3), seed=3)
    assert one == trajectory_hash(second, policy_actions(env_id, 3), seed=3)
    assert one == trajectory_hash(first, policy_actions(env_id, 3), seed=3)
    assert one != trajectory_hash(first, policy_actions(env_id, 3), seed=4)


def test_hash_is_the_same_in_processes_with_other_hash_seeds() -> None:
    code = (
        "import gymnasium as gym, finemem_env\n"
        "from finemem_env.testing import trajectory_hash\n"
        "from tests.envs.policies import policy_actions\n"
        f"for i in {IDS!r}: print(trajectory_hash(gym.make(i), policy_actions(i, 5), seed=5))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    here = "".join(trajectory_hash(gym.make(i), policy_actions(i, 5), seed=5) + "\n" for i in IDS)
    assert outputs == {here}


@pytest.mark.parametrize("env_id", IDS)
def test_pickle_goes_on_where_it_was(env_id: str) -> None:
    env = gym.make(env_id).unwrapped
    env.reset(seed=6)
    actions = policy_actions(env_id, 6)
    env.step(next(actions))
    copy = pickle.loads(pickle.dumps(env))
    action = next(actions)
    assert canonical(env.step(action)) == canonical(copy.step(action))
    assert canonical(env.reset()) == canonical(copy.reset())


@pytest.mark.parametrize("env_id", IDS)
def test_spec_is_json_and_rebuilds_the_env(env_id: str) -> None:
    env = gym.make(env_id, reward="outcome", memory_budget=100, num_chunks=3)
    assert env.spec is not None
    spec = gym.envs.registration.EnvSpec.from_json(env.spec.to_json())
    rebuilt = gym.make(spec)
    actions = list(zip(range(3), policy_actions(env_id, 7), strict=False))
    texts = [text for _, text in actions]
    assert trajectory_hash(env, texts, seed=7) == trajectory_hash(rebuilt, texts, seed=7)


@pytest.mark.parametrize("env_id", IDS)
def test_rendering(env_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    env = gym.make(env_id, render_mode="ansi")
    env.reset(seed=8)
    env.step('[{"op":"INSERT","content":"a rendered fact"}]')
    text = env.render()
    assert isinstance(text, str)
    assert "a rendered fact" in text
    assert "INSERT [1]: accepted" in text
    human = gym.make(env_id, render_mode="human")
    human.reset(seed=8)
    human.step('[{"op":"DELETE","id":"7"}]')
    assert human.render() is None
    assert "DELETE: unknown id" in capsys.readouterr().out.replace("DELETE [7]", "DELETE")


@pytest.mark.parametrize("env_id", IDS)
def test_docstring_is_a_page(env_id: str) -> None:
    text = inspect.getdoc(env_class(env_id)) or ""  # Python 3.13 takes the indentation off
    for heading in HEADINGS:
        assert f"\n{heading}:\n" in text, heading


@pytest.mark.parametrize("env_id", IDS)
def test_replay_by_episode_id(env_id: str) -> None:
    env = gym.make(env_id)
    first, info = env.reset(seed=9)
    again, other = env.reset(seed=10, options={"episode_id": info["episode_id"]})
    assert (again, other["episode_id"]) == (first, info["episode_id"])


def test_group_shares_episode_and_questions() -> None:
    envs = gym.make_vec("FineMem-AR-v0", num_envs=4, autoreset_mode="disabled")
    observations, _ = envs.reset(seed=[11] * 4)  # type: ignore[arg-type]
    assert len(set(observations)) == 1
    sessions = envs.unwrapped.sessions  # type: ignore[attr-defined]
    assert len({session.drawn for session in sessions}) == 1


def test_question_fraction_is_drawn_from_the_seed() -> None:
    env = gym.make("FineMem-AR-v0", question_fraction=0.2).unwrapped
    assert isinstance(env, finemem_env.MemoryEnv)
    env.reset(seed=12)
    few, total = env.session.finals, len(env.session.episode.questions)
    assert len(few) == max(1, round(0.2 * total))
    env.reset(seed=12)
    assert env.session.finals == few


@pytest.mark.parametrize("env_id", IDS)
def test_json_types_only_in_info(env_id: str) -> None:
    env = gym.make(env_id)
    env.reset(seed=13)
    over = False
    while not over:
        _, _, over, _, info = env.step("not an operation")
        json.loads(canonical(info))
        assert not any(isinstance(value, np.generic) for value in info.values())
    assert {one["reason"] for one in info["operations"]} == {"no operation found"}
