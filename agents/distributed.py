"""What a run needs to know of its processes: one, or several started by `accelerate launch`.

Every process plays its own contexts (a group never spans processes) and the gradients are averaged
by DDP; sums that statistics and loss denominators need are reduced here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["World"]


@dataclass(frozen=True, slots=True)
class World:
    """Number of this process among `size`."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"  # of the reductions

    @classmethod
    def start(cls) -> World:
        """Join the group that the launcher describes in the environment, if there is one."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size < 2:
            return cls()
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("nccl" if cuda else "gloo")
        return cls(dist.get_rank(), size, "cuda" if cuda else "cpu")

    @property
    def main(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module under DDP when there are several processes."""
        if self.size == 1:
            return module
        wrapped: nn.Module = nn.parallel.DistributedDataParallel(module)
        return wrapped

    def add(self, tensor: Tensor) -> Tensor:
        """Sum over processes."""
        return self._reduce(tensor, dist.ReduceOp.SUM)

    def largest(self, tensor: Tensor) -> Tensor:
        """Maximum over processes."""
        return self._reduce(tensor, dist.ReduceOp.MAX)

    def add_pair(self, pair: tuple[float, float]) -> tuple[float, float]:
        """Sums of two numbers."""
        first, second = self.add(torch.tensor(pair, dtype=torch.float64)).tolist()
        return first, second

    def add_variance(self, total: float, count: int) -> tuple[float, int]:
        """Sums of a float and a count, for `compute_advantages`."""
        first, second = self.add_pair((total, float(count)))
        return first, round(second)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set anywhere."""
        return bool(self.largest(torch.tensor(float(flag))).item())

    def stop(self) -> None:
        """Leave the group."""
        if self.size > 1:
            dist.destroy_process_group()

    def _reduce(self, tensor: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
        if self.size == 1:
            return tensor
        result = tensor.detach().clone().to(self.device)
        dist.all_reduce(result, operation)
        return result.to(tensor.device)
