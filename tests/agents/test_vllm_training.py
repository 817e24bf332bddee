"""Training with vLLM as the sampler, for real, in process and through a server: tox run -e vllm."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")

import torch
from safetensors.torch import load_file

from agents.assets import tiny_folder
from agents.learn import checkpoint
from tests.agents.engine_runs import assert_same_update, records, train
from tests.backends.vllm_process import vllm_server

HAS_VLLM = importlib.util.find_spec("vllm") is not None
pytestmark = pytest.mark.skipif(not HAS_VLLM, reason="needs vLLM: tox run -e vllm")
ROOT = Path(__file__).resolve().parents[2]


def grpo(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The command line, as a user runs it."""
    command = [sys.executable, "-m", "agents.grpo", "--smoke", "--output-dir", str(folder), *more]
    variables = {"PYTHONPATH": str(ROOT), "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, timeout=900
    )


def differences(folder: Path, key: str) -> list[float]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [record[key] for record in map(json.loads, lines) if key in record]


def check(folder: Path, updates: int) -> None:
    """Trainer and sampler agreed all along, and the sampler was given what was trained."""
    found = differences(folder, "train/sampler_difference")
    assert len(found) == updates
    assert max(found) < 1e-3
    for key in ("train/importance_raw", "train/importance_raw_max"):
        assert max(differences(folder, key)) < 1.001
    assert differences(folder, "rollout/failed_rows") == [0.0] * updates
    given = load_file(folder / "sampler" / "model.safetensors")
    last = checkpoint.latest(folder / "checkpoints")
    assert last is not None
    start = load_file(tiny_folder() / "model.safetensors")
    trained = load_file(last / "weights.safetensors")
    assert all(torch.equal(given[name], value) for name, value in trained.items())
    assert any(not torch.equal(given[name], value) for name, value in start.items())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_updates_in_process(tmp_path: Path, precision: str) -> None:
    options = ["--sampler", "vllm", "--sampler-args", '{"eager": true}']
    done = grpo(tmp_path / "run", *options, "--precision", precision)
    assert done.returncode == 0, done.stderr
    assert "oracle" in done.stdout
    if precision == "float32":
        check(tmp_path / "run", updates=2)
    else:
        assert max(differences(tmp_path / "run", "train/sampler_difference")) < 0.25


def test_a_server_that_is_lost_stops_the_run_and_another_one_takes_it_on(tmp_path: Path) -> None:
    folder, quick = tmp_path / "run", '{"timeout": 20, "deadline": 20}'
    with vllm_server(tiny_folder(), tmp_path / "first.log") as url:
        done = grpo(folder, "--sampler", url)
        assert done.returncode == 0, done.stderr
        check(folder, updates=2)
    resume = ["--resume", "--updates", "3", "--sampler"]
    lost = grpo(folder, *resume, url, "--sampler-args", quick)
    assert lost.returncode == 2
    assert f"error: no vLLM server answers at {url}" in lost.stderr
    with vllm_server(tiny_folder(), tmp_path / "second.log") as url:
        done = grpo(folder, *resume, url)
        assert done.returncode == 0, done.stderr
    check(folder, updates=3)


def test_two_processes_with_one_server_and_with_two_give_the_update_of_one(tmp_path: Path) -> None:
    """The same draws; what batches of another size change in the last bits stays below 1e-3."""
    with (
        vllm_server(tiny_folder(), tmp_path / "first.log") as first,
        vllm_server(tiny_folder(), tmp_path / "second.log") as second,
    ):
        train(tmp_path / "one", [first], "--updates", "1", size=1)
        for name, urls in (("a server", [first]), ("servers", [first, second])):
            train(tmp_path / name, urls, "--updates", "1", size=2)
            assert_same_update(tmp_path / "one", tmp_path / name, gradient=1e-3)
        train(tmp_path / "ahead", [first, second], "--updates", "3", "--overlap", "1", size=2)
    ahead = records(tmp_path / "ahead")
    assert ahead[1]["train/importance_raw_max"] < 1.001 < ahead[2]["train/importance_raw_max"]


def test_every_process_has_an_engine_of_its_own(tmp_path: Path) -> None:
    options = ["--sampler", "vllm", "--sampler-args", '{"eager": true, "memory": 0.2}']
    train(tmp_path / "one", [], *options, "--updates", "1", size=1)
    train(tmp_path / "two", [], *options, "--updates", "1", size=2)
    assert_same_update(tmp_path / "one", tmp_path / "two", gradient=1e-3)
