"""Continuous batching: rows that wait take the places of those that are done.

Batch after batch, every batch waits for its longest reply. Here the keys of a row lie at the front
of its line of the cache without a gap, so that rows of any age stand side by side. Where the model
can, prefixes are kept once beside these lines (`cascade`), as long as a row of theirs is decoded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import Cache

from finemem_env.backends.base import Sampling
from finemem_env.backends.local.cache import find_sharing, select_rows
from finemem_env.backends.local.causal_lm import known_inputs, with_cache
from finemem_env.backends.local.decoding import SHRINK, SYNC_EVERY, cut, pick
from finemem_env.backends.local.packed import Place, join, pack
from finemem_env.backends.local.prefill import prefill, unused_mask
from finemem_env.backends.local.prefix import Unit
from finemem_env.backends.sampler import Sample


@dataclass(slots=True)
class _Rows:
    """n rows that are decoded together."""

    cache: Cache
    place: Place
    before: Tensor  # (n,) positions of the prefix that is kept elsewhere
    logits: Tensor  # (n, V) of the next token
    numbers: Tensor  # (n,)
    made: Tensor  # (n,) tokens of the reply so far; max_tokens when it is complete


class Continuous:
    """Decodes rows in a batch that is filled up whenever enough of it is done.

    Args:
        model: a transformers causal LM with a plain cache that takes positions.
        prompts: token ids of all R rows.
        sampling: temperature and top-p.
        draws: (R, max_tokens) uniform numbers.
        stop_ids: tokens that end a reply.
        pad_id: fills up prompts.
        batch_tokens: most cache positions (rows x length) at a time, max_tokens of each row for
            its reply; a single row may take more.
        full_mask: hand masks over with all four dimensions.
        cascade: keep prefixes once; every unit has one.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        draws: Tensor,
        stop_ids: Sequence[int] = (),
        pad_id: int = 0,
        *,
        batch_tokens: int,
        full_mask: bool = False,
        cascade: bool = False,
    ) -> None:
        self.model, self.prompts, self.sampling = model, prompts, sampling
        self.cascade = cascade
        self.pad_id, self.batch_tokens, self.full_mask = pad_id, batch_tokens, full_mask
        self.limit = draws.shape[1]
        # The last column takes what is drawn between a row's end and the next look at it.
        self.draws = pad(draws, (0, 1)).to(model.device)
        self.ids = torch.zeros(self.draws.shape, dtype=torch.long, device=model.device)
        self.logprobs = torch.zeros_like(self.draws)
        self.stop = torch.tensor(list(stop_ids), dtype=torch.long, device=model.device)
        self.unused = unused_mask(model.device)

    def run(self, units: Sequence[Unit]) -> list[Sample]:
        """The replies of all rows; they are begun in the order of `units`."""
        waiting, rows = deque(units), None
        while (rows := self._fill(rows, waiting)) is not None:
            rows = self._decode(rows)
        return cut(self.ids[:, :-1], self.logprobs[:, :-1], self.stop)

    def _fill(self, rows: _Rows | None, waiting: deque[Unit]) -> _Rows | None:
        """The rows, with those of `waiting` that there is room for; None where there are none."""
        units = self._next([] if rows is None else rows.numbers.tolist(), waiting)
        if not units:
            return rows
        new = self._read(units)
        parts = [new] if rows is None else [rows, new]
        numbers, before, logits, made = (
            torch.cat([getattr(part, name) for part in parts])
            for name in ("numbers", "before", "logits", "made")
        )
        place = Place(
            torch.cat([part.place.at for part in parts]),
            max(part.place.width for part in parts),
            max(map(self._own_capacity, numbers.tolist(), before.tolist())),
        )
        cache = join(self.model, [part.cache for part in parts], place, before)
        return _Rows(cache, place, before, logits, numbers, made)

    def _next(self, numbers: list[int], waiting: deque[Unit]) -> list[Unit]:
        """Units of one kind that fit beside the rows `numbers`, taken from those that wait.

        A part of a unit reads its prefix again: only one that fills more than half a batch is cut.
        """
        units: list[Unit] = []
        while waiting and (not units or bool(units[0].prefix) == bool(waiting[0].prefix)):
            rows, prefix = waiting[0].rows, waiting[0].prefix
            room = self._holds([*numbers, *rows]) - len(numbers)
            if len(rows) > room and 2 * len(rows) <= self._holds(rows):
                break
            room = room if numbers else max(room, 1)
            if room <= 0:
                break
            waiting.popleft()
            if len(rows) > room:
                waiting.appendleft(Unit(rows[room:], prefix))
            units.append(Unit(rows[:room], prefix))
            numbers = [*numbers, *rows[:room]]
        return units

    def _holds(self, numbers: Sequence[int]) -> int:
        """How many rows as long as the longest of these a batch holds."""
        return self.batch_tokens // self._capacity(numbers)

    def _capacity(self, numbers: Sequence[int]) -> int:
        """Cache positions that each of these rows takes."""
        return max(len(self.prompts[i]) for i in numbers) + self.limit

    def _own_capacity(self, number: int, before: int) -> int:
        """Those that a row takes beside the prefix that is kept elsewhere."""
        return len(self.prompts[number]) - before + self.limit

    def _read(self, units: Sequence[Unit]) -> _Rows:
        """Rows whose prompts were read."""
        device = self.model.device
        state = prefill(self.model, self.prompts, units, self.pad_id, cascade=self.cascade)
        kept = [unit.prefix if self.cascade else 0 for unit in units]
        pack(state.cache, state.mask[:, max(kept) :])
        pairs = [(i, prefix) for unit, prefix in zip(units, kept, strict=True) for i in unit.rows]
        numbers, before = torch.tensor(pairs, device=device).unbind(1)
        at = state.positions - before
        place = Place(at, int(at.max()), 0)
        return _Rows(state.cache, place, before, state.logits, numbers, torch.zeros_like(numbers))

    def _decode(self, rows: _Rows) -> _Rows | None:
        """Decode until enough rows are done; the others, or None where there are none."""
        step = 0
        while True:
            tokens = self._draw(rows)
            step += 1
            if tokens.device.type == "cpu" or step % SYNC_EVERY == 0:
                keep = (rows.made < self.limit).nonzero().squeeze(-1)
                if not len(keep):
                    return None
                if len(keep) <= SHRINK * len(tokens):
                    _select(rows, keep)
                    self._forward(rows, tokens[keep])
                    return rows
            self._forward(rows, tokens)

    def _draw(self, rows: _Rows) -> Tensor:
        """The next token of every row, noted."""
        here = rows.numbers, rows.made
        tokens, self.logprobs[here] = pick(rows.logits, self.draws[here], self.sampling)
        self.ids[here] = tokens
        more = (rows.made + 1).clamp(max=self.limit)
        rows.made = more.masked_fill(torch.isin(tokens, self.stop), self.limit)
        return tokens

    def _forward(self, rows: _Rows, tokens: Tensor) -> None:
        """Feed one token per row."""
        place, sharing = rows.place, find_sharing(rows.cache)
        place.width = min(place.width + 1, place.capacity)
        seen = torch.arange(place.width, device=tokens.device) <= place.at[:, None]
        if sharing is not None:
            sharing.show(seen)
            seen = self.unused
        elif self.full_mask:
            seen = seen[:, None, None]
        positions = (place.at + rows.before)[:, None]
        rows.logits = self.model(
            input_ids=tokens[:, None],
            attention_mask=seen,
            use_cache=True,
            **known_inputs(self.model, position_ids=positions),
            **with_cache(self.model, rows.cache),
        ).logits[:, -1]
        place.at = (place.at + 1).clamp(max=place.capacity - 1)


def _select(rows: _Rows, keep: Tensor) -> None:
    """Drop the other rows."""
    select_rows(rows.cache, keep)
    rows.place.at = rows.place.at[keep]
    rows.place.width = int(rows.place.at.max())
    for name in ("before", "logits", "numbers", "made"):
        setattr(rows, name, getattr(rows, name)[keep])
