"""Golden trajectories: a released id never changes its behaviour without a new version.

A difference here is a bug or a reason for `-v1`, never a reason to edit the file of a released id.
New ids get theirs with `python -m tests.test_golden` (existing files are left alone).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from finemem_env.locate import ENVIRONMENTS
from finemem_env.testing import trajectory_hash
from tests.envs.policies import policy_actions

FOLDER = Path(__file__).parent / "golden"
SEEDS = (0, 1)
PROTOCOLS = ("managed", "fine-mem")


def record(env_id: str) -> list[dict[str, Any]]:
    """One row per protocol and seed: rewards and terms a person can compare, and the full hash."""
    rows = []
    for protocol in PROTOCOLS:
        for seed in SEEDS:
            env = gym.make(env_id, protocol=protocol)
            observation, info = env.reset(seed=seed)
            actions = list(policy_actions(env_id, seed))
            rewards = []
            for action in actions:
                _, reward, *_, info = env.step(action)
                rewards.append(round(float(reward), 9))
            rows.append(
                {
                    "protocol": protocol,
                    "seed": seed,
                    "first_line": observation.splitlines()[1],
                    "rewards": rewards,
                    "terms": {key: round(value, 9) for key, value in info["reward_terms"].items()},
                    "step_rewards": [round(value, 9) for value in info["step_rewards"]],
                    "memory_tokens": info["memory_tokens"],
                    "versions": info["versions"],
                    "sha256": trajectory_hash(env, actions, seed=seed),
                }
            )
    return rows


def _path(env_id: str) -> Path:
    return FOLDER / f"{env_id}.jsonl"


@pytest.mark.parametrize("env_id", sorted(ENVIRONMENTS))
def test_trajectories_are_as_recorded(env_id: str) -> None:
    expected = [json.loads(line) for line in _path(env_id).read_text("utf-8").splitlines()]
    assert record(env_id) == expected


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in ENVIRONMENTS:
        if not _path(name).exists():
            lines = [json.dumps(row, sort_keys=True) for row in record(name)]
            _path(name).write_text("\n".join(lines) + "\n", "utf-8")
