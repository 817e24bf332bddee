"""One process of `test_distributed`: finds the gradient that all processes agree on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from agents.learn.distributed import World, whole
from agents.learn.loss import Denominators, LossConfig
from agents.learn.update import accumulate_gradients, count_batches
from agents.model.batching import Row
from agents.model.policy import load_policy
from agents.settings import ModelConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_TOKENS = 40


def make_rows() -> list[Row]:
    draw = torch.Generator().manual_seed(0)

    def ids(n: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, 300, (n,), generator=draw).tolist())

    return [
        Row(ids(5 + i), completion := ids(1 + 2 * i), (-6.0,) * len(completion), (-1.3) ** i)
        for i in range(5)
    ]


def summed(values: Sequence[float]) -> Any:  # noqa: ANN401
    tensor = torch.tensor(values, dtype=torch.float64)
    if dist.is_initialized():
        dist.all_reduce(tensor)
    return tuple(tensor.tolist())


def largest(value: int) -> int:
    tensor = torch.tensor(value)
    if dist.is_initialized():
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return int(tensor)


def gradients(
    folder: str,
    rank: int,
    processes: int,
    loss_type: Any,  # noqa: ANN401
    shard: bool,
) -> dict[str, Tensor]:
    """Rows dealt unevenly: the first process gets one row, the last all others."""
    rows = make_rows()
    mine = rows if processes == 1 else (rows[:1] if rank == 0 else rows[1:])
    policy = load_policy(ModelConfig(folder, device="cpu"))
    scorer: torch.nn.Module = policy.scorer()
    names = [name for name, _ in scorer.named_parameters()]
    scorer = World(rank, processes).wrap(scorer, shard=shard)
    counts = Denominators.of(
        [len(row.completion) for row in mine],
        [row.weight for row in mine],
        max_completion_length=9,
        processes=processes,
        reduce=summed,
    )
    batches = largest(count_batches(mine, MAX_TOKENS))
    config = LossConfig(loss_type=loss_type, entropy_coef=0.01)
    accumulate_gradients(scorer, mine, config, counts, micro_tokens=MAX_TOKENS, batches=batches)
    return {
        f"{loss_type}.{name}": whole(p.grad)
        for name, p in zip(names, scorer.parameters(), strict=True)
        if p.grad is not None
    }


def main(rank: int, processes: int, folder: str, output: Path, shard: bool) -> None:
    """Rank 0 writes `output`."""
    if processes > 1:
        store = f"file://{output.with_suffix('.store')}"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=processes)
    found: dict[str, Tensor] = {}
    for loss_type in ("grpo", "dapo", "dr_grpo", "bnpo"):
        found |= gradients(folder, rank, processes, loss_type, shard)
    if rank == 0:
        torch.save(found, output)
    if processes > 1:
        dist.destroy_process_group()
