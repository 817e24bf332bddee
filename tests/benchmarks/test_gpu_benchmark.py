"""The benchmark of an accelerator, with the packaged model on a CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
pytest.importorskip("tensorboard", reason="the agents need tensorboard")

import torch

from agents.learn import imitation
from benchmarks import gpu


@pytest.mark.slow
def test_tiny_goes_through_every_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imitation, "MAX_NEW_TOKENS", 4)
    given = ["--tiny", "--minutes", "0.01", "--output-dir", str(tmp_path / "out")]
    assert gpu.main(given) == 0
    shown = capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert found["warm_start"]["done"] > gpu._TRIAL - 1
    assert found["training"]["updates"] == 2
    assert found["peak_bytes"] > found["parameters"] > 0
    for part in (
        "warm start, a step",
        "training: sampling",
        "training: update",
        "\nbefore",
        "\nafter",
    ):
        assert part in shown
    for key in ("before/score", "after/score", "time/update", "train/tokens"):
        assert found["training"][key] >= 0
    assert gpu.main(given) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err


def test_the_rate_is_that_of_a_matrix_product() -> None:
    rate = gpu.matmul_rate(torch.device("cpu"), torch.float32, 128, repeats=2)
    assert 1e7 < rate < 1e15
