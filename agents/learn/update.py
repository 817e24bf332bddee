"""Gradients of one optimizer step over rows, micro-batch by micro-batch.

The trainer owns the optimizer; this owns what lies between rows and `.grad`. The sum over the
micro-batches is the gradient of the whole step, however the rows are cut or spread over processes.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor, nn

from agents.learn.loss import Denominators, LossConfig, LossInputs, policy_loss, token_weights
from agents.learn.stats import LossStats
from agents.model.batching import MicroBatch, Row, collate, flatten, plan, stream_tokens
from agents.model.logprobs import EntropyMode, Scorer, TokenScores
from finemem_env.backends.local import (
    Unit,
    abilities,
    base_causal_lm,
    count_streams,
    side_by_side,
)
from finemem_env.errors import ConfigError, FineMemError

Table = Sequence[Sequence[float]]  # per row, one value per completion token
_LossOf = Callable[[MicroBatch, float], tuple[Tensor, LossStats]]  # of rows times a weight


class TrainingError(FineMemError):
    """Training cannot go on: a loss or gradient that is not finite."""


def count_batches(rows: Sequence[Row], micro_tokens: int, *, share: bool = True) -> int:
    """Micro-batches that `rows` need; the largest count of all processes is what each must run."""
    return len(plan(rows, micro_tokens, share=share))


def accumulate_gradients(
    scorer: nn.Module,
    rows: Sequence[Row],
    config: LossConfig,
    counts: Denominators,
    *,
    micro_tokens: int,
    old: Table | None = None,
    reference: Table | None = None,
    share: bool = True,
    batches: int | None = None,
    backward: Callable[[Tensor], None] = Tensor.backward,
) -> LossStats:
    """Add the gradient of the loss of `rows` to the parameters.

    Args:
        scorer: a `Scorer`, or one wrapped by DDP or FSDP.
        rows: rows of this optimizer step on this process; all with sampler log-probabilities, or
            none.
        config: the loss.
        counts: denominators over all micro-batches and processes.
        micro_tokens: padded tokens of a micro-batch.
        old: log-probabilities before the first optimizer step on these rows; None: the current
            ones, right for one step per rollout batch.
        reference: log-probabilities of the frozen reference.
        share: compute the common prefix of a group once; not with gradient checkpointing.
        batches: micro-batches to run, at least `count_batches(rows)`; the rest are copies of weight
            0, so that every process does the same collectives. None: one process, which may compute
            two smaller micro-batches side by side.
        backward: what runs the backward pass, e.g. `accelerator.backward`; of one at a time.

    Raises:
        ConfigError: without rows, or for rows of which only some have sampler log-probabilities.
    """
    sampler = _sampler(rows)
    device = next(scorer.parameters()).device
    mode: EntropyMode = "gradient" if config.entropy_coef else "value"

    def loss_of(batch: MicroBatch, weight: float) -> tuple[Tensor, LossStats]:
        batch = batch.to(device)
        scores: TokenScores = scorer(batch, mode)
        inputs = replace(
            _inputs(rows, batch, scores, config, counts, weight),
            old=None if old is None else flatten(old, batch),
            sampler=None if sampler is None else flatten(sampler, batch),
            reference=None if reference is None else flatten(reference, batch),
        )
        return policy_loss(inputs, config, counts)

    if not rows:
        raise ConfigError("an optimizer step needs at least one row on every process.")
    alone = batches is None and backward is Tensor.backward
    if isinstance(scorer, Scorer) and alone and (streams := count_streams(scorer)) > 1:
        budget = stream_tokens(rows, micro_tokens, streams, share=share)
        if len(parts := plan(rows, budget, share=share)) > 1:
            return _in_streams(scorer, rows, parts, streams, loss_of)
    cut = plan(rows, micro_tokens, share=share)
    idle = [(cut[-1], 0.0)] * ((batches or 0) - len(cut))
    weighted = [*((units, 1.0) for units in cut), *idle]
    return _in_turn(scorer, rows, weighted, loss_of, backward)


def _in_turn(
    scorer: nn.Module,
    rows: Sequence[Row],
    cut: Sequence[tuple[Sequence[Unit], float]],
    loss_of: _LossOf,
    backward: Callable[[Tensor], None],
) -> LossStats:
    """One micro-batch after the other; processes sum their gradients at the last one."""
    stats: list[LossStats] = []
    for number, (units, weight) in enumerate(cut, 1):
        with _no_sync(scorer) if number < len(cut) else contextlib.nullcontext():
            loss, part = loss_of(collate(rows, units), weight)
            backward(loss)
            stats.append(part)
    return reduce(operator.add, stats)


def _in_streams(
    scorer: Scorer,
    rows: Sequence[Row],
    cut: Sequence[Sequence[Unit]],
    streams: int,
    loss_of: _LossOf,
) -> LossStats:
    """Every stream sums its own gradients, so that the order of the sums is always the same."""
    abilities(base_causal_lm(scorer.model))  # tried now, not by one stream while another computes
    weights = [weight for weight in scorer.parameters() if weight.requires_grad]

    def stream(number: int) -> tuple[list[Tensor | None], list[LossStats]]:
        total: list[Tensor | None] = [None] * len(weights)
        stats: list[LossStats] = []
        for units in cut[number::streams]:
            loss, part = loss_of(collate(rows, units), 1.0)
            stats.append(part)
            total = _add(total, torch.autograd.grad(loss, weights, allow_unused=True))
        return total, stats

    done = side_by_side([partial(stream, number) for number in range(streams)])
    for gradients, _ in done:
        for weight, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                weight.grad = (
                    _laid_out(gradient, weight)
                    if weight.grad is None
                    else weight.grad.add_(gradient)
                )
    return reduce(operator.add, [part for _, stats in done for part in stats])


def _laid_out(gradient: Tensor, weight: Tensor) -> Tensor:
    """The gradient in memory as its weight is, as `backward` leaves it.

    The fused optimizer of the CPU takes both number by number, in the order of the memory.
    """
    if gradient.stride() == weight.stride():
        return gradient
    return torch.empty_like(weight).copy_(gradient)


def _add(total: list[Tensor | None], more: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Gradients summed in place, None where there are none."""
    return [
        new if old is None else old if new is None else old.add_(new)
        for old, new in zip(total, more, strict=True)
    ]


def _inputs(
    rows: Sequence[Row],
    batch: MicroBatch,
    scores: TokenScores,
    config: LossConfig,
    counts: Denominators,
    weight: float,
) -> LossInputs:
    """Every row's advantage and weight on its own tokens."""

    def spread(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=batch.row.device)[batch.row]

    chosen = [rows[i] for i in batch.rows]
    lengths = spread([float(n) for n in batch.lengths])
    row_weights = spread([row.weight * weight for row in chosen])
    return LossInputs(
        logprobs=scores.logprobs,
        advantages=spread([row.advantage for row in chosen]),
        weights=token_weights(config.loss_type, lengths, row_weights, counts),
        entropy=scores.entropy,
    )


def _sampler(rows: Sequence[Row]) -> Table | None:
    """The sampler's log-probabilities of all rows, None when no row has any."""
    known = [bool(row.sampler_logprobs) or not row.completion for row in rows]
    if all(known):
        return [row.sampler_logprobs for row in rows]
    if any(row.sampler_logprobs for row in rows):
        raise ConfigError("some rows have sampler log-probabilities and some have none.")
    return None


def _no_sync(scorer: nn.Module) -> contextlib.AbstractContextManager[Any]:
    """DDP's `no_sync`, where there is one: gradients are averaged once per optimizer step."""
    hook: Callable[[], contextlib.AbstractContextManager[Any]] | None = getattr(
        scorer, "no_sync", None
    )
    return contextlib.nullcontext() if hook is None else hook()
