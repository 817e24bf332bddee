"""Parts of one job side by side on the cores of a CPU.

The operations of a small model are too small to be shared among cores: two cores compute two halves
of a batch in less time than both of them one half after the other. Which part a value comes from
does not depend on the time that a part takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import nn

T = TypeVar("T")
STREAMS = 2  # Python holds one thread at a time, so that more gain little
SMALL = 2**25  # parameters; every stream has a gradient of its own


def count_streams(model: nn.Module) -> int:
    """How many parts of a job of `model` are worth computing side by side."""
    small = sum(weight.numel() for weight in model.parameters()) <= SMALL
    return min(STREAMS, torch.get_num_threads()) if small and on_plain_cpu(model) else 1


def on_plain_cpu(model: nn.Module) -> bool:
    """Whether all weights are whole tensors on the CPU, not parts of a sharded model's."""
    return all(
        type(weight.data) is torch.Tensor and weight.device.type == "cpu"
        for weight in model.parameters()
    )


def side_by_side(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """What the tasks return, in order; each has its share of torch's threads."""
    if len(tasks) == 1:
        return [tasks[0]()]
    threads, grad = torch.get_num_threads(), torch.is_grad_enabled()
    inference = torch.is_inference_mode_enabled()
    kind, cast = torch.get_autocast_dtype("cpu"), torch.is_autocast_enabled("cpu")

    def run(task: Callable[[], T]) -> Any:  # noqa: ANN401
        # All three belong to a thread. The casts of weights that autocast keeps are the process's,
        # and go when any thread leaves it, which would decide how gradients are summed.
        with (
            torch.inference_mode(inference),  # first, for it sets the gradient mode too
            torch.set_grad_enabled(grad),
            torch.autocast("cpu", kind, enabled=cast, cache_enabled=False),
        ):
            return task()

    torch.set_num_threads(max(1, threads // len(tasks)))
    try:
        with ThreadPoolExecutor(len(tasks)) as pool:  # new threads, which take the number over
            return list(pool.map(run, tasks))
    finally:
        torch.set_num_threads(threads)
