from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the agents need torch")

import torch
from safetensors.torch import load_file, save_file

from agents.learn import checkpoint
from agents.learn.checkpoint import Position
from finemem_env.errors import ConfigError, DataError

SETTINGS = {"lr": 0.1, "env_args": {"n": (1,)}}


def make(seed: int = 0) -> tuple[Any, Any]:
    torch.manual_seed(seed)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def test_everything_comes_back(tmp_path: Path) -> None:
    model, optimizer = make()
    path = checkpoint.save(tmp_path, model, optimizer, Position(7, 0.5, 4), SETTINGS)
    drawn = (random.random(), float(np.random.rand()), float(torch.rand(())))
    other, other_optimizer = make(seed=1)
    position = checkpoint.load(path, other, other_optimizer, SETTINGS, {})
    assert position == Position(7, 0.5, 4)
    assert (random.random(), float(np.random.rand()), float(torch.rand(()))) == drawn
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    mine, its = optimizer.state_dict(), other_optimizer.state_dict()
    for number, values in mine["state"].items():
        for name, value in values.items():
            assert torch.equal(value, its["state"][number][name])


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    model, optimizer = make()
    for update in range(5):
        checkpoint.save(tmp_path, model, optimizer, Position(update), SETTINGS)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["000003", "000004"]
    assert checkpoint.latest(tmp_path) == tmp_path / "000004"


def test_nothing_is_pickled(tmp_path: Path) -> None:
    model, optimizer = make()
    path = checkpoint.save(tmp_path, model, optimizer, Position(), SETTINGS)
    assert {one.suffix for one in path.iterdir()} == {".safetensors", ".json"}


def test_a_full_disk_is_one_clear_error_and_costs_no_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = make()
    checkpoint.save(tmp_path, model, optimizer, Position(1), SETTINGS)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(ConfigError, match=r"No space left.*--resume"):
        checkpoint.save(tmp_path, model, optimizer, Position(2), SETTINGS)
    assert [one.name for one in tmp_path.iterdir()] == ["000001"]


def test_a_folder_that_was_being_written_is_not_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".000009.writing").mkdir()
    assert checkpoint.latest(tmp_path) is None


def test_other_settings_are_refused(tmp_path: Path) -> None:
    model, optimizer = make()
    path = checkpoint.save(tmp_path, model, optimizer, Position(), SETTINGS)
    for changed in ({"lr": 0.2, "env_args": {"n": [1]}}, {**SETTINGS, "new": 2}, {"lr": 0.1}):
        with pytest.raises(ConfigError, match="other settings"):
            checkpoint.load(path, model, optimizer, changed, {"new": 1})


def test_a_setting_that_is_newer_than_the_checkpoint_had_its_default(tmp_path: Path) -> None:
    model, optimizer = make()
    path = checkpoint.save(tmp_path, model, optimizer, Position(3), SETTINGS)
    usual = {"lr": 0.5, "new": 1}
    assert checkpoint.load(path, model, optimizer, {**SETTINGS, "new": 1}, usual) == Position(3)
    with pytest.raises(ConfigError, match=r"other settings \(lr, new;"):  # another default now
        checkpoint.load(path, model, optimizer, {**SETTINGS, "lr": 0.5, "new": 2}, usual)


def _state(path: Path, part: str, value: object) -> None:
    file = path / checkpoint.STATE
    file.write_text(json.dumps({**json.loads(file.read_text()), part: value}))


def _moments(path: Path, change: Callable[[str, Any], tuple[str, Any]]) -> None:
    file = path / checkpoint.OPTIMIZER
    save_file(dict(change(*item) for item in load_file(file).items()), file)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: _state(path, "position", {"update": -5}), "update -5"),
        (lambda path: _state(path, "position", {"update": 10**30}), "update 1000"),
        (lambda path: _state(path, "position", {"best_score": float("nan")}), "best score nan"),
        (lambda path: _state(path, "optimizer", {}), "'lr'"),
        (lambda path: _state(path, "random", {"python": [1]}), "unpack"),
        (lambda path: _moments(path, lambda name, t: (f"9{name}", t)), "out of range"),
        (lambda path: _moments(path, lambda name, t: (f"x{name}", t)), "invalid literal"),
        (
            lambda path: _moments(path, lambda name, t: (name, t[:1].clone() if t.dim() else t)),
            r"0\.exp_avg: \[1, 3\] for \[2, 3\]",
        ),
    ],
)
def test_a_damaged_state_is_one_line(
    damage: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    model, optimizer = make()
    path = checkpoint.save(tmp_path, model, optimizer, Position(1), SETTINGS)
    damage(path)
    with pytest.raises(DataError, match=f"000001: its state is damaged .*{said}.*Delete this"):
        checkpoint.load(path, *make(seed=1), SETTINGS, {})


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    model, optimizer = make()
    path = checkpoint.save(tmp_path, model, optimizer, Position(), SETTINGS)
    with pytest.raises(ConfigError, match="another model"):
        checkpoint.load_weights(path, torch.nn.Sequential(torch.nn.Linear(3, 2)))
    with pytest.raises(ConfigError, match=r"another size.*weight: \[2, 3\] here, \[2, 4\] in"):
        checkpoint.load_weights(path, torch.nn.Linear(4, 2))
