"""The preset for a pretrained model on two cores: from episode files to its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

from agents.grpo import main
from agents.runs.config import PRESETS
from agents.settings import TINY
from finemem_env.cli.build import main as build
from finemem_env.cli.chunk_qa import main as chunk_qa


def test_it_trains_on_the_files_that_its_page_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    preset = PRESETS["cpu-135m"]
    for path in preset["source"]:
        words = ["synthetic", "--competency", "AR", "--split", "all", "--episodes", "2"]
        words += ["--num-chunks", "2", "--chunk-tokens", "40,60"]
        assert build([*words, "--out", f"{path}-0.jsonl"]) == 0
        assert chunk_qa([f"{path}-0.jsonl", "--replace", "--out", path]) == 0
    words = ["--preset", "cpu-135m", "--model", TINY, "--smoke", "--frozen-layers", "1"]
    words += ["--updates", "1", "--group-size", "2", "--max-new-tokens", "4", "--threads", "1"]
    words += ["--eval-episodes", "1", "--final-episodes", "2", "--output-dir", "run"]
    assert main(words) == 0
    table = capsys.readouterr().out
    for name in ("before", "after", "skip", "fifo", "rag", "salience", "oracle"):
        assert f"\n{name} " in table
    kept = json.loads(Path("run/config.json").read_text(encoding="utf-8"))
    assert kept["env_args"] == preset["env_args"]
    assert kept["env_args"]["weights"] == {"format": 0.4}
    assert kept["source"] == preset["source"]
    settings = json.loads(Path("run/environment.json").read_text(encoding="utf-8"))
    assert settings["line_numbers"] is True
    (update,) = [
        one
        for one in map(json.loads, Path("run/metrics.jsonl").read_text().splitlines())
        if one["update"] == 1 and "train/tokens" in one
    ]
    assert update["train/tokens"] > 0
