"""What the updates of a run never come to is said in one line."""

from __future__ import annotations

from typing import Any

import pytest

from agents.runs.config import PRESETS, SMOKE, TrainConfig
from agents.runs.unreached import unreached

SERVED = {"sampler": "http://127.0.0.1:1/v1", "overlap": 1}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"updates": 50, "curriculum": "3:20,6:40,10"},
            "50 updates do not reach episodes of 10 chunks (curriculum: after update 60).",
        ),
        (
            {"updates": 20, "curriculum": "3:20,6:40,10"},
            "20 updates do not reach episodes of 6 chunks (curriculum: after update 20); episodes "
            "of 10 chunks (curriculum: after update 60).",
        ),
        ({"updates": 61, "curriculum": "3:20,6:40,10"}, ""),
        (
            {"updates": 4, "warmup_updates": 5, "lr": 1e-3},
            "4 updates do not reach lr 0.001 (warmup_updates 5: it rises to 0.0008).",
        ),
        ({"updates": 5, "warmup_updates": 5}, ""),
        (
            {"updates": 5, "eval_every": 6},
            "5 updates do not reach an evaluation between the first and the last (eval_every 6).",
        ),
        ({"updates": 5, "eval_every": 0, "save_every": 6}, ""),
        (
            {"updates": 30, "save_every": 31},
            "30 updates do not reach a checkpoint before the last (save_every 31).",
        ),
        (
            {"updates": 1, **SERVED},
            "1 update does not reach rollouts that are drawn ahead (overlap).",
        ),
        ({"updates": 2, **SERVED}, ""),
        ({"updates": 1}, ""),  # nothing was asked for
    ],
)
def test_it_is_said(settings: dict[str, Any], said: str) -> None:
    assert unreached(TrainConfig(**settings)) == said


@pytest.mark.parametrize("name", [None, *PRESETS])
def test_no_preset_asks_for_more_than_its_updates(name: str | None) -> None:
    preset = PRESETS[name] if name else {}
    assert unreached(TrainConfig(**preset)) == ""
    assert unreached(TrainConfig(**{**preset, **SMOKE})) == ""
