"""Two gloo processes with uneven rows give the gradient of one, under DDP and FSDP2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
import torch

from agents.learn.distributed import World
from finemem_env.errors import ConfigError, FineMemError
from tests.agents.forks import Group
from tests.agents.learn import ddp_worker

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


@pytest.mark.parametrize("size", ["2", "two"])
def test_half_a_launcher_is_one_line(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(ConfigError, match=f"WORLD_SIZE: .*got '{size}' .not set: RANK, MASTER"):
        World.start()


@pytest.mark.parametrize(
    ("name", "value"), [("RANK", "2"), ("RANK", "x"), ("MASTER_PORT", "y"), ("WORLD_SIZE", "0")]
)
def test_a_launcher_that_counts_wrongly_is_one_line(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    for key, text in {**told, name: value}.items():
        monkeypatch.setenv(key, text)
    with pytest.raises(ConfigError, match=f"WORLD_SIZE: expected .*'{value}'"):
        World.start()


def test_a_process_whose_peer_has_ended_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gone(*_: object) -> None:
        raise RuntimeError("[pair.cc:553] Connection closed by peer [127.0.0.1]:1\nmore")

    monkeypatch.setattr("torch.distributed.all_gather_object", gone)
    monkeypatch.setattr("torch.distributed.all_reduce", gone)
    for ask in (lambda: World(0, 2).gather(1), lambda: World(0, 2).any(True)):
        with pytest.raises(FineMemError, match=r"another process .* has ended.*closed by peer"):
            ask()


@pytest.mark.slow
def test_two_processes_equal_one(
    make_model: Callable[..., PreTrainedModel], tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    make_model().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    found = {}
    for name, processes, shard in (("one", 1, False), ("ddp", 2, False), ("fsdp", 2, True)):
        output = tmp_path / f"{name}.pt"
        given = [(rank, processes, str(tmp_path), output, shard) for rank in range(processes)]
        assert Group.start(ddp_worker.main, given).wait() == [0] * processes
        found[name] = torch.load(output, weights_only=True)
    assert len(found["one"]) > 4
    for name in ("ddp", "fsdp"):
        assert found[name].keys() == found["one"].keys()
        for key, value in found["one"].items():
            torch.testing.assert_close(found[name][key], value, atol=1e-6, rtol=1e-4)
