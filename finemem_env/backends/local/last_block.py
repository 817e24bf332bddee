"""The last block, computed where its output is read.

Of rows that are scored only the outputs that predict a reply are read, and of prompts that go into
a cache the last one of each row. Attention needs the keys of all positions in every block; what the
last block reads with the queries of other positions, and what its feed-forward layer adds there,
nobody wants, and it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from finemem_env.backends.local.causal_lm import is_coarse

_NAME = "mlp"  # of the feed-forward layer in a block
_NARROWED = "finemem_narrowed"  # attribute of a layer, which its copies have too


class _Read(NamedTuple):
    positions: Tensor  # (n,) into rows * length
    rows: int
    length: int
    first: int  # of a row; positions before it are read in none


_READ: ContextVar[_Read | None] = ContextVar("finemem_read", default=None)


@contextmanager
def reading(ids: Tensor, positions: Tensor) -> Iterator[None]:
    """Passes over `ids` (B, S) in which only the outputs at `positions` (n,) of B * S are right.

    A model that `narrow` did not find to fit computes all of them.
    """
    rows, length = ids.shape
    # Of use on the CPU only, and elsewhere the program would have to wait for it.
    first = int((positions % length).min()) if ids.device.type == "cpu" and len(positions) else 0
    token = _READ.set(_Read(positions, rows, length, first))
    try:
        yield
    finally:
        _READ.reset(token)


def last_positions(ids: Tensor) -> Tensor:
    """The last position of every row of `ids` (B, S)."""
    rows, length = ids.shape
    return torch.arange(1, rows + 1, device=ids.device) * length - 1


@torch.no_grad()
def narrow(model: Any, ids: Tensor) -> bool:  # noqa: ANN401 - a transformers causal LM
    """Prepare the last block of `model` for `reading`, tried on `ids` (B, S); whether it fits."""
    blocks = [part for part in model.modules() if isinstance(part, GradientCheckpointingLayer)]
    layer: Any = getattr(blocks[-1], _NAME, None) if blocks else None
    if not isinstance(layer, nn.Module):
        return False
    if getattr(layer, _NARROWED, False):
        return True
    whole = model(input_ids=ids).logits[:, -1]
    parts = list(blocks[-1].modules())
    calls: list[int] = []
    counter = layer.register_forward_pre_hook(lambda layer, inputs: calls.append(1))
    hooks = layer.register_forward_pre_hook(_take), layer.register_forward_hook(_put)
    right = False
    try:
        with reading(ids, last_positions(ids)):
            found = model(input_ids=ids).logits[:, -1]
        # A class that runs its blocks in turns, several times, reads what they gave everywhere.
        near = 1e-2 if is_coarse(model) else 1e-5
        once = len(calls) == 1
        right = once and torch.allclose(found, whole, rtol=0, atol=near * float(whole.abs().max()))
    finally:
        counter.remove()
        for part in parts if right else ():
            setattr(part, _NARROWED, True)
        for hook in () if right else hooks:
            hook.remove()
    return right


def first_read(module: nn.Module) -> int:
    """The first position whose output of `module`, a part of some block, is read in any row."""
    read = _READ.get()
    return read.first if read is not None and getattr(module, _NARROWED, False) else 0


def _take(layer: nn.Module, inputs: tuple[Any, ...]) -> Any:  # noqa: ANN401 - torch's signature
    """Hand the layer what is read, as one row."""
    read = _READ.get()
    if read is None:
        return None
    (states,) = inputs
    return (states.flatten(0, 1).index_select(0, read.positions)[None],)


def _put(layer: nn.Module, inputs: object, output: Any) -> Any:  # noqa: ANN401
    """Put what the layer gave where it was taken from, between zeros."""
    read = _READ.get()
    if read is None:
        return None
    room = output.new_zeros((read.rows * read.length, output.shape[-1]))
    return room.index_copy(0, read.positions, output[0]).unflatten(0, (read.rows, read.length))
