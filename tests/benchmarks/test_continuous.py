"""What filling up a decoding batch saves, measured."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

import torch

from benchmarks import continuous


def test_trying_the_model_is_no_part_of_the_first_turn(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    try:
        assert continuous.main(["--rows", "1", "--rounds", "1"]) == 0
    finally:
        torch.set_num_threads(threads)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    passes = [row.split("|")[-2].strip() for row in rows if "CPU" not in row and "---" not in row]
    assert len(passes) == 2
    assert passes[0] == passes[1]
