"""GEM for real (tox run -e gem)."""

from __future__ import annotations

import random
from typing import Any

import pytest

pytest.importorskip("gem")

import gem

from finemem_env.integrations.gem import register_all
from tests.integrations.replies import ARGS, ENV, Notes, replayed, run_page


def made(**keywords: Any) -> gem.Env:  # noqa: ANN401
    register_all()
    register_all()  # once is enough, twice does no harm
    return gem.make(f"finemem:{ENV}", env_args=ARGS, **keywords)


def test_an_episode_is_that_of_the_plain_environment() -> None:
    env, notes, replies = made(), Notes(), []
    random.seed(1)
    state = random.getstate()
    text, info = env.reset(seed=5)
    texts, over = [text], False
    while not over:
        replies.append(notes(texts[-1]))
        text, _, over, cut, info = env.step(replies[-1])
        texts.append(text)
        assert not cut
    assert random.getstate() == state
    plain, rewards = replayed(5, replies)
    assert info["step_rewards"] == pytest.approx(rewards)
    assert all(own in seen for own, seen in zip(plain, texts, strict=False))


def test_step_rewards_outlive_the_reset_of_a_vector_environment() -> None:
    register_all()
    envs = gem.make_vec([f"finemem:{ENV}"] * 2, seed=5, env_args=ARGS)
    notes = Notes()
    texts, _ = envs.reset()
    said: list[list[str]] = [[], []]
    for _ in range(3):
        replies = [notes(text) for text in texts]
        for own, reply in zip(said, replies, strict=True):
            own.append(reply)
        texts, _, over, _, infos = envs.step(replies)
    assert all(over)
    for seed, replies, info in zip((5, 6), said, infos, strict=True):
        assert info["last_episode"]["step_rewards"] == pytest.approx(replayed(seed, replies)[1])
        assert info["step_rewards"] == []


def test_a_spawned_environment_goes_on_from_the_same_state() -> None:
    env = made()
    env.reset(seed=5)
    other = env.spawn(same_state=True)
    assert other.step("[]")[:2] == env.step("[]")[:2]
    assert env.spawn(seed=6).reset()[0] == made(seed=6).reset()[0]
    begun = made(seed=5)
    begun.reset()
    twin = begun.spawn(same_state=True)
    assert twin.reset()[0] == begun.reset()[0], "the next episode, not the first again"
    assert isinstance(env.sample_random_action(), str)


def test_the_page() -> None:
    assert run_page("GEM")["info"]["chunk_index"] == 1
