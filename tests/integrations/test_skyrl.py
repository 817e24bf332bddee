"""SkyRL-gym for real (tox run -e skyrl)."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("skyrl_gym")

import skyrl_gym

from tests.integrations.replies import ARGS, ENV, Notes, replayed, run_page


def test_an_episode_is_that_of_the_plain_environment() -> None:
    skyrl_gym.register("finemem", "finemem_env.integrations.skyrl:MemorySkyRL")
    row: dict[str, Any] = {"extra_info": {"seed": 5}}
    env = skyrl_gym.make("finemem", env_config={"env_id": ENV, "env_args": ARGS}, extras=row)
    messages, told = env.init([{"role": "user", "content": "the row's prompt"}])
    assert [message["role"] for message in messages] == ["system", "user"]
    assert env.max_turns == told["num_chunks"] == 3
    notes, replies, texts, total, done = Notes(), [], [messages[-1]["content"]], 0.0, False
    while not done:
        replies.append(notes(texts[-1]))
        out = env.step(replies[-1])
        done, total = out["done"], total + out["reward"]
        texts += [message["content"] for message in out["observations"]]
    plain, rewards = replayed(5, replies)
    assert texts == plain
    assert out["metadata"]["step_rewards"] == pytest.approx(rewards)
    assert sum(rewards) == pytest.approx(total)
    assert env.get_metrics() == {"score": out["metadata"]["score"]}


def test_the_page() -> None:
    assert run_page("SkyRL")["out"]["metadata"]["chunk_index"] == 1
