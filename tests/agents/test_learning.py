"""That training learns at all: a reward that pays for an empty memory empties it, in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
pytest.importorskip("tensorboard", reason="the agents need tensorboard")

from agents.learn.distributed import World
from agents.runs.config import PRESETS, TrainConfig
from agents.trainer import Run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_the_reward_rises_within_a_few_updates(tmp_path: Path) -> None:
    env_args = {
        **PRESETS["cpu"]["env_args"],
        "num_chunks": 1,
        "reward": "outcome",
        "weights": {"compression": 2.0, "format": 0.0},
    }
    config = TrainConfig(
        **{
            **PRESETS["cpu"],
            "env_args": env_args,
            "contexts": 2,
            "group_size": 8,
            "max_new_tokens": 40,
            "lr": 2e-3,
            "warmup_updates": 0,
            "updates": 6,
            "eval_every": 0,
            "eval_episodes": 1,
            "threads": 1,
        }
    )
    run = Run.start(config, tmp_path, resume=False, world=World())
    stored = [run.update(number)["rollout/memory_tokens"] for number in range(6)]
    assert sum(stored[-2:]) < 0.6 * sum(stored[:2])
