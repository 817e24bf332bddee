"""The rows of a rollout batch, dealt out to its optimizer steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.model.batching import Row


def split_rows(rows: Sequence[Row], parts: int, *, seed: Sequence[int]) -> list[list[Row]]:
    """Rows by optimizer step; rows that may share a prefix stay together. Never an empty part."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    order = list(groups)
    if parts > 1:
        np.random.default_rng(np.random.SeedSequence(seed)).shuffle(order)
    steps: list[list[Row]] = [[] for _ in range(parts)]
    for place, name in enumerate(order):
        steps[place % parts].extend(groups[name])
    # A row that fills up runs forward and backward, and changes nothing.
    filler = Row(prompt=(0,), completion=(0,), sampler_logprobs=(0.0,), weight=0.0)
    return [part or [filler] for part in steps]


def count_tokens(rows: Sequence[Row]) -> float:
    """Completion tokens, by weight."""
    return math.fsum(len(row.completion) * row.weight for row in rows)
