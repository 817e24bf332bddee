"""A training run whose files are cut or something else ends in one line, never in a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("safetensors", reason="the agents need transformers")

import torch

from agents import evaluate, export, plot
from agents.learn import checkpoint
from agents.runs.config import TrainConfig
from finemem_env.errors import ConfigError, DataError
from tests.test_damaged_files import every_damage


@every_damage
@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl"])
def test_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps(TrainConfig().as_dict()))
    (run / "metrics.jsonl").write_text('{"update": 0, "eval/score": 0.5}\n')
    (run / name).write_bytes(content)
    for main, arguments in (
        (plot.main, [str(run), "-o", str(tmp_path / "curve.svg")]),
        (export.main, [str(run), str(tmp_path / "model")]),
        (evaluate.main, [str(run), "--episodes", "1"]),
    ):
        status = main(arguments)
        errors = capsys.readouterr().err
        assert status in (0, 2)
        assert errors.count("error: ") == (status == 2)
        assert "Traceback" not in errors


@every_damage
@pytest.mark.parametrize("name", [checkpoint.STATE, checkpoint.WEIGHTS, checkpoint.OPTIMIZER])
def test_a_checkpoint(tmp_path: Path, name: str, content: bytes) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2)).sum().backward()
    optimizer.step()
    checkpoint.save(tmp_path, model, optimizer, checkpoint.Position(3), "digest")
    path = checkpoint.latest(tmp_path)
    assert path is not None
    assert checkpoint.load(path, model, optimizer, "digest") == checkpoint.Position(3)
    (path / name).write_bytes(content)
    with pytest.raises((ConfigError, DataError), match=path.name):
        checkpoint.load(path, model, optimizer, "digest")
