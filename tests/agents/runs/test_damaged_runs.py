"""A training run whose files are cut or something else ends in one line, never in a traceback."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("safetensors", reason="the agents need transformers")

import torch

from agents import ablation, evaluate, export, plot
from agents.learn import checkpoint
from agents.runs.cells import SETTINGS, Cell
from agents.runs.config import PRESETS, TrainConfig
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
    checkpoint.save(tmp_path, model, optimizer, checkpoint.Position(3), {})
    path = checkpoint.latest(tmp_path)
    assert path is not None
    assert checkpoint.load(path, model, optimizer, {}, {}) == checkpoint.Position(3)
    (path / name).write_bytes(content)
    with pytest.raises((ConfigError, DataError), match=path.name):
        checkpoint.load(path, model, optimizer, {}, {})


def done(folder: Path) -> tuple[Cell, Path]:
    """A cell of an ablation and its folder, with the settings that it was trained with."""
    cell = Cell.of("outcome/return", "few", 0)
    place = folder / cell.name
    place.mkdir()
    config = cell.config({**PRESETS["cpu"], **SETTINGS})
    (place / "config.json").write_text(json.dumps(config.as_dict()))
    return cell, place


@every_damage
def test_a_cell_of_an_ablation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    """Not taken for a cell that is done, and not trained over."""
    _, place = done(tmp_path)
    (place / "cell.json").write_bytes(content)
    given = [str(tmp_path), "--methods", "outcome/return", "--seeds", "0"]
    assert ablation.main(given) == 2
    assert str(place / "cell.json") in capsys.readouterr().err
    assert (place / "cell.json").read_bytes() == content


def test_a_cell_of_other_settings_is_not_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell, place = done(tmp_path)
    played = {name: {"scores": [0.5], "memory": [9.0]} for name in ablation.PLAYERS}
    record = {**dataclasses.asdict(cell), "curve": [[0, 0.1]], "same": played, "longer": played}
    (place / "cell.json").write_text(json.dumps(record))
    given = [str(tmp_path), "--methods", "outcome/return", "--seeds", "0", "--episodes", "1"]
    assert ablation.main(given) == 0
    assert "| few | outcome, return | 1 |" in capsys.readouterr().out
    assert ablation.main([*given, "--set", '{"lr": 1.0}']) == 2
    assert "with other settings" in capsys.readouterr().err
