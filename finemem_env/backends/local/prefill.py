"""Reading the prompts of a batch into a cache: shared prefixes once per unit, then rows' tails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from finemem_env.backends.local.cache import join_kept, keep_once, select_rows
from finemem_env.backends.local.cascade import Sharing
from finemem_env.backends.local.causal_lm import known_inputs, new_cache, with_cache
from finemem_env.backends.local.last_block import last_positions, reading
from finemem_env.backends.local.prefix import Unit
from finemem_env.backends.local.streams import count_streams, side_by_side


@dataclass(frozen=True, slots=True)
class Prefilled:
    """The state after all prompts were read: R rows."""

    cache: Cache
    logits: Tensor  # (R, V) after the last prompt token
    mask: Tensor  # (R, K) which cache positions a row may attend to
    positions: Tensor  # (R,) position of the next token


def prefill(
    model: Any,  # noqa: ANN401 - a transformers causal LM
    prompts: Sequence[Sequence[int]],
    units: Sequence[Unit],
    pad_id: int,
    *,
    cascade: bool = False,
) -> Prefilled:
    """Read the prompts of `units`, which all share a prefix or all share none.

    `cascade`: keep the prefixes once too, instead of copying them for every row.
    """
    text = _Prompts.of(prompts, units, pad_id, model.device)
    if not units[0].prefix:
        return _read(model, text.ids, text.mask, new_cache(model))
    if not cascade:
        cache = _read_prefixes(model, text)
        select_rows(cache, text.owner)
        mask = torch.cat([text.seen[text.owner], text.mask], dim=1)
        return _read(model, text.ids, mask, cache, given=mask)
    parts = text.halves() if count_streams(model) > 1 and len(units) > 1 else [text]
    states = side_by_side([partial(_read_kept, model, part) for part in parts])
    sharing = Sharing(text.owner, text.seen, text.mask)
    cache = join_kept(model, [state.cache for state in states], sharing)
    columns = [(state.logits, state.mask, state.positions) for state in states]
    return Prefilled(cache, *(torch.cat(column) for column in zip(*columns, strict=True)))


def unused_mask(device: torch.device) -> Tensor:
    """A mask for a pass in which the cache knows what is seen: complete, so that none is built."""
    return torch.ones((1, 1, 1, 1), dtype=torch.bool, device=device)


@dataclass(frozen=True, slots=True)
class _Prompts:
    """Prompts of B rows, cut into the prefixes of U units and tails."""

    prefixes: Tensor  # (U, P) ids, padded at the end, so that a causal pass needs no mask
    seen: Tensor  # (U, P) False on the padding
    owner: Tensor  # (B,) unit of each row, ascending
    ids: Tensor  # (B, S) padded at the front
    mask: Tensor  # (B, S) False on the padding

    @classmethod
    def of(
        cls,
        prompts: Sequence[Sequence[int]],
        units: Sequence[Unit],
        pad_id: int,
        device: torch.device,
    ) -> _Prompts:
        """Those of `units`."""
        owner = torch.tensor([number for number, unit in enumerate(units) for _ in unit.rows])
        tails = [prompts[i][unit.prefix :] for unit in units for i in unit.rows]
        prefixes = _pad([prompts[unit.rows[0]][: unit.prefix] for unit in units], pad_id)
        tensors = (*prefixes, owner, *_pad(tails, pad_id, left=True))
        return cls(*(tensor.to(device) for tensor in tensors))

    def halves(self) -> list[_Prompts]:
        """Two parts with about as many units, and the widths of the whole."""
        half = len(self.seen) // 2
        rows = int((self.owner < half).sum())
        return [
            _Prompts(
                self.prefixes[:half],
                self.seen[:half],
                self.owner[:rows],
                self.ids[:rows],
                self.mask[:rows],
            ),
            _Prompts(
                self.prefixes[half:],
                self.seen[half:],
                self.owner[rows:] - half,
                self.ids[rows:],
                self.mask[rows:],
            ),
        ]


def _read_prefixes(model: Any, text: _Prompts) -> Cache:  # noqa: ANN401
    cache, body = new_cache(model), model.base_model
    with reading(text.prefixes, last_positions(text.prefixes)):  # for the cache alone
        body(input_ids=text.prefixes, use_cache=True, **with_cache(body, cache))
    return cache


def _read_kept(model: Any, text: _Prompts) -> Prefilled:  # noqa: ANN401
    """Prefixes and tails, each prefix kept once."""
    sharing = Sharing(text.owner, text.seen, text.mask)
    cache = keep_once(model, _read_prefixes(model, text), sharing)
    mask = torch.cat([text.seen[text.owner], text.mask], dim=1)
    return _read(model, text.ids, mask, cache, given=unused_mask(mask.device))


def _read(
    model: Any,  # noqa: ANN401
    ids: Tensor,
    mask: Tensor,
    cache: Cache,
    *,
    given: Tensor | None = None,
) -> Prefilled:
    """Read tails (B, S) after what is in the cache; `mask` (B, K) has all positions.

    `given`: the mask that the model gets; None: `mask`, where anything is hidden.
    """
    if given is None and not mask.all():
        given = mask
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    with reading(ids, last_positions(ids)):
        logits = model(
            input_ids=ids,
            attention_mask=given,
            use_cache=True,
            **known_inputs(model, position_ids=positions[:, -ids.shape[1] :], logits_to_keep=1),
            **with_cache(model, cache),
        ).logits[:, -1]
    return Prefilled(cache, logits, mask, positions[:, -1] + 1)


def _pad(
    sequences: Sequence[Sequence[int]], pad_id: int, *, left: bool = False
) -> tuple[Tensor, Tensor]:
    """Padded (R, L) ids and where they are real."""
    width = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), width), pad_id, dtype=torch.long)
    mask = torch.zeros((len(sequences), width), dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        place = slice(width - len(sequence), None) if left else slice(0, len(sequence))
        ids[row, place] = torch.tensor(sequence, dtype=torch.long)
        mask[row, place] = True
    return ids, mask
