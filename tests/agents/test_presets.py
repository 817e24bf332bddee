"""Every preset for a GPU runs end to end: its settings fit together, with the packaged model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

from agents.grpo import main
from agents.runs.config import PRESETS
from agents.settings import TINY
from tests.installed import needs

needs("peft", "gpu-4b-lora needs peft")

# Shorter texts and replies; everything else is the preset's.
SHORT = {"chunk_tokens": 48, "num_chunks": 1, "max_observation_tokens": 400}


@pytest.mark.parametrize("name", sorted(name for name in PRESETS if not name.startswith("cpu")))
def test_a_preset_trains_evaluates_and_ends_with_its_table(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--preset", name, "--model", TINY, "--smoke", "--output-dir", str(tmp_path)]
    sizes = ["--updates", "1", "--group-size", "2", "--max-new-tokens", "8"]
    sizes += ["--eval-episodes", "1", "--final-episodes", "1", "--threads", "1"]
    assert main([*words, *sizes, "--env-args", json.dumps(SHORT)]) == 0
    assert "oracle" in capsys.readouterr().out
    kept = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    given = {"model", "env_args", "contexts", "group_size", "max_new_tokens"}
    for key in set(PRESETS[name]) - given:
        assert kept[key] == PRESETS[name][key], key
    assert kept["env_args"] == PRESETS[name]["env_args"] | SHORT
    updates = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert updates[-1]["train/tokens"] > 0
