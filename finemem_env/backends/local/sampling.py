"""Batched sampling with exact token ids and the log-probability each was drawn with.

All rows decode together; rows that are done leave the batch, and where a batch does not hold all,
waiting ones take their places. Rows of one group share the prompt prefix they have in common, so
instructions and chunk are read once per group. Draws depend on the seed, the row and the token
position only.

Training draws from the full distribution at the temperature: top-p would make the recorded log-
probabilities those of another distribution than the one that training differentiates.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from finemem_env.backends.base import Sampling
from finemem_env.backends.local.causal_lm import base_causal_lm, evaluating
from finemem_env.backends.local.continuous import Continuous
from finemem_env.backends.local.decoding import decode
from finemem_env.backends.local.prefill import prefill
from finemem_env.backends.local.prefix import Unit, find_units
from finemem_env.backends.local.probe import abilities
from finemem_env.backends.local.streams import on_plain_cpu
from finemem_env.backends.sampler import Sample
from finemem_env.errors import BackendError, ConfigError


def sample(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    stop_ids: Sequence[int] = (),
    pad_id: int = 0,
    batch_tokens: int | None = None,
    groups: Sequence[Hashable | None] | None = None,
    share: bool = True,
    refill: bool = True,
) -> list[Sample]:
    """One reply per prompt, in order.

    Args:
        model: a transformers causal LM or a PEFT model around one; each part is left in its mode.
        prompts: token ids, at least one each.
        sampling: temperature (0 is greedy, with log-probabilities at temperature 1), top-p, longest
            reply, seed; without one the draws come from torch's random state.
        stop_ids: tokens that end a reply; they stay in it and are trained on.
        pad_id: fills up prompts; its value changes nothing.
        batch_tokens: cache positions (rows x length) of one batch; None: one batch.
        groups: rows of equal group may share a prefix; None: rows with nothing known in common.
        share: False computes every prompt in full.
        refill: False decodes batch after batch, each until its longest reply is done.

    Raises:
        ConfigError: an empty prompt, or a model class that cannot be sampled here.
        BackendError: not even one row fits the device's memory.
    """
    if any(not len(prompt) for prompt in prompts):
        raise ConfigError("sampling needs a prompt of at least one token for every row.")
    inner: Any = base_causal_lm(model)
    job = _Job(inner, prompts, sampling, _draws(len(prompts), sampling), tuple(stop_ids), pad_id)
    with evaluating(inner), _thawing(inner):
        sharing = share and groups is not None and abilities(inner).share
        labels = list(groups) if sharing and groups is not None else [None] * len(prompts)
        units = find_units(prompts, labels)
        batches = list(_batches(units, prompts, sampling.max_tokens, batch_tokens))
        done: dict[int, Sample] = {}
        # In inference mode tensors take less work, but FSDP cannot gather its weights.
        with torch.inference_mode() if on_plain_cpu(inner) else torch.no_grad():
            if refill and batch_tokens is not None and len(batches) > 1 and abilities(inner).refill:
                done |= job.refilled([unit for batch in batches for unit in batch], batch_tokens)
            for batch in () if done else batches:
                done |= job.insist(batch)
    return [done[i] for i in range(len(prompts))]


@contextmanager
def _thawing(model: nn.Module) -> Iterator[None]:
    """Make buffers that a class replaced in a pass (of dynamic positions) what DDP can write to."""
    try:
        yield
    finally:
        for module in model.modules():
            for name, buffer in list(module.named_buffers(recurse=False)):
                if buffer.is_inference():
                    setattr(module, name, buffer.clone())


def _draws(rows: int, sampling: Sampling) -> Tensor:
    """Uniform numbers (rows, max_tokens), on the CPU so that every device draws the same."""
    seed = sampling.seed
    if seed is None:
        seed = int(torch.randint(2**62, ()))
    generator = torch.Generator().manual_seed(seed % 2**63)
    return torch.rand((rows, sampling.max_tokens), generator=generator)


@dataclass(frozen=True, slots=True)
class _Job:
    """One call of `sample`."""

    model: Any
    prompts: Sequence[Sequence[int]]
    sampling: Sampling
    draws: Tensor  # (rows, max_tokens)
    stop_ids: tuple[int, ...]
    pad_id: int

    def refilled(self, units: Sequence[Unit], batch_tokens: int) -> Mapping[int, Sample]:
        """The replies by row; none where the device's memory does not hold a batch."""
        able = abilities(self.model)
        batch = Continuous(
            self.model,
            self.prompts,
            self.sampling,
            self.draws,
            self.stop_ids,
            self.pad_id,
            batch_tokens=batch_tokens,
            full_mask=able.full_mask,
            cascade=able.cascade and all(unit.prefix for unit in units),
        )
        try:
            return dict(enumerate(batch.run(units)))
        except torch.OutOfMemoryError:
            return {}

    def insist(self, units: Sequence[Unit]) -> Mapping[int, Sample]:
        """The replies of a batch by row, in halves where the device's memory does not hold it."""
        try:
            return self.run(units)
        except torch.OutOfMemoryError as error:
            parts = _halves(units)
            if parts is None:
                raise BackendError(
                    f"a prompt of {len(self.prompts[units[0].rows[0]])} tokens does not fit the "
                    f"memory of {self.model.device}; use a smaller model or dtype, or shorter "
                    "prompts."
                ) from error
        return {**self.insist(parts[0]), **self.insist(parts[1])}

    def run(self, units: Sequence[Unit]) -> Mapping[int, Sample]:
        """The replies of a batch by row."""
        rows = [i for unit in units for i in unit.rows]
        able = abilities(self.model)
        state = prefill(self.model, self.prompts, units, self.pad_id, cascade=able.cascade)
        replies = decode(
            self.model,
            state,
            self.sampling,
            self.draws[rows],
            self.stop_ids,
            full_mask=able.full_mask,
        )
        return dict(zip(rows, replies, strict=True))


def _halves(units: Sequence[Unit]) -> tuple[Sequence[Unit], Sequence[Unit]] | None:
    """Two parts of a batch; None for a single row."""
    if len(units) > 1:
        return units[: len(units) // 2], units[len(units) // 2 :]
    (unit,) = units
    half = len(unit.rows) // 2
    if not half:
        return None
    return [Unit(unit.rows[:half], unit.prefix)], [Unit(unit.rows[half:], unit.prefix)]


def _batches(
    units: Sequence[Unit],
    prompts: Sequence[Sequence[int]],
    reply: int,
    batch_tokens: int | None,
) -> Iterator[list[Unit]]:
    """Units of one kind and similar length, longest first, so that a lack of memory shows at once.

    A batch holds at most `batch_tokens` cache positions, `reply` for each row's reply.
    """

    def length(unit: Unit) -> int:
        return max(len(prompts[i]) for i in unit.rows) + reply

    ordered = sorted(units, key=lambda unit: (not unit.prefix, -length(unit), unit.rows))
    batch: list[Unit] = []
    for unit in ordered:
        rows = sum(len(u.rows) for u in [*batch, unit])
        longest = max(length(u) for u in [*batch, unit])
        full = batch_tokens is not None and rows * longest > batch_tokens
        if batch and (full or bool(batch[0].prefix) != bool(unit.prefix)):
            yield batch
            batch = []
        batch.append(unit)
    if batch:
        yield batch
