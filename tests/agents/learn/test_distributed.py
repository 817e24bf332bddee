"""Two gloo processes with uneven rows give the gradient of one, under DDP and FSDP2."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

WORKER = Path(__file__).with_name("ddp_worker.py")


def start(
    rank: int, processes: int, folder: Path, output: Path, *options: str
) -> subprocess.Popen[bytes]:
    root = WORKER.parents[2]
    command = [sys.executable, str(WORKER), str(output.with_suffix(".store"))]
    return subprocess.Popen(
        [*command, str(rank), str(processes), str(folder), str(output), *options],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_two_processes_equal_one(
    make_model: Callable[..., PreTrainedModel], tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    make_model().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    found = {}
    for name, processes, options in (("one", 1, ()), ("ddp", 2, ()), ("fsdp", 2, ("shard",))):
        output = tmp_path / f"{name}.pt"
        running = [start(rank, processes, tmp_path, output, *options) for rank in range(processes)]
        assert [process.wait(timeout=600) for process in running] == [0] * processes
        found[name] = torch.load(output, weights_only=True)
    assert len(found["one"]) > 4
    for name in ("ddp", "fsdp"):
        assert found[name].keys() == found["one"].keys()
        for key, value in found["one"].items():
            torch.testing.assert_close(found[name][key], value, atol=1e-6, rtol=1e-4)
