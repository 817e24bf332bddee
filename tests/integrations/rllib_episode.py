"""One episode of an RLlib env runner whose module always inserts; prints its step rewards.

python rllib_episode.py '{"seed": …, "config": …}': apart, since ray keeps processes of its own.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import ray
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.tune import register_env

from finemem_env.integrations.rllib import make_env


class Inserts(TorchRLModule):
    """Choice 1 at every sentence."""

    def _forward(self, batch: dict[str, Any], **_: object) -> dict[str, Any]:
        count = len(batch[Columns.OBS]["action_mask"])
        return {Columns.ACTIONS: torch.ones(count, dtype=torch.int64)}


def main(seed: int, config: dict[str, Any]) -> list[float]:
    """The step rewards at the episode's end."""
    ray.init(num_cpus=1, include_dashboard=False, _node_ip_address="127.0.0.1")
    register_env("finemem", make_env)
    found = (
        PPOConfig()
        .environment("finemem", env_config=config)
        .env_runners(num_env_runners=0)
        .rl_module(rl_module_spec=RLModuleSpec(module_class=Inserts))
        .debugging(seed=seed)
    )
    (episode,) = SingleAgentEnvRunner(config=found, worker_index=0).sample(num_episodes=1)
    return list(episode.get_infos(-1)["step_rewards"])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(**json.loads(sys.argv[1]))) + "\n")
