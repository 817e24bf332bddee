"""Two training processes that draw from servers give the update of one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from agents.learn import checkpoint
from tests.agents.forks import launch

RUN = {
    "contexts": 2,
    "group-size": 3,
    "max-new-tokens": 40,
    "env-args": json.dumps({"num_chunks": 2}),
    "eval-every": 0,
    "eval-episodes": 1,
    "final-episodes": 0,
    "save-every": 1,
    "threads": 1,
    "warmup-updates": 0,
}
GIVEN = [word for key, value in RUN.items() for word in (f"--{key}", str(value))]


def train(folder: Path, urls: Sequence[str], *more: str, size: int) -> str:
    """What `size` processes print that draw from these servers and end well."""
    sampler = ["--sampler", ",".join(urls)] if urls else []
    codes = launch(folder, *GIVEN, *sampler, *more, size=size).wait()
    output = folder.with_suffix(".log").read_text("utf-8")
    assert codes == [0] * size, output
    return output


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_same_update(one: Path, other: Path, *, gradient: float) -> None:
    """The same rollouts, and a gradient that differs by `gradient` of its largest value at most.

    Adam's first moment after one update is the clipped gradient, times .1.
    """
    first, second = (records(folder)[1] for folder in (one, other))
    for key in first:
        if key.startswith(("rollout/", "reward/")) or key == "train/tokens":
            assert abs(first[key] - second[key]) < 1e-9, key
    assert abs(first["train/loss"] - second["train/loss"]) < 1e-4
    moments = []
    for folder in (one, other):
        last = checkpoint.latest(folder / "checkpoints")
        assert last is not None
        found = load_file(last / "optimizer.safetensors")
        moments.append({key: value for key, value in found.items() if key.endswith("exp_avg")})
    assert moments[0].keys() == moments[1].keys()
    largest = max(float(value.abs().max()) for value in moments[0].values())
    assert largest > 0
    for key, value in moments[0].items():
        assert float((value - moments[1][key]).abs().max()) <= gradient * largest, key
    assert torch.tensor(first["train/grad_norm"]).isclose(
        torch.tensor(second["train/grad_norm"]), rtol=1e-3
    )
