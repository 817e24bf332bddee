"""The environment as RLlib makes it; with ray installed (tox run -e rllib), PPO on it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from finemem_env.errors import ConfigError
from finemem_env.integrations.rllib import make_env

ROOT = Path(__file__).resolve().parents[2]


def test_the_mask_stands_beside_the_observation() -> None:
    env = make_env({"env_args": {"num_chunks": 2}, "sentences": 2, "slots": 1, "bins": 16})
    observation, _ = env.reset(seed=3)
    masks = [observation["action_mask"]]
    over = False
    while not over:
        assert env.observation_space.contains(observation)
        choice = np.flatnonzero(observation["action_mask"])[-1]
        observation, _, over, _, info = env.step(choice)
        masks.append(observation["action_mask"])
    assert masks[0].shape == (1 + 2 + 2 + 1,)
    assert masks[0].tolist() == [1, 1, 1, 0, 0, 0]  # SKIP and INSERT: there is no item yet
    assert any(mask[3:].any() for mask in masks)
    assert all(one["accepted"] for one in info["operations"])


@pytest.mark.filterwarnings("ignore")
def test_it_is_an_environment() -> None:
    check_env(make_env({"env_args": {"num_chunks": 2}, "bins": 16}), skip_render_check=True)


def test_a_mistyped_key_is_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'sentences'"):
        make_env({"sentence": 2})


@pytest.mark.slow
def test_ppo_runs_two_iterations() -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: tox run -e rllib")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "rllib_ppo.py"), "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"iteration (\d): (\d+) episodes, score (0\.\d{3}), .*", done.stdout)
    assert [line[0] for line in lines] == ["1", "2"]
    assert int(lines[1][1]) > int(lines[0][1]) > 0
