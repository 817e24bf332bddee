"""Key-value caches: one of fixed capacity that decoding fills in place, and row selection.

transformers' growing cache copies itself at every token, which is most of the time of decoding with
a small model. `fix_capacity` copies once.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

__all__ = [
    "cache_of",
    "can_share",
    "fix_capacity",
    "is_plain",
    "new_cache",
    "select_rows",
    "with_cache",
]

_KEYWORDS: dict[type, str] = {}  # see `_cache_keyword`


class FixedLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values (B, heads, capacity, d) of one layer, written in place up to `length`."""

    def __init__(self, keys: Tensor, values: Tensor, spare: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.length = keys.shape[-2]
        self.all_keys, self.all_values = _with_room(keys, spare), _with_room(values, spare)
        self._show()

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ANN401 - transformers' signature
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[Tensor, Tensor]:
        """Append the new states and return all states so far."""
        end = self.length + key_states.shape[-2]
        self.all_keys[:, :, self.length : end] = key_states
        self.all_values[:, :, self.length : end] = value_states
        self.length = end
        return self._show()

    def select(self, rows: Tensor) -> None:
        """Keep the batch rows `rows`."""
        self.all_keys = self.all_keys.index_select(0, rows)
        self.all_values = self.all_values.index_select(0, rows)
        self._show()

    def _show(self) -> tuple[Tensor, Tensor]:
        self.keys = self.all_keys[:, :, : self.length]
        self.values = self.all_values[:, :, : self.length]
        return self.keys, self.values


def with_cache(model: Any, cache: Cache | None) -> dict[str, Cache | None]:  # noqa: ANN401
    """The keyword that hands `cache` to a transformers module, by the name its signature knows.

    transformers 5.24 renamed `past_key_values` to `cache`, one module at a time.
    """
    return {_cache_keyword(type(model)): cache}


def cache_of(outputs: Any) -> Cache:  # noqa: ANN401 - a transformers ModelOutput
    """The cache that a forward pass returned, under either name (see `with_cache`)."""
    cache: Cache = outputs["cache"] if "cache" in outputs else outputs["past_key_values"]
    return cache


def _cache_keyword(kind: Any) -> str:  # noqa: ANN401 - a class with a `forward`
    """Asked once per class: reading a signature takes longer than decoding a token should."""
    if kind not in _KEYWORDS:
        known = inspect.signature(kind.forward).parameters
        _KEYWORDS[kind] = "cache" if "cache" in known else "past_key_values"
    return _KEYWORDS[kind]


def new_cache(model: Any) -> Cache:  # noqa: ANN401 - a transformers model
    """An empty cache with the layer kinds of the model."""
    return DynamicCache(config=model.config)


def is_plain(cache: Cache) -> bool:
    """Whether every layer keeps all keys: no sliding window, no recurrent state."""
    return all(type(layer) is DynamicLayer for layer in cache.layers)


def can_share(model: Any) -> bool:  # noqa: ANN401
    """Whether rows of this model can attend to a prefix computed once.

    Not with sliding windows or recurrent layers, whose caches are more than a list of keys. (Nor in
    training with gradient checkpointing, under which transformers builds no cache.)
    """
    cache = new_cache(model)
    return bool(cache.layers) and is_plain(cache)


def fix_capacity(cache: Cache, spare: int) -> None:
    """Give a filled plain cache room for `spare` more tokens, in place."""
    layers: list[Any] = cache.layers
    cache.layers = [FixedLayer(layer.keys, layer.values, spare) for layer in layers]


def select_rows(cache: Cache, rows: Tensor) -> None:
    """Give the cache the batch rows `rows`, repeats allowed, in place; gradients flow back."""
    layers: list[Any] = cache.layers
    for layer in layers:
        if isinstance(layer, FixedLayer):
            layer.select(rows)
        else:
            layer.keys = layer.keys.index_select(0, rows)
            layer.values = layer.values.index_select(0, rows)


def _with_room(states: Tensor, spare: int) -> Tensor:
    """A copy of (B, heads, L, d) with `spare` more positions."""
    batch, heads, length, size = states.shape
    room = torch.zeros(
        (batch, heads, length + spare, size), dtype=states.dtype, device=states.device
    )
    room[:, :, :length] = states
    return room
