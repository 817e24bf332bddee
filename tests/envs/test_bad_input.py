"""Programmer mistakes: one clear error each, with the nearest match; agent text is never one."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from finemem_env.errors import ConfigError, DataError
from finemem_env.registration import make_rollout_env

CASES = [
    ({"rewrd": "outcome"}, r"unknown keyword 'rewrd'. Did you mean 'reward'\?"),
    ({"reward": "fine-men"}, r"unknown reward 'fine-men'. Did you mean 'fine-mem'\?"),
    ({"protocol": "manged"}, r"Did you mean 'managed'\?"),
    ({"beta": 1.5}, r"beta: expected a number in \[0, 1\], got 1.5"),
    ({"beta": True}, r"beta: expected a number"),
    ({"weights": {"fromat": 1}}, r"Did you mean 'format'\?"),
    ({"weights": {"format": float("nan")}}, r"finite number"),
    ({"memory_budget": 0}, r"memory_budget: expected tokens"),
    ({"memory_budget": "lots"}, r"\"unlimited\", got 'lots'"),
    ({"top_k": 0}, r"top_k: expected an integer ≥ 1"),
    ({"bm25": "lucine"}, r"Did you mean 'lucene'\?"),
    ({"memory": "hierarchic"}, r"unknown memory 'hierarchic'. Did you mean 'hierarchical'"),
    ({"memory_view": "recent"}, r"recent:K"),
    ({"reader": "loacl"}, r"Did you mean 'local'\?"),
    ({"retriever": "bm52"}, r"Did you mean 'bm25'\?"),
    ({"tokenizer": "gpt"}, r'expected "approx" or "hf:PATH"'),
    ({"tokenizer": "hf:/nowhere"}, r"no tokenizer.json at"),
    ({"question_fraction": 0}, r"question_fraction: expected a number in \(0, 1\]"),
    ({"source": "sqaud"}, r"Did you mean 'squad'\?"),
    ({"source": "banking77"}, r"FineMem-TTL-v0"),
    ({"split": "dev"}, r"unknown split 'dev'"),
    ({"num_chunks": 0}, r"num_chunks: expected an integer ≥ 1"),
    ({"chunk_tokens": [5, 2]}, r"chunk_tokens"),
    ({"chunk_tokens": "auto"}, r"needs a finite max_observation_tokens"),
    ({"difficulty": {"facts": 1}}, r"unknown"),
    ({"max_observation_tokens": 0}, r"max_observation_tokens"),
    ({"render_mode": "rgb_array"}, r"render_mode"),
]


@pytest.mark.parametrize(("keywords", "message"), CASES, ids=[str(c[0]) for c in CASES])
def test_bad_keyword(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        gym.make("FineMem-AR-v0", disable_env_checker=True, **keywords)


@pytest.mark.parametrize("keywords", [{"render_mode": "rgb_array"}, {"frameskip": 1}])
def test_what_clients_try_is_a_type_error(keywords: dict[str, Any]) -> None:
    with pytest.raises(TypeError):  # stable-baselines3 and TorchRL go on without it
        gym.make("FineMem-AR-v0", disable_env_checker=True, **keywords)


def test_a_vector_environment_says_so_too() -> None:
    with pytest.raises(TypeError, match=r'render_mode: expected None or "ansi", got \'human\''):
        gym.make_vec("FineMem-AR-v0", render_mode="human")


@pytest.mark.parametrize("count", [0, -1, 2.0, "2", True])
def test_a_number_of_environments_is_one(count: Any) -> None:  # noqa: ANN401
    with pytest.raises(ConfigError, match="num_envs: expected an integer ≥ 1, got "):
        gym.make_vec("FineMem-AR-v0", num_envs=count)


def test_what_a_vector_environment_is_given_is_checked() -> None:
    env: Any = gym.make_vec("FineMem-AR-v0", num_envs=2, num_chunks=1)
    drawn = env.reset(seed=np.array([3, 4]))[0]
    assert drawn == env.reset(seed=[3, 4])[0]
    for actions in ("ab", None, ["a"], [b"a", b"b"]):
        with pytest.raises(ConfigError, match="actions: expected 2 strings, got "):
            env.step(actions)
    for ids in (5, ["synthetic/0"]):
        with pytest.raises(ConfigError, match="episode_id: expected one id or 2, got "):
            env.reset(options={"episode_id": ids})


@pytest.mark.parametrize("name", ["num_envs", "autoreset_mode", "vectorization_mode"])
def test_how_episodes_are_held_is_no_keyword_of_the_environment(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: whoever plays"):
        make_rollout_env("FineMem-AR-v0", {name: 2}, 1)


def test_unknown_id_suggests_the_nearest() -> None:
    with pytest.raises(gym.error.NameNotFound, match="FineMem-AR"):
        gym.make("FineMem-ARR-v0")


def test_missing_data_names_the_file_and_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FINEMEM_DATA", raising=False)
    with pytest.raises(DataError, match="FINEMEM_DATA"):
        gym.make("FineMem-AR-v0", source="squad")


def test_unknown_option_and_episode() -> None:
    env = gym.make("FineMem-AR-v0")
    with pytest.raises(ConfigError, match="episode_id"):
        env.reset(options={"episode": "x"})
    with pytest.raises(ConfigError, match="nowhere"):
        env.reset(options={"episode_id": "nowhere"})


def test_stepping_before_reset_and_after_the_end() -> None:
    env = gym.make("FineMem-AR-v0", num_chunks=1).unwrapped
    with pytest.raises(gym.error.ResetNeeded):
        env.step("")
    env.reset(seed=0)
    env.step("")
    with pytest.raises(gym.error.ResetNeeded, match="over"):
        env.step("")
    with pytest.raises(ConfigError, match="expected a str, got int"):
        env.step(3)


def test_vector_mistakes() -> None:
    with pytest.raises(ConfigError, match="autoreset_mode"):
        gym.make_vec("FineMem-AR-v0", num_envs=2, autoreset_mode="sometimes")
    env = gym.make_vec("FineMem-AR-v0", num_envs=2)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(("", ""))
    with pytest.raises(ConfigError, match="expected 2 seeds, got 3"):
        env.reset(seed=[1, 2, 3])  # type: ignore[arg-type]
    env.reset(seed=1)
    with pytest.raises(ConfigError, match="expected 2 strings"):
        env.step(("",))


def test_long_episode_under_step_compression_warns_once() -> None:
    env = gym.make("FineMem-AR-v0", protocol="fine-mem", num_chunks=11)
    with pytest.warns(UserWarning, match="empty memory pays"):
        env.reset(seed=0)
    env.reset(seed=1)
