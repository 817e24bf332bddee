"""Attention of rows that share prefixes, each of which is kept once: cascade attention, on the CPU.

Copied for every row, the keys of a prefix are read from memory as often as there are rows, by a few
queries each. Here all queries of a unit meet its prefix together; every row's own keys are attended
to beside it, and the two results are joined by their log-sum-exps, as FlashAttention joins blocks
(arXiv 2205.14135; for shared prefixes Hydragen, arXiv 2402.05099). The backward pass of each part
takes the joined result and log-sum-exp, which makes it that part of the whole.

transformers hands queries and keys to a function that is registered by name. A key that comes from
a cache of shared prefixes carries its layer; all other passes are plain `sdpa`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.utils.logging import get_verbosity, set_verbosity

from finemem_env.backends.local.last_block import first_read

NAME = "finemem_cascade"
_LAYER = "finemem_layer"  # attribute of a key
_OTHER = ("softcap", "position_bias", "s_aux", "sliding_window")  # what a class may also want


class Members:
    """B rows by the unit, of U, that they belong to.

    Args:
        owner: (B,) units in ascending order, none without a row.
    """

    def __init__(self, owner: Tensor) -> None:
        counts = owner.bincount()
        self.units, self.most = len(counts), int(counts.max())
        first = counts.cumsum(0) - counts
        # Where each row is in (U, most); None: everywhere.
        place = owner * self.most + torch.arange(len(owner), device=owner.device) - first[owner]
        self.place = None if len(owner) == self.units * self.most else place

    def gather(self, states: Tensor, heads: int) -> Tensor:
        """(B, H, S, d) as (U, heads, n, d), what is asked of the keys of a unit; 0 for no row."""
        if self.place is not None:
            room = states.new_zeros((self.units * self.most, *states.shape[1:]))
            states = room.index_copy_(0, self.place, states)
        _, count, length, size = states.shape
        parts = states.reshape(self.units, self.most, heads, count // heads, length, size)
        return parts.transpose(1, 2).reshape(self.units, heads, -1, size)

    def scatter(self, states: Tensor, count: int, length: int) -> Tensor:
        """The inverse of `gather`: (B, count, length, d)."""
        heads, size = states.shape[1], states.shape[-1]
        parts = states.view(self.units, heads, self.most, count // heads, length, size)
        rows = parts.transpose(1, 2).reshape(self.units * self.most, count, length, size)
        return rows if self.place is None else rows.index_select(0, self.place)


class Sharing:
    """How the rows of a pass stand to the prefixes, the same in all layers.

    Args:
        owner: (B,) the prefix of each row, in ascending order.
        prefix_seen: (U, P) False on the padding of the prefixes.
        own_seen: (B, S) False on padding before a row's own tokens; padding after them needs no
            mask, since no token looks ahead.
    """

    def __init__(self, owner: Tensor, prefix_seen: Tensor, own_seen: Tensor | None = None) -> None:
        self.owner, self.members = owner, Members(owner)
        self.prefix_mask = None if prefix_seen.all() else _hide(prefix_seen)[:, None, None]
        self.own_seen = None if own_seen is None or own_seen.all() else own_seen
        self.own_mask: Tensor | None = None  # None: a row sees its own tokens so far
        if self.own_seen is not None:
            width = self.own_seen.shape[1]
            before = torch.ones((width, width), dtype=torch.bool, device=owner.device).tril()
            self.own_mask = _hide(before & self.own_seen[:, None])[:, None]

    def go_on(self, spare: int) -> None:
        """One token at a time from here, up to `spare`."""
        if self.own_seen is not None:
            mask = _hide(torch.nn.functional.pad(self.own_seen, (0, spare), value=True))
            self.own_mask = mask[:, None, None]

    def show(self, seen: Tensor) -> None:
        """One token at a time from here, of which the next sees `seen` (B, S) of a row's own."""
        self.own_mask = _hide(seen)[:, None, None]

    def select(self, rows: Tensor) -> Tensor:
        """Keep the rows `rows`, in ascending order; returns the units that are left."""
        left: Tensor
        left, self.owner = torch.unique(self.owner[rows], return_inverse=True)
        if len(left) < self.members.units and self.prefix_mask is not None:
            self.prefix_mask = self.prefix_mask[left]
        self.members = Members(self.owner)
        if self.own_seen is not None and self.own_mask is not None:
            self.own_seen, self.own_mask = self.own_seen[rows], self.own_mask[rows]
        return left

    def attend(
        self, query: Tensor, prefix: tuple[Tensor, Tensor], own: tuple[Tensor, Tensor], scale: float
    ) -> Tensor:
        """What the queries (B, H, S, d) read from both.

        Args:
            query: of the last S of the rows' own tokens.
            prefix: keys and values (U, heads, P, d).
            own: keys and values (B, heads, S', d), S' >= S.
            scale: of the products.
        """
        states: list[Tensor] = [query, *prefix, *own]
        if torch.is_autocast_enabled(query.device.type):
            kind = torch.get_autocast_dtype(query.device.type)
            states = [state.to(kind) for state in states]
        masks = [self.prefix_mask, self._own_mask(query.shape[2], own[0].shape[2])]
        if states[0].dtype == torch.float64:  # whose kernel would read two numbers as one
            masks = [None if mask is None else mask.double() for mask in masks]
        whole = _Whole(self.members, masks[0], masks[1], scale)
        joined: Tensor
        if torch.is_grad_enabled():
            joined = _Joined.apply(whole, *states)  # type: ignore[no-untyped-call]
        else:
            joined, *_ = _join(states, whole)
        return joined

    def _own_mask(self, queries: int, keys: int) -> Tensor | None:
        """What the last `queries` of `keys` own tokens see of these; None: what is before them."""
        if self.own_mask is not None:
            return self.own_mask[..., -queries:, :keys]
        if queries in {1, keys}:
            return None
        before = torch.ones((queries, keys), dtype=torch.bool, device=self.owner.device)
        return _hide(before.tril(keys - queries))[None, None]


def _hide(seen: Tensor) -> Tensor:
    """0 where `seen`, minus infinity elsewhere."""
    return torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, float("-inf"))


class _Whole(NamedTuple):
    """What all layers know of a pass."""

    members: Members
    prefix_mask: Tensor | None
    own_mask: Tensor | None
    scale: float


def _kernels() -> tuple[Any, Any]:
    """What `sdpa` takes on a CPU, forward and backward, with log-sum-exps; not of torch's API.

    Raises:
        AttributeError: this torch has none of the name.
    """
    aten = torch.ops.aten
    return (
        aten._scaled_dot_product_flash_attention_for_cpu,
        aten._scaled_dot_product_flash_attention_for_cpu_backward,
    )


def _join(states: Sequence[Tensor], whole: _Whole) -> tuple[Tensor, Tensor, Tensor]:
    """The joined attention (B, H, S, d), and the log-sum-exps (B, H, S, 1) of prefix and own part.

    `states`: queries, keys and values of the prefixes, own keys and values.
    """
    query, keys, values, own_keys, own_values = states
    members, prefix_mask, own_mask, scale = whole
    count, length, heads = query.shape[1], query.shape[2], keys.shape[1]
    flash, _ = _kernels()
    ahead, ahead_sum = flash(
        members.gather(query, heads), keys, values, attn_mask=prefix_mask, scale=scale
    )
    if length == 1:  # the heads of a key are rows of one product
        query = query.reshape(len(query), heads, -1, query.shape[-1])
    causal = own_mask is None and length > 1
    own, own_sum = flash(query, own_keys, own_values, 0.0, causal, attn_mask=own_mask, scale=scale)
    ahead = members.scatter(ahead, count, length)
    ahead_sum = members.scatter(ahead_sum[..., None], count, length)
    own, own_sum = own.reshape(ahead.shape), own_sum.reshape(ahead_sum.shape)
    share = torch.sigmoid(own_sum - ahead_sum).to(own.dtype)
    return torch.lerp(ahead, own, share), ahead_sum, own_sum


class _Joined(torch.autograd.Function):
    """See `Sharing.attend`."""

    @staticmethod
    def forward(ctx: Any, whole: _Whole, *states: Tensor) -> Tensor:  # noqa: ANN401
        """Both parts, joined."""
        joined, *sums = _join(states, whole)
        ctx.save_for_backward(*states, joined, torch.logaddexp(*sums))
        ctx.whole = whole
        return joined

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # noqa: ANN401
        """The gradients of both parts of the joined attention."""
        query, keys, values, own_keys, own_values, joined, total = ctx.saved_tensors
        members, prefix_mask, own_mask, scale = ctx.whole
        count, length, heads = query.shape[1], query.shape[2], keys.shape[1]
        (gradient,) = gradients
        gathered = [members.gather(x, heads) for x in (gradient, query, joined, total)]
        given, asked, read, sums = gathered
        _, flash_backward = _kernels()
        ahead, to_keys, to_values = flash_backward(
            given, asked, keys, values, read, sums[..., 0], 0.0, False,
            attn_mask=prefix_mask, scale=scale,
        )  # fmt: skip
        own, to_own_keys, to_own_values = flash_backward(
            gradient, query, own_keys, own_values, joined, total[..., 0], 0.0,
            own_mask is None and length > 1, attn_mask=own_mask, scale=scale,
        )  # fmt: skip
        own = own + members.scatter(ahead, count, length)
        return None, own, to_keys, to_values, to_own_keys, to_own_values


class SharedLayer(Protocol):
    """A layer of a cache whose keys are marked."""

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
        """What the queries (B, H, S, d) read from the prefix and from `keys` and `values`."""


def mark(keys: Tensor, layer: SharedLayer) -> Tensor:
    """The keys that a pass goes on with, which lead to `layer`."""
    setattr(keys, _LAYER, layer)
    return keys


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,  # noqa: ANN401 - transformers' signature
) -> tuple[Tensor, None]:
    """An attention function of transformers: `sdpa`, but for marked keys.

    Raises:
        NotImplementedError: marked keys and something that only `sdpa` knows.
    """
    layer: SharedLayer | None = getattr(key, _LAYER, None)
    if layer is None:
        plain: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return plain
    if dropout or any(kwargs.get(name) is not None for name in _OTHER):
        raise NotImplementedError("cascade attention takes keys and values alone.")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    first = first_read(module)
    found = layer.attend(query[:, :, first:], key, value, scale).transpose(1, 2)
    return torch.nn.functional.pad(found, (0, 0, 0, 0, first, 0)).contiguous(), None


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextmanager
def attending(model: Any) -> Iterator[None]:  # noqa: ANN401 - a transformers causal LM
    """Let `model` attend by `attend` from here on; as before after an error.

    A class whose attention cannot be set keeps its own.
    """
    before, level = model.config._attn_implementation, get_verbosity()
    set_verbosity(logging.ERROR)  # that it cannot concerns nobody who loads it
    try:
        model.set_attn_implementation(NAME)
    finally:
        set_verbosity(level)
    try:
        yield
    except BaseException:
        model.set_attn_implementation(before)
        raise
