"""A run of somebody else is data, to every program that takes one."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

from agents import ablation, evaluate, export, grpo, plot
from agents.runs.cells import Cell
from agents.runs.config import TrainConfig
from baselines import benchmark
from tests.test_strangers import every_setting, place, untouched

__all__ = ["place", "untouched"]


def theirs(place: Path, **changed: object) -> Path:
    """The folder of a run of somebody else."""
    folder = place / "theirs"
    folder.mkdir()
    config = TrainConfig().as_dict() | changed
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@every_setting
def test_evaluate(
    place: Path, untouched: Callable[[int, str], None], setting: str, value: object
) -> None:
    changed = {"env": value} if setting == "id" else {"env_args": {setting: value}}
    folder = theirs(place, **changed)
    untouched(evaluate.main([str(folder), "--episodes", "1"]), setting)
    assert not (folder / "evaluation").exists()


@pytest.mark.parametrize("program", ["evaluate", "export", "benchmark"])
def test_a_model_that_a_run_names_is_not_loaded(
    place: Path,
    untouched: Callable[[int, str], None],
    monkeypatch: pytest.MonkeyPatch,
    program: str,
) -> None:
    monkeypatch.setattr("agents.model.policy.load_policy", lambda *_: pytest.fail("it was loaded"))
    folder = theirs(place, model="canary/model")
    agent = json.dumps({"run": str(folder)})
    status = {
        "evaluate": lambda: evaluate.main([str(folder)]),
        "export": lambda: export.main([str(folder), str(place / "out")]),
        "benchmark": lambda: benchmark.main(
            ["--agent", "grpo", "--agent-args", agent, "--output-dir", str(place / "out")]
        ),
    }[program]()
    untouched(status, "canary/model")
    assert not (place / "out").exists()


def test_training_goes_on_with_what_was_typed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = theirs(place, model="canary/model", env="canary:Env-v0")
    last = folder / "checkpoints" / "000001"
    last.mkdir(parents=True)
    (last / "state.json").write_text(
        json.dumps({"settings": {"lr": 1.0}, "position": {}, "optimizer": {}, "random": {}})
    )
    assert grpo.main(["--smoke", "--resume", "--output-dir", str(folder)]) == 2
    assert "started with other settings" in capsys.readouterr().err


def test_an_ablation_takes_no_settings_of_a_cell(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.model.policy.load_policy", lambda *_: pytest.fail("it was loaded"))
    cell = Cell.of("outcome/return", "few", 0)
    folder = theirs(place, model="canary/model", env="canary:Env-v0")
    folder.rename(place / cell.name)
    played = {name: {"scores": [0.5], "memory": [9.0]} for name in ablation.PLAYERS}
    record = {**dataclasses.asdict(cell), "curve": [[0, 0.1]], "same": played, "longer": played}
    (place / cell.name / "cell.json").write_text(json.dumps(record))
    given = [str(place), "--methods", "outcome/return", "--seeds", "0", "--episodes", "1"]
    assert ablation.main(given) == 2
    assert "with other settings" in capsys.readouterr().err
    assert "canary" not in sys.modules


def test_plot_reads_numbers(place: Path) -> None:
    folder = theirs(place)
    line = json.dumps({"update": 1, "rollout/score": 0.5, "key": "<script>"})
    (folder / "metrics.jsonl").write_text(line + "\n")
    assert plot.main([str(folder), "-o", str(place / "curves.svg")]) == 0
    assert "<script" not in (place / "curves.svg").read_text()
