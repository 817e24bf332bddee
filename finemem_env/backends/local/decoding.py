"""Reading prompts into a cache and decoding token by token, for rows of one batch.

Draws depend on the row and the token position only, never on which rows happen to be decoded
together: they are made beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from finemem_env.backends.base import Sampling
from finemem_env.backends.local.cache import fix_capacity, is_plain, select_rows
from finemem_env.backends.local.causal_lm import known_inputs, new_cache, with_cache
from finemem_env.backends.local.prefix import Unit
from finemem_env.backends.sampler import Sample

SHRINK = 0.75  # share of rows still running below which the finished ones are taken out
SYNC_EVERY = 8  # decoding steps between looks at a device's finished rows


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
) -> Prefilled:
    """Read the prompts of `units`: shared prefixes once per unit, then every row's own tail."""
    device = model.device
    cache = new_cache(model)
    shared = units[0].prefix > 0
    owner = torch.tensor([number for number, unit in enumerate(units) for _ in unit.rows])
    tails = [prompts[i][unit.prefix :] for unit in units for i in unit.rows]
    ids, mask = _pad(tails, pad_id, left=True)
    if shared:
        # Right-padded, so that a causal pass needs no mask; the padding is masked from then on.
        prefix, seen = _pad([prompts[u.rows[0]][: u.prefix] for u in units], pad_id)
        body = model.base_model
        body(input_ids=prefix.to(device), use_cache=True, **with_cache(body, cache))
        select_rows(cache, owner.to(device))
        mask = torch.cat([seen[owner], mask], dim=1)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    logits = model(
        input_ids=ids.to(device),
        attention_mask=None if mask.all() and not shared else mask.to(device),
        use_cache=True,
        **known_inputs(
            model,
            position_ids=positions[:, -ids.shape[1] :].to(device),
            logits_to_keep=1,
        ),
        **with_cache(model, cache),
    ).logits[:, -1]
    return Prefilled(cache, logits, mask.to(device), positions[:, -1].to(device) + 1)


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


def decode(
    model: Any,  # noqa: ANN401 - a transformers causal LM
    state: Prefilled,
    sampling: Sampling,
    draws: Tensor,
    stop_ids: Sequence[int] = (),
    *,
    full_mask: bool = False,
) -> list[Sample]:
    """Replies of the R rows of `state`.

    Args:
        model: what has read the prompts.
        state: after the prompts; its cache is used up.
        sampling: temperature and top-p.
        draws: (R, max_tokens) uniform numbers.
        stop_ids: tokens that end a reply.
        full_mask: hand masks over with all four dimensions, which are taken as they are and save
            building one.
    """
    return _Decoder(model, sampling, draws, stop_ids, full_mask).run(state)


class _Decoder:
    """Token by token over the rows still running; `draws` (R, max_tokens) are uniform."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401 - a transformers causal LM
        sampling: Sampling,
        draws: Tensor,
        stop_ids: Sequence[int],
        full_mask: bool,
    ) -> None:
        self.model, self.sampling, self.full_mask = model, sampling, full_mask
        self.draws = draws.to(model.device)
        self.stop = torch.tensor(list(stop_ids), dtype=torch.long, device=model.device)
        self.plain = False  # whether the cache is a list of keys, known when it is filled

    def run(self, state: Prefilled) -> list[Sample]:
        """Decode until every row has stopped or is full."""
        count, limit = self.draws.shape
        device = self.draws.device
        ids = torch.zeros((count, limit), dtype=torch.long, device=device)
        logprobs = torch.zeros((count, limit), dtype=torch.float32, device=device)
        rows = torch.arange(count, device=device)
        stopped = torch.zeros(count, dtype=torch.bool, device=device)
        self.plain = is_plain(state.cache)
        if self.plain:
            fix_capacity(state.cache, limit)
        state = _with_room(state, limit)
        for step in range(limit):
            tokens, chosen = pick(state.logits, self.draws[rows, step], self.sampling)
            ids[rows, step], logprobs[rows, step] = tokens, chosen
            stopped |= torch.isin(tokens, self.stop)
            if step + 1 == limit:
                break
            if device.type == "cpu" or step % SYNC_EVERY == SYNC_EVERY - 1:
                running = int((~stopped).sum())
                if not running:
                    break
                if self.plain and running <= SHRINK * len(rows):
                    keep = (~stopped).nonzero().squeeze(-1)
                    state = _select(state, keep)
                    tokens, rows, stopped = tokens[keep], rows[keep], stopped[keep]
            state = self._forward(state, tokens, step)
        return cut(ids, logprobs, self.stop)

    def _forward(self, state: Prefilled, tokens: Tensor, step: int) -> Prefilled:
        """Feed one token per row."""
        seen = state.mask[:, : state.mask.shape[1] - self.draws.shape[1] + step + 1]
        logits = self.model(
            input_ids=tokens[:, None],
            # A mask with all four dimensions is taken as it is, which saves building one.
            attention_mask=seen[:, None, None] if self.full_mask else seen,
            use_cache=True,
            **known_inputs(self.model, position_ids=state.positions[:, None]),
            **with_cache(self.model, state.cache),
        ).logits[:, -1]
        return Prefilled(state.cache, logits, state.mask, state.positions + 1)


def cut(ids: Tensor, logprobs: Tensor, stop: Tensor) -> list[Sample]:
    """Replies of rows (R, max_tokens), each cut after its first token of `stop`."""
    stops = torch.isin(ids, stop)
    first = torch.where(stops.any(dim=1), stops.int().argmax(dim=1) + 1, ids.shape[1])
    return [
        Sample(tuple(row[:end]), tuple(values[:end]), finished)
        for row, values, end, finished in zip(
            ids.tolist(),
            logprobs.tolist(),
            first.tolist(),
            stops.any(dim=1).tolist(),
            strict=True,
        )
    ]


def _with_room(state: Prefilled, spare: int) -> Prefilled:
    """The mask widened for `spare` tokens, which all may be attended to once they are there."""
    more = torch.ones((len(state.mask), spare), dtype=torch.bool, device=state.mask.device)
    return Prefilled(
        state.cache, state.logits, torch.cat([state.mask, more], dim=1), state.positions
    )


def _select(state: Prefilled, keep: Tensor) -> Prefilled:
    """Drop the rows that are done."""
    select_rows(state.cache, keep)
    return Prefilled(state.cache, state.logits[keep], state.mask[keep], state.positions[keep])


def pick(logits: Tensor, draws: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Token per row by inversion of the distribution function, and its log-probability."""
    logits = logits.float()
    if sampling.temperature > 0:
        logits = logits / sampling.temperature
    total = torch.logsumexp(logits, dim=-1, keepdim=True)
    if sampling.temperature == 0:
        tokens = logits.argmax(dim=-1)
    else:
        probabilities = torch.exp(logits - total)
        if sampling.top_p < 1:
            probabilities = _nucleus(probabilities, sampling.top_p)
        cumulative = probabilities.cumsum(dim=-1)
        # Just below the last value, so that a token of probability 0 cannot be reached.
        target = draws[:, None] * cumulative[:, -1:] * (1 - 1e-6)
        tokens = torch.searchsorted(cumulative, target, right=True).squeeze(-1)
        tokens = tokens.clamp(max=logits.shape[-1] - 1)  # beyond the last where nothing is a number
    return tokens, (logits.gather(-1, tokens[:, None]) - total).squeeze(-1)


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """The most probable tokens that together reach `top_p`; the others get 0."""
    ordered, order = probabilities.sort(dim=-1, descending=True)
    before = ordered.cumsum(dim=-1) - ordered
    kept = ordered.masked_fill(before >= top_p, 0.0)
    return torch.zeros_like(probabilities).scatter(-1, order, kept)
