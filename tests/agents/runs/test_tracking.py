"""Logs: wandb beside TensorBoard, on request and where it is installed."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("tensorboard", reason="the agents need tensorboard")

from agents.runs.tracking import Tracker
from finemem_env.errors import ConfigError


class FakeWandb:
    """Records what a tracker hands to wandb."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.finished = False

    def init(self, **settings: Any) -> SimpleNamespace:  # noqa: ANN401
        self.settings = settings
        return SimpleNamespace(log=self.log, finish=self.finish)

    def log(self, values: dict[str, float], *, step: int) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished = True


def test_wandb_gets_config_and_every_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    tracker = Tracker(tmp_path, {"lr": 1e-3, "env_args": {"num_chunks": 2}}, wandb=True)
    tracker.log(1, {"rollout/score": 0.5})
    tracker.log(2, {"rollout/score": 0.6})
    tracker.close({"eval/best_score": 0.6})
    assert fake.settings["config"]["env_args"] == {"num_chunks": 2}
    assert fake.settings["dir"] == str(tmp_path)
    assert fake.logged == [(1, {"rollout/score": 0.5}), (2, {"rollout/score": 0.6})]
    assert fake.finished
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["update"] for line in lines] == [1, 2]


def test_without_wandb_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match="pip install wandb"):
        Tracker(tmp_path, {}, wandb=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_a_run_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("wandb") is None:
        pytest.skip("wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracker = Tracker(tmp_path, {"lr": 1e-3}, wandb=True)
    tracker.log(1, {"rollout/score": 0.5})
    tracker.close({})
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
