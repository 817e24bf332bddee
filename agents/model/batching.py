"""Rows of an update, cut into micro-batches under a token budget.

A row is one step of one rollout: its own prompt and completion. Micro-batches hold rows of similar
length, right-padded, and at most `micro_tokens` tokens with the padding. Rows of one group can
share the computation of their common prefix (`Unit`). Per-token values travel flat: token n of a
micro-batch belongs to row `row[n]`, so no value can land on another row's tokens or on padding.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from finemem_env.backends.local import Unit, find_units
from finemem_env.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Row:
    """One step of one rollout, with the exact token ids that were sampled.

    `weight` is 1, or 0 for a row that only fills up a process: it runs forward and backward, so
    that all processes do the same collectives, and changes nothing. `group` names the rows that
    may share a prompt prefix, e.g. (context, step); None shares nothing.
    """

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    sampler_logprobs: tuple[float, ...] = ()  # (C,) at the sampling temperature, NaN: unknown
    advantage: float = 0.0
    weight: float = 1.0
    group: Hashable | None = None

    def __post_init__(self) -> None:
        """A completion can be scored only after some prompt token."""
        if not self.prompt:
            raise ConfigError("a row needs a prompt of at least one token.")
        if self.sampler_logprobs and len(self.sampler_logprobs) != len(self.completion):
            raise ConfigError(
                f"a row has {len(self.completion)} completion tokens but "
                f"{len(self.sampler_logprobs)} sampler log-probabilities."
            )


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Tensors of one forward pass over B rows of U units, with N completion tokens in all."""

    rows: tuple[int, ...]  # indices into the caller's rows, in the order of the batch
    lengths: tuple[int, ...]  # completion tokens of each row
    input_ids: Tensor  # (B, S) what follows the shared prefix, without the last token
    position_ids: Tensor  # (B, S)
    source: Tensor  # (N,) index into B * S of the output that predicts token n
    targets: Tensor  # (N,) token ids
    row: Tensor  # (N,) index into `rows`
    prefix_ids: Tensor | None = None  # (U, P) shared prefixes, right-padded
    unit: Tensor | None = None  # (B,) the unit of each row
    attention_mask: Tensor | None = None  # (B, P + S) False on the padding of the prefix

    def to(self, device: torch.device | str) -> MicroBatch:
        """The same batch on `device`."""
        moved = replace(self)
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                object.__setattr__(moved, field.name, value.to(device, non_blocking=True))
        return moved


def plan(
    rows: Sequence[Row], micro_tokens: int, *, share: bool = True, minimum: int | None = None
) -> list[tuple[Unit, ...]]:
    """Units of each micro-batch, longest first, so that running out of memory shows at once.

    A micro-batch holds at most `micro_tokens` padded tokens, except that a longer row gets one of
    its own. A unit over the budget is split, each part computing the prefix again. Rows that share
    nothing, whose tails are longer, go into micro-batches of their own.

    Raises:
        ConfigError: for a budget below 1.
    """
    if micro_tokens < 1:
        raise ConfigError(f"micro_tokens: expected at least 1, got {micro_tokens}.")
    groups = [row.group if share else None for row in rows]
    units = find_units([row.prompt for row in rows], groups, minimum)
    parts = [part for unit in units for part in _split(unit, rows, micro_tokens)]
    parts.sort(key=lambda part: (not part.prefix, -_longest(part, rows), -part.prefix, part.rows))
    batches: list[list[Unit]] = []
    for part in parts:
        last = batches[-1] if batches else []
        alike = bool(last) and bool(last[0].prefix) == bool(part.prefix)
        if alike and _padded([*last, part], rows) <= micro_tokens:
            last.append(part)
        else:
            batches.append([part])
    return [tuple(batch) for batch in batches]


def stream_tokens(
    rows: Sequence[Row], micro_tokens: int, streams: int, *, share: bool = True
) -> int:
    """The budget of micro-batches of which `streams` are computed side by side.

    Its part of three quarters of `micro_tokens`, since every thread has a heap of its own; more
    where that would split a unit, whose prefix were computed twice.
    """
    groups = [row.group if share else None for row in rows]
    units = find_units([row.prompt for row in rows], groups)
    sizes = [_padded([unit], rows) for unit in units if unit.prefix]
    whole = max((size for size in sizes if size <= micro_tokens), default=0)
    return max(3 * micro_tokens // (4 * streams), whole, 1)


def collate(rows: Sequence[Row], units: Sequence[Unit], pad_id: int = 0) -> MicroBatch:
    """Tensors of the rows of `units`, which all share a prefix or all share none; on the CPU."""
    indices = [(number, i) for number, unit in enumerate(units) for i in unit.rows]
    starts = [units[number].prefix for number, _ in indices]
    tails = [_tail(rows[i], start) for (_, i), start in zip(indices, starts, strict=True)]
    width = max(len(tail) for tail in tails)
    source: list[int] = []
    targets: list[int] = []
    owner: list[int] = []
    for place, ((_, i), start) in enumerate(zip(indices, starts, strict=True)):
        first = place * width + len(rows[i].prompt) - start - 1
        source.extend(range(first, first + len(rows[i].completion)))
        targets.extend(rows[i].completion)
        owner.extend([place] * len(rows[i].completion))
    batch = MicroBatch(
        rows=tuple(i for _, i in indices),
        lengths=tuple(len(rows[i].completion) for _, i in indices),
        input_ids=_pad(tails, width, pad_id),
        position_ids=torch.tensor(starts)[:, None] + torch.arange(width),
        source=torch.tensor(source, dtype=torch.long),
        targets=torch.tensor(targets, dtype=torch.long),
        row=torch.tensor(owner, dtype=torch.long),
    )
    return _with_prefix(batch, rows, units, pad_id)


def micro_batches(
    rows: Sequence[Row], micro_tokens: int, *, share: bool = True, pad_id: int = 0
) -> Iterator[MicroBatch]:
    """The micro-batches of `plan`, made when asked for."""
    for units in plan(rows, micro_tokens, share=share):
        yield collate(rows, units, pad_id)


def flatten(values: Sequence[Sequence[float]], batch: MicroBatch) -> Tensor:
    """Per-token values of the caller's rows as (N,), in the batch's token order, float32.

    Raises:
        ConfigError: when a row has another number of values than completion tokens.
    """
    flat: list[float] = []
    for index, length in zip(batch.rows, batch.lengths, strict=True):
        if len(values[index]) != length:
            raise ConfigError(
                f"row {index}: expected {length} per-token values, got {len(values[index])}."
            )
        flat.extend(values[index])
    return torch.tensor(flat, dtype=torch.float32, device=batch.targets.device)


def unflatten(flat: Tensor, batch: MicroBatch) -> dict[int, tuple[float, ...]]:
    """The inverse of `flatten`: row index to its per-token values."""
    pieces = torch.split(flat.detach().float().cpu(), list(batch.lengths))
    return {i: tuple(piece.tolist()) for i, piece in zip(batch.rows, pieces, strict=True)}


def _tail(row: Row, start: int) -> tuple[int, ...]:
    """What is fed after the first `start` tokens; the last completion token predicts nothing."""
    return (row.prompt + row.completion[:-1])[start:]


def _longest(unit: Unit, rows: Sequence[Row]) -> int:
    """Tokens of the longest tail of a unit."""
    return max(
        len(rows[i].prompt) + max(len(rows[i].completion) - 1, 0) - unit.prefix for i in unit.rows
    )


def _padded(units: Sequence[Unit], rows: Sequence[Row]) -> int:
    """Tokens of a micro-batch of `units`, padding included."""
    prefix = max(unit.prefix for unit in units) * len(units)
    return prefix + sum(len(u.rows) for u in units) * max(_longest(u, rows) for u in units)


def _split(unit: Unit, rows: Sequence[Row], micro_tokens: int) -> list[Unit]:
    """Halve a unit until its parts fit; a part of one row shares nothing and computes it all."""
    if len(unit.rows) == 1:
        return [Unit(unit.rows, 0)]
    if _padded([unit], rows) <= micro_tokens:
        return [unit]
    by_length = sorted(unit.rows, key=lambda i: (len(rows[i].prompt) + len(rows[i].completion), i))
    half = len(by_length) // 2
    parts = (Unit(tuple(by_length[:half]), unit.prefix), Unit(tuple(by_length[half:]), unit.prefix))
    return [piece for part in parts for piece in _split(part, rows, micro_tokens)]


def _pad(sequences: Sequence[Sequence[int]], width: int, pad_id: int) -> Tensor:
    """Right-padded (len(sequences), width) ids."""
    padded = [[*sequence, *[pad_id] * (width - len(sequence))] for sequence in sequences]
    return torch.tensor(padded, dtype=torch.long)


def _with_prefix(
    batch: MicroBatch, rows: Sequence[Row], units: Sequence[Unit], pad_id: int
) -> MicroBatch:
    """Add the shared prefixes, if the units have any."""
    width = max(unit.prefix for unit in units)
    if not width:
        return batch
    prefixes = [rows[unit.rows[0]].prompt[: unit.prefix] for unit in units]
    owner = torch.tensor([number for number, unit in enumerate(units) for _ in unit.rows])
    lengths = torch.tensor([unit.prefix for unit in units])[owner]
    seen = torch.arange(width) < lengths[:, None]
    return replace(
        batch,
        prefix_ids=_pad(prefixes, width, pad_id),
        unit=owner,
        attention_mask=torch.cat([seen, torch.ones_like(batch.input_ids, dtype=torch.bool)], dim=1),
    )
