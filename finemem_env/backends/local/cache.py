"""Key-value caches: one of fixed capacity that decoding fills in place, and one of shared prefixes.

transformers' growing cache copies itself at every token, which is most of the time of decoding with
a small model. `fix_capacity` copies once. In updates, `RecordedPrefix` never changes after the
prefix was read, so a layer that is computed again in the backward pass gets the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from finemem_env.backends.local.cascade import Sharing, mark
from finemem_env.backends.local.causal_lm import new_cache


class WrittenLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values (B, heads, capacity, d) of one layer, which are written in place."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.all_keys, self.all_values = keys, values
        self._show()

    @property
    def shown(self) -> int:
        """Positions that a pass is shown."""
        raise NotImplementedError

    def select(self, rows: Tensor) -> None:
        """Keep the batch rows `rows`."""
        self.all_keys = self.all_keys.index_select(0, rows)
        self.all_values = self.all_values.index_select(0, rows)
        self._show()

    def _show(self) -> tuple[Tensor, Tensor]:
        self.keys = self.all_keys[:, :, : self.shown]
        self.values = self.all_values[:, :, : self.shown]
        return self.keys, self.values


class FixedLayer(WrittenLayer):  # type: ignore[no-untyped-call]
    """Written one after the other, up to `length`."""

    def __init__(self, keys: Tensor, values: Tensor, spare: int) -> None:
        self.length = keys.shape[-2]
        super().__init__(_with_room(keys, spare), _with_room(values, spare))

    @property
    def shown(self) -> int:
        """All that is written."""
        return self.length

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


class _RecordingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keeps the states of the first pass and returns those of any pass: it starts empty."""

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ANN401 - transformers' signature
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[Tensor, Tensor]:
        """The states themselves, noted the first time."""
        if not self.is_initialized:
            self.keys, self.values, self.is_initialized = key_states, value_states, True
        return key_states, value_states


class _SharedLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of a prefix, which later states follow without being kept."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.keys, self.values = keys, values

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ANN401 - transformers' signature
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[Tensor, Tensor]:
        """The prefix and the new states; nothing is stored."""
        prefix: tuple[Any, Any] = (self.keys, self.values)
        return (
            torch.cat([prefix[0], key_states], dim=-2),
            torch.cat([prefix[1], value_states], dim=-2),
        )


class PrefixedLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A prefix of each unit, kept once, and the rows' own states, which lead to it.

    Args:
        prefix: keys and values (U, heads, P, d).
        sharing: how the rows stand to the prefixes.
        own: the layer of the rows' own states; None: they are not kept.

    Attributes:
        attended: whether anything was read from the prefix.
    """

    def __init__(
        self, prefix: tuple[Tensor, Tensor], sharing: Sharing, own: DynamicLayer | None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.prefix, self.sharing = prefix, sharing
        self.attended = False
        self.own: Any = own
        self.dtype, self.device, self.is_initialized = prefix[0].dtype, prefix[0].device, True

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ANN401 - transformers' signature
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[Tensor, Tensor]:
        """Append the new states to the rows' own, and return these."""
        if self.own is not None:
            key_states, value_states = self.own.update(key_states, value_states)
            key_states = key_states[:]  # the kept ones lead nowhere, or they would be a circle
        return mark(key_states, self), value_states

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
        """What the queries read from the prefix and from the rows' own states."""
        self.attended = True
        return self.sharing.attend(query, self.prefix, (keys, values), scale)

    def get_seq_length(self) -> int:
        """Positions before the next token, padding included."""
        own: int = 0 if self.own is None else self.own.get_seq_length()
        return self.prefix[0].shape[-2] + own


class RecordedPrefix:
    """The cache of prefixes (U, P), computed once and attended to by all rows; gradients flow back.

    Attributes:
        recording: the cache to read the prefixes with.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - a model that can share
        self.recording = new_cache(model)
        self._model = model
        self.recording.layers = [_RecordingLayer() for _ in self.recording.layers]  # type: ignore[no-untyped-call]

    def shared(self, rows: Tensor) -> Cache:
        """The cache for rows (B,) of the prefixes, repeats allowed."""
        cache = new_cache(self._model)
        layers: list[Any] = self.recording.layers
        cache.layers = [
            _SharedLayer(layer.keys.index_select(0, rows), layer.values.index_select(0, rows))
            for layer in layers
        ]
        return cache

    def kept_once(self, sharing: Sharing) -> Cache:
        """The cache for rows that attend to the prefixes together."""
        return keep_once(self._model, self.recording, sharing, grows=False)


def keep_once(
    model: Any,  # noqa: ANN401 - a model that can cascade
    prefixes: Cache,
    sharing: Sharing,
    *,
    grows: bool = True,
) -> Cache:
    """A cache in which rows go on from `prefixes` (U, P); `grows`: it keeps their own states."""
    cache = new_cache(model)
    layers: list[Any] = prefixes.layers
    own: list[Any] = list(cache.layers) if grows else [None] * len(layers)
    cache.layers = [
        PrefixedLayer((layer.keys, layer.values), sharing, new)
        for layer, new in zip(layers, own, strict=True)
    ]
    return cache


def join_kept(
    model: Any,  # noqa: ANN401 - a model that can cascade
    caches: Sequence[Cache],
    sharing: Sharing,
) -> Cache:
    """The rows of caches of `keep_once`, whose prompts were read, one below the other."""
    cache = new_cache(model)
    cache.layers = [
        _join_layers(layers, sharing)
        for layers in zip(*(other.layers for other in caches), strict=True)
    ]
    return cache


def _join_layers(layers: Sequence[Any], sharing: Sharing) -> PrefixedLayer:
    keys, values = (torch.cat(states) for states in zip(*(x.prefix for x in layers), strict=True))
    own: Any = DynamicLayer()  # type: ignore[no-untyped-call]
    own.update(
        torch.cat([layer.own.keys for layer in layers]),
        torch.cat([layer.own.values for layer in layers]),
    )
    joined = PrefixedLayer((keys, values), sharing, own)
    joined.attended = all(layer.attended for layer in layers)
    return joined


def attended(cache: Cache) -> bool:
    """Whether every layer of a cache of `keep_once` was read by our attention function."""
    return all(isinstance(layer, PrefixedLayer) and layer.attended for layer in cache.layers)


def find_sharing(cache: Cache) -> Sharing | None:
    """How the rows of a cache stand to prefixes that are kept once; None where there are none."""
    layer = cache.layers[0] if cache.layers else None
    return layer.sharing if isinstance(layer, PrefixedLayer) else None


def is_plain(cache: Cache) -> bool:
    """Whether every layer keeps all keys: no sliding window, no recurrent state."""
    return all(type(layer) in {DynamicLayer, PrefixedLayer} for layer in cache.layers)


def fix_capacity(cache: Cache, spare: int) -> None:
    """Give a filled plain cache room for `spare` more tokens, in place."""
    if (sharing := find_sharing(cache)) is not None:
        sharing.go_on(spare)
    layers: list[Any] = cache.layers
    for number, layer in enumerate(layers):
        if isinstance(layer, PrefixedLayer):
            layer.own = FixedLayer(layer.own.keys, layer.own.values, spare)
        else:
            layers[number] = FixedLayer(layer.keys, layer.values, spare)


def select_rows(cache: Cache, rows: Tensor) -> None:
    """Give the cache the batch rows `rows`, in place; gradients flow back.

    Repeats are allowed, but where prefixes are kept once: there `rows` are in ascending order.
    """
    layers: list[Any] = cache.layers
    if (sharing := find_sharing(cache)) is not None:
        units = sharing.members.units
        left = sharing.select(rows)
        for layer in layers:
            layer.own.select(rows)
            if len(left) < units:
                keys, values = layer.prefix
                layer.prefix = keys.index_select(0, left), values.index_select(0, left)
        return
    for layer in layers:
        if isinstance(layer, WrittenLayer):
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
