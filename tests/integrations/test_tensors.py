"""`info` as numbers of one shape."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from finemem_env.integrations.tensors import TensorInfo

REPLIES = ("nothing", '[{"op":"SKIP"}]', '[{"op":"INSERT","content":"It rained."}]')


def test_every_key_has_one_shape_and_the_rewards_are_the_plain_ones() -> None:
    plain, env = (gym.make("FineMem-AR-v0", num_chunks=3) for _ in range(2))
    env = TensorInfo(env)
    plain.reset(seed=1)
    infos = [env.reset(seed=1)[1]]
    for reply in REPLIES:
        *_, whole = plain.step(reply)
        *_, info = env.step(reply)
        infos.append(info)
    for info in infos:
        assert {key: value.shape for key, value in info.items()} == {
            key: value.shape for key, value in infos[0].items()
        }
    assert infos[0]["step_rewards"].shape == infos[0]["step_reward_valid"].shape == (3,)
    assert any(whole["step_rewards"])
    assert tuple(infos[-1]["step_rewards"]) == whole["step_rewards"]
    assert tuple(infos[-1]["step_reward_valid"]) == whole["step_reward_valid"]
    assert not np.any(infos[0]["step_reward_valid"])
    assert infos[-1]["score"] == whole["score"]
