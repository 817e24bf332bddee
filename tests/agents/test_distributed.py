"""Two gloo processes with uneven rows give the gradient of one process."""

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


def start(rank: int, processes: int, folder: Path, output: Path) -> subprocess.Popen[bytes]:
    root = WORKER.parents[2]
    command = [sys.executable, str(WORKER), str(folder / f"store{processes}")]
    return subprocess.Popen(
        [*command, str(rank), str(processes), str(folder), str(output)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_two_processes_equal_one(
    make_model: Callable[..., PreTrainedModel], tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    make_model().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    outputs = {}
    for processes in (1, 2):
        outputs[processes] = tmp_path / f"gradients{processes}.pt"
        running = [
            start(rank, processes, tmp_path, outputs[processes]) for rank in range(processes)
        ]
        assert [process.wait(timeout=300) for process in running] == [0] * processes
    one, two = (torch.load(outputs[n], weights_only=True) for n in (1, 2))
    assert one.keys() == two.keys()
    assert len(one) > 4
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-6, rtol=1e-4)
