"""Caches whose rows have no gaps at the front: each is written at a place of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from finemem_env.backends.local.cache import PrefixedLayer, WrittenLayer, find_sharing
from finemem_env.backends.local.cascade import Sharing
from finemem_env.backends.local.causal_lm import new_cache


@dataclass(slots=True)
class Place:
    """Where the rows of a packed cache stand.

    `at` (B,): positions of their next tokens. `width`: positions that a pass is shown, the one that
    it writes included. `capacity`: positions that there are.
    """

    at: Tensor
    width: int
    capacity: int


class _PackedLayer(WrittenLayer):  # type: ignore[no-untyped-call]
    """Every row is written at a place of its own."""

    def __init__(self, layers: Sequence[Any], place: Place) -> None:
        self.place = place
        super().__init__(
            _one_below_the_other([layer.keys for layer in layers], place.capacity),
            _one_below_the_other([layer.values for layer in layers], place.capacity),
        )

    @property
    def shown(self) -> int:
        """As far as the place says."""
        return self.place.width

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ANN401 - transformers' signature
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[Tensor, Tensor]:
        """Write one state per row and return all that are shown."""
        at = self.place.at[:, None, None, None]
        self.all_keys.scatter_(2, at.expand_as(key_states), key_states)
        self.all_values.scatter_(2, at.expand_as(value_states), value_states)
        return self._show()

    def get_seq_length(self) -> int:
        """What a pass is shown beside its own token."""
        return self.place.width - 1


def pack(cache: Cache, mask: Tensor) -> None:
    """Move the positions that `mask` (B, L) has to the front of every row, in place.

    Of a cache of `keep_once`, those of the rows' own states.
    """
    width = int(mask.sum(dim=1).max())
    order = (~mask).int().argsort(dim=1, stable=True)[:, None, :width, None]
    for layer in map(_own, cache.layers):
        for name in ("keys", "values"):
            states = getattr(layer, name)
            index = order.expand(-1, states.shape[1], -1, states.shape[3])
            setattr(layer, name, states.gather(2, index))


def join(
    model: Any,  # noqa: ANN401 - a transformers causal LM
    caches: Sequence[Cache],
    place: Place,
    lengths: Tensor,
) -> Cache:
    """The rows of packed caches in one, which goes by `place`.

    `lengths` (B,): of the rows' prefixes, where the caches are those of `keep_once`; else 0.
    """
    longest = int(lengths.max())
    sharing = _sharing(caches, lengths) if longest else None

    def joined(layers: Sequence[Any]) -> Any:  # noqa: ANN401
        own = _PackedLayer(list(map(_own, layers)), place)
        if sharing is None:
            return own
        keys, values = (
            _one_below_the_other([states[:, :, :longest] for states in parts], longest)
            for parts in zip(*(layer.prefix for layer in layers), strict=True)
        )
        return PrefixedLayer((keys, values), sharing, own)

    cache = new_cache(model)
    cache.layers = [
        joined(layers) for layers in zip(*(other.layers for other in caches), strict=True)
    ]
    return cache


def _sharing(caches: Sequence[Cache], lengths: Tensor) -> Sharing:
    """How the rows of all caches stand to their prefixes, one below the other."""
    before, owners = 0, []
    for other in caches:
        sharing: Any = find_sharing(other)
        owners.append(sharing.owner + before)
        before += sharing.members.units
    owner = torch.cat(owners)
    first = torch.searchsorted(owner, torch.arange(before, device=owner.device))
    seen = torch.arange(int(lengths.max()), device=owner.device) < lengths[first, None]
    return Sharing(owner, seen)


def _own(layer: Any) -> Any:  # noqa: ANN401
    """The layer that the states of the rows are in."""
    return layer.own if isinstance(layer, PrefixedLayer) else layer


def _one_below_the_other(parts: Sequence[Tensor], capacity: int) -> Tensor:
    """The rows of all parts (B, heads, L, d), with `capacity` positions."""
    _, heads, _, size = parts[0].shape
    room = parts[0].new_zeros((sum(map(len, parts)), heads, capacity, size))
    start = 0
    for part in parts:
        room[start : start + len(part), :, : part.shape[2]] = part
        start += len(part)
    return room
