"""What a run needs to know of its processes: one, or several started by torchrun or accelerate.

Every process plays its own contexts (a group never spans processes). DDP averages the gradients;
with `shard`, FSDP2 also splits weights, gradients and optimizer state over the processes. Sums that
statistics and loss denominators need are reduced here.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from agents.model.batching import Row, collate
from finemem_env.backends.local import Unit
from finemem_env.errors import BackendError, ConfigError, FineMemError

# The others wait in a collective while the main process evaluates.
PATIENCE = timedelta(hours=4)
_LAUNCHED = ("RANK", "MASTER_ADDR", "MASTER_PORT")  # beside WORLD_SIZE, by every launcher
_T = TypeVar("_T")


class ProcessLostError(FineMemError):
    """Another process of the run has ended."""


@dataclass(frozen=True, slots=True)
class World:
    """Number of this process among `size`; `shard`: the launcher asks for FSDP."""

    rank: int = 0
    size: int = 1
    shard: bool = False

    @classmethod
    def start(cls) -> World:
        """Join the group that the launcher describes in the environment, if there is one.

        Raises:
            ConfigError: it is described in part, as batch systems do, or cannot be joined.
        """
        size = os.environ.get("WORLD_SIZE", "1")
        if size == "1":
            return cls()
        told = {name: os.environ.get(name, "") for name in _LAUNCHED}
        missing = [name for name, text in told.items() if not text]
        numbers = (size, told["RANK"], told["MASTER_PORT"])
        if missing or not all(map(str.isdecimal, numbers)) or int(told["RANK"]) >= int(size):
            raise ConfigError(
                f"WORLD_SIZE: expected that of a launcher such as torchrun, got {size!r} (not set: "
                f"{', '.join(missing) or 'nothing'}; {told}). For one process unset it."
            )
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        try:
            dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"the processes do not meet at {told['MASTER_ADDR']}:{told['MASTER_PORT']}: "
                f"{_first_line(error)}"
            ) from error
        shard = os.environ.get("ACCELERATE_USE_FSDP", "").casefold() == "true"
        # transformers would load the weights in the first process only, for accelerate to send.
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
        return cls(dist.get_rank(), dist.get_world_size(), shard)

    @property
    def main(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def wrap(self, module: nn.Module, *, shard: bool = False) -> nn.Module:
        """The module under DDP, or sharded in place by FSDP2; itself when there is one process.

        Args:
            module: a `Scorer`; its forward is what training calls.
            shard: split the parameters over the processes, also when the launcher did not ask.

        Raises:
            ConfigError: shards with one process, or of a model of which only a part is trained.
        """
        if shard and self.size == 1:
            raise ConfigError("shard: needs several processes (torchrun --nproc_per_node N).")
        if self.size == 1:
            return module
        if shard or self.shard:
            return _shard(module, self.size)
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

    def any(self, flag: bool) -> bool:
        """Whether the flag is set anywhere."""
        return bool(self.largest(torch.tensor(float(flag))).item())

    def gather(self, value: _T) -> list[_T]:
        """What every process has, by its number; every process must ask."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        with _heard():
            dist.all_gather_object(values, value)
        return values

    @contextlib.contextmanager
    def agreed(self) -> Iterator[None]:
        """Work after which all processes go on or none: an error of one is raised in all.

        Raises:
            BackendError: another process had an error.
        """
        own: FineMemError | OSError | None = None
        try:
            yield
        except (FineMemError, OSError) as error:
            own = error
        said = self.gather(None if own is None else str(own))
        if own is not None:
            raise own
        for rank, text in enumerate(said):
            if text is not None:
                raise BackendError(f"process {rank}: {text}")

    def stop(self) -> None:
        """Leave the group."""
        if self.size > 1:
            dist.destroy_process_group()
            # FSDP holds the group in reference cycles, and its threads must end before Python.
            gc.collect()

    def _reduce(self, tensor: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
        if self.size == 1:
            return tensor
        result = tensor.detach().clone().cpu()
        with _heard():
            dist.all_reduce(result, operation)
        return result.to(tensor.device)


@contextlib.contextmanager
def _heard() -> Iterator[None]:
    """A collective: one process that ends ends all, and only its own lines say why."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLostError(
            "another process of this run has ended, and its output says why; --resume goes on "
            f"from the last checkpoint ({_first_line(error)})."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].partition(". ")[0][:200]


def is_sharded(module: nn.Module) -> bool:
    """Whether its weights are split over the processes."""
    return isinstance(module, FSDPModule)


@contextlib.contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """Whole weights in every process, for what is not in step: sampling, evaluation, saving.

    All processes must enter; inside, forward passes of the sharded parts communicate nothing.
    A module that is not sharded is left as it is.
    """
    if not isinstance(module, FSDPModule):
        yield
        return
    parts = [part for part in module.modules() if isinstance(part, FSDPModule)]
    module.set_reshard_after_forward(False)
    for part in parts:
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            if part is not module:
                part.set_reshard_after_forward(True, recurse=False)
        # Drops the weights, and the record of these passes, which backward would prefetch from.
        module.reset_iter_state()


def clip_gradients(weights: Sequence[nn.Parameter], limit: float) -> float:
    """Scale gradients down to norm `limit`; returns the norm before, over all processes."""
    return float(whole(nn.utils.clip_grad_norm_(weights, limit)))


def all_finite(weights: Sequence[Tensor]) -> bool:
    """Whether every number of this process's parts of `weights` is finite."""
    parts = [weight.to_local() if isinstance(weight, DTensor) else weight for weight in weights]
    return all(torch.stack([torch.isfinite(part).all() for part in parts]).tolist())


def whole(tensor: Tensor) -> Tensor:
    """A tensor with all its shards; every process must ask for it."""
    if isinstance(tensor, DTensor):
        full: Tensor = tensor.full_tensor()
        return full
    return tensor


def split_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This process's part of a tensor that belongs to `parameter`, such as its moments."""
    if isinstance(parameter, DTensor) and tensor.shape == parameter.shape:
        # Every process has read the same file, so nothing needs to be sent.
        return distribute_tensor(
            tensor.to(parameter.device),
            parameter.device_mesh,
            parameter.placements,
            src_data_rank=None,
        )
    return tensor


def _shard(module: nn.Module, size: int) -> nn.Module:
    """FSDP2 over the blocks that transformers says must not be split, and over the rest."""
    if not hasattr(FSDPModule, "reset_iter_state"):
        raise ConfigError(f"shard: needs torch 2.13 or newer, this is {torch.__version__}.")
    if not all(parameter.requires_grad for parameter in module.parameters()):
        raise ConfigError(
            "shard: expected a model whose weights are all trained. With LoRA, leave it out: "
            "the optimizer holds the adapters alone."
        )
    device: Any = next(module.parameters()).device
    mesh = init_device_mesh(device.type, (size,))
    names = {
        name for part in module.modules() for name in getattr(part, "_no_split_modules", None) or ()
    }
    for part in module.modules():
        if type(part).__name__ in names:
            fully_shard(part, mesh=mesh)
    sharded = fully_shard(module, mesh=mesh)
    # What runs first becomes the root, for good; sampling would start with a block.
    filler = Row(prompt=(0,), completion=(0,))
    with torch.no_grad():
        module(collate([filler], [Unit((0,), 0)]).to(device))
    sharded.reset_iter_state()
    return module
