"""Batched sampling with exact token ids and the log-probability each was drawn with.

All rows decode together; rows that are done leave the batch. Rows of one group share the prompt
prefix they have in common, so instructions and chunk are read once per group. Draws depend on the
seed, the row and the token position only, never on which rows happen to be decoded together.

Sampling is from the full distribution at the temperature: top-p or top-k would make the recorded
log-probabilities those of another distribution than the one that training differentiates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from agents.model.cache import can_share, fix_capacity, new_cache, select_rows, with_cache
from agents.model.logprobs import base_causal_lm
from agents.model.prefix import MIN_SHARED, Unit, find_units
from finemem_env.errors import ConfigError

__all__ = ["Completion", "ModelSampler", "RolloutSampler", "SamplingConfig", "sample"]

SHRINK = 0.75  # share of rows still running below which the finished ones are taken out
LIMIT = "max_position_embeddings"  # transformers' name for the longest context in tokens
SYNC_EVERY = 8  # decoding steps between looks at a device's finished rows


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """How completions are drawn.

    Attributes:
        max_new_tokens: most tokens per completion, the stop token included.
        temperature: 0 is greedy, with log-probabilities at temperature 1.
        stop_ids: tokens that end a completion; they stay in it and are trained on.
        pad_id: fills up prompts; its value changes nothing.
        max_tokens: cache positions (rows x length) of one decoding batch; None: one batch.
    """

    max_new_tokens: int
    temperature: float = 1.0
    stop_ids: tuple[int, ...] = ()
    pad_id: int = 0
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        """Validate ranges."""
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens: expected at least 1, got {self.max_new_tokens}.")
        if not self.temperature >= 0:
            raise ConfigError(f"temperature: expected at least 0, got {self.temperature!r}.")


@dataclass(frozen=True, slots=True)
class Completion:
    """What was sampled for one row."""

    ids: tuple[int, ...]  # exactly as sampled, the stop token included
    logprobs: tuple[float, ...]  # of each id, at the sampling temperature
    finished: bool  # ended by a stop token, not by max_new_tokens


class RolloutSampler(Protocol):
    """What draws the replies of rollouts: the trainer's model, or an engine that holds a copy."""

    @property
    def context(self) -> float:
        """Longest prompt and completion together, in tokens."""
        ...

    def draw(
        self,
        prompts: Sequence[Sequence[int]],
        config: SamplingConfig,
        *,
        seed: int,
        groups: Sequence[Hashable | None] | None = None,
    ) -> Sequence[Completion | None]:
        """One completion per prompt, in order; None where an engine gave none in time."""
        ...

    def refresh(self) -> dict[str, float]:
        """Take the trainer's present weights, after every update. Returns what to log."""
        ...


class ModelSampler:
    """The trainer's own model: it always has the present weights.

    Args:
        model: a transformers causal LM or a PEFT model around one.
        precision: the context in which updates compute too.
    """

    def __init__(
        self, model: nn.Module, precision: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._model = model
        self._precision = precision

    @property
    def context(self) -> float:
        """The model's context; recurrent models know no limit."""
        inner: Any = base_causal_lm(self._model)
        found: float = getattr(inner.config.get_text_config(), LIMIT, math.inf)
        return found

    def draw(
        self,
        prompts: Sequence[Sequence[int]],
        config: SamplingConfig,
        *,
        seed: int,
        groups: Sequence[Hashable | None] | None = None,
    ) -> list[Completion]:
        """One completion per prompt, see `sample`."""
        with self._precision():
            return sample(self._model, prompts, config, seed=seed, groups=groups)

    def refresh(self) -> dict[str, float]:
        """Nothing to do."""
        return {}


@torch.no_grad()
def sample(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    config: SamplingConfig,
    *,
    seed: int,
    groups: Sequence[Hashable | None] | None = None,
    share: bool = True,
) -> list[Completion]:
    """One completion per prompt, in order.

    Args:
        model: a transformers causal LM or a PEFT model around one; left in the mode it was in.
        prompts: token ids, at least one each.
        config: lengths, temperature, stop tokens.
        seed: of all draws of this call.
        groups: rows of equal group may share a prefix; None: rows with nothing known in common.
        share: False computes every prompt in full.

    Raises:
        ConfigError: for an empty prompt.
    """
    if any(not len(prompt) for prompt in prompts):
        raise ConfigError("sampling needs a prompt of at least one token for every row.")
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand((len(prompts), config.max_new_tokens), generator=generator)
    inner: Any = base_causal_lm(model)
    training = inner.training
    inner.eval()
    try:
        sharing = share and groups is not None and can_share(inner)
        labels = list(groups) if sharing and groups is not None else [None] * len(prompts)
        units = find_units(prompts, labels, MIN_SHARED)
        done: dict[int, Completion] = {}
        for batch in _batches(units, prompts, config):
            rows = [i for unit in batch for i in unit.rows]
            decoder = _Decoder(inner, config, draws[rows])
            found = decoder.run(_prefill(inner, prompts, batch, config))
            done |= dict(zip(rows, found, strict=True))
    finally:
        inner.train(training)
    return [done[i] for i in range(len(prompts))]


def _batches(
    units: Sequence[Unit], prompts: Sequence[Sequence[int]], config: SamplingConfig
) -> Iterator[list[Unit]]:
    """Units of one kind and similar length, up to `max_tokens` cache positions together."""

    def length(unit: Unit) -> int:
        return max(len(prompts[i]) for i in unit.rows) + config.max_new_tokens

    ordered = sorted(units, key=lambda unit: (not unit.prefix, -length(unit), unit.rows))
    batch: list[Unit] = []
    for unit in ordered:
        rows = sum(len(u.rows) for u in [*batch, unit])
        longest = max(length(u) for u in [*batch, unit])
        full = config.max_tokens is not None and rows * longest > config.max_tokens
        if batch and (full or bool(batch[0].prefix) != bool(unit.prefix)):
            yield batch
            batch = []
        batch.append(unit)
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class _Prefilled:
    """The state after all prompts were read: R rows."""

    cache: Cache
    logits: Tensor  # (R, V) after the last prompt token
    mask: Tensor  # (R, K) which cache positions a row may attend to
    positions: Tensor  # (R,) position of the next token


def _prefill(
    model: Any,  # noqa: ANN401 - a transformers causal LM
    prompts: Sequence[Sequence[int]],
    units: Sequence[Unit],
    config: SamplingConfig,
) -> _Prefilled:
    """Read the prompts of `units`: shared prefixes once per unit, then every row's own tail."""
    device = model.device
    cache = new_cache(model)
    shared = units[0].prefix > 0
    owner = torch.tensor([number for number, unit in enumerate(units) for _ in unit.rows])
    tails = [prompts[i][unit.prefix :] for unit in units for i in unit.rows]
    ids, mask = _pad(tails, config.pad_id, left=True)
    if shared:
        # Right-padded, so that a causal pass needs no mask; the padding is masked from then on.
        prefix, seen = _pad([prompts[u.rows[0]][: u.prefix] for u in units], config.pad_id)
        body = model.base_model
        body(input_ids=prefix.to(device), use_cache=True, **with_cache(body, cache))
        select_rows(cache, owner.to(device))
        mask = torch.cat([seen[owner], mask], dim=1)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    logits = model(
        input_ids=ids.to(device),
        position_ids=positions[:, -ids.shape[1] :].to(device),
        attention_mask=None if mask.all() and not shared else mask.to(device),
        use_cache=True,
        logits_to_keep=1,
        **with_cache(model, cache),
    ).logits[:, -1]
    return _Prefilled(cache, logits, mask.to(device), positions[:, -1].to(device) + 1)


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


class _Decoder:
    """Token by token over the rows still running; `draws` (R, max_new_tokens) are uniform."""

    def __init__(self, model: Any, config: SamplingConfig, draws: Tensor) -> None:  # noqa: ANN401
        self.model, self.config = model, config
        self.draws = draws.to(model.device)
        self.stop = torch.tensor(config.stop_ids, dtype=torch.long, device=model.device)
        self.plain = can_share(model)
        self.full_mask = self.plain and model.config._attn_implementation == "sdpa"

    def run(self, state: _Prefilled) -> list[Completion]:
        """Decode until every row has stopped or is full."""
        count, limit = self.draws.shape
        device = self.draws.device
        ids = torch.zeros((count, limit), dtype=torch.long, device=device)
        logprobs = torch.zeros((count, limit), dtype=torch.float32, device=device)
        rows = torch.arange(count, device=device)
        stopped = torch.zeros(count, dtype=torch.bool, device=device)
        if self.plain:
            fix_capacity(state.cache, limit)
        state = _with_room(state, limit)
        for step in range(limit):
            tokens, chosen = _pick(state.logits, self.draws[rows, step], self.config.temperature)
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
        return self._completions(ids, logprobs)

    def _forward(self, state: _Prefilled, tokens: Tensor, step: int) -> _Prefilled:
        """Feed one token per row."""
        seen = state.mask[:, : state.mask.shape[1] - self.draws.shape[1] + step + 1]
        logits = self.model(
            input_ids=tokens[:, None],
            position_ids=state.positions[:, None],
            # A mask with all four dimensions is taken as it is, which saves building one.
            attention_mask=seen[:, None, None] if self.full_mask else seen,
            use_cache=True,
            **with_cache(self.model, state.cache),
        ).logits[:, -1]
        return _Prefilled(state.cache, logits, state.mask, state.positions + 1)

    def _completions(self, ids: Tensor, logprobs: Tensor) -> list[Completion]:
        """Cut every row after its first stop token."""
        stops = torch.isin(ids, self.stop)
        first = torch.where(stops.any(dim=1), stops.int().argmax(dim=1) + 1, ids.shape[1])
        return [
            Completion(tuple(row[:end]), tuple(values[:end]), finished)
            for row, values, end, finished in zip(
                ids.tolist(),
                logprobs.tolist(),
                first.tolist(),
                stops.any(dim=1).tolist(),
                strict=True,
            )
        ]


def _with_room(state: _Prefilled, spare: int) -> _Prefilled:
    """The mask widened for `spare` tokens, which all may be attended to once they are there."""
    more = torch.ones((len(state.mask), spare), dtype=torch.bool, device=state.mask.device)
    return _Prefilled(
        state.cache, state.logits, torch.cat([state.mask, more], dim=1), state.positions
    )


def _select(state: _Prefilled, keep: Tensor) -> _Prefilled:
    """Drop the rows that are done."""
    select_rows(state.cache, keep)
    return _Prefilled(state.cache, state.logits[keep], state.mask[keep], state.positions[keep])


def _pick(logits: Tensor, draws: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Token per row by inversion of the distribution function, and its log-probability."""
    logits = logits.float()
    if temperature > 0 and temperature != 1.0:
        logits = logits / temperature
    total = torch.logsumexp(logits, dim=-1, keepdim=True)
    if temperature == 0:
        tokens = logits.argmax(dim=-1)
    else:
        cumulative = torch.exp(logits - total).cumsum(dim=-1)
        # Just below the last value, so that a token of probability 0 cannot be reached.
        target = draws[:, None] * cumulative[:, -1:] * (1 - 1e-6)
        tokens = torch.searchsorted(cumulative, target, right=True).squeeze(-1)
    return tokens, (logits.gather(-1, tokens[:, None]) - total).squeeze(-1)
