"""Decoding token by token, for rows of one batch whose prompts were read.

Draws depend on the row and the token position only, never on which rows happen to be decoded
together: they are made beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from finemem_env.backends.base import Sampling
from finemem_env.backends.local.cache import find_sharing, fix_capacity, is_plain, select_rows
from finemem_env.backends.local.causal_lm import known_inputs, with_cache
from finemem_env.backends.local.prefill import Prefilled, unused_mask
from finemem_env.backends.sampler import Sample

SHRINK = 0.75  # share of rows still running below which the finished ones are taken out
SYNC_EVERY = 8  # decoding steps between looks at a device's finished rows


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
        self.unused = unused_mask(model.device)
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
        if find_sharing(state.cache) is not None:
            seen = self.unused
        elif self.full_mask:  # with all four dimensions it is taken as it is
            seen = seen[:, None, None]
        logits = self.model(
            input_ids=tokens[:, None],
            attention_mask=seen,
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
