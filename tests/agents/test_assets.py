"""The packaged model is small enough to ship and scores what its record says."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

from agents.assets import tiny_folder
from agents.model.policy import load_policy
from agents.runs.config import PRESETS, TrainConfig
from agents.warmstart import REFINE, WarmStart, check


def test_it_is_at_most_three_megabytes_and_pickles_nothing() -> None:
    files = [one for one in tiny_folder().iterdir() if one.is_file()]
    assert sum(one.stat().st_size for one in files) <= 3_000_000
    assert {one.suffix for one in files} <= {".safetensors", ".json", ".jinja"}


def test_it_has_under_a_million_parameters() -> None:
    model = load_policy(TrainConfig(**PRESETS["cpu"]).model).model
    assert sum(one.numel() for one in model.parameters()) < 1_000_000


def test_it_scores_what_its_record_says() -> None:
    record = json.loads((tiny_folder() / "warmstart.json").read_text())
    policy = load_policy(TrainConfig(**PRESETS["cpu"]).model)
    config = WarmStart(**record["config"])
    for part, stage in {"scores": None, "copying": REFINE[-1]}.items():
        if part not in record:
            continue
        found = check(policy, config, stage=stage, count=record["count"])
        for name, value in record[part].items():
            tolerance = 3.0 if name == "tokens" else 0.06
            assert found[name] == pytest.approx(value, abs=tolerance), (part, name)
