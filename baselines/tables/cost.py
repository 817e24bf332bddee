"""What models cost, as columns of every table in which one takes part. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

from baselines.tables.results import Result
from finemem_env.backends.usage import MANAGER
from finemem_env.cli.tables import number, text_table

HEADINGS = (
    "calls", "prompt", "reply", "model s", "calls/1k", "prompt/1k", "reply/1k", "s/1k",
)  # fmt: skip
_DECIMALS = (1, 0, 0, 2, 2, 0, 0, 3)
Cells = tuple[list[str], list[list[str]]]  # headings and rows


@dataclass(frozen=True, slots=True)
class Cost:
    """Means of one episode: calls, tokens of prompts and replies, seconds waited for the model.

    The fields `_1k` are per thousand tokens of the text that was read, None where its length is
    not known. `seconds` are None where they were not measured.
    """

    calls: float
    prompt_tokens: float
    reply_tokens: float
    seconds: float | None
    calls_1k: float | None
    prompt_tokens_1k: float | None
    reply_tokens_1k: float | None
    seconds_1k: float | None

    def cells(self) -> list[str]:
        """As they stand under `HEADINGS`."""
        values = [getattr(self, field.name) for field in fields(self)]
        return [number(value, digits) for value, digits in zip(values, _DECIMALS, strict=True)]


_NAMES = ("calls", "prompt_tokens", "reply_tokens", "seconds")


def costs(results: Sequence[Result]) -> dict[str, Cost]:
    """What each role cost over the episodes of one agent, only of roles that called a model."""
    roles = dict.fromkeys(role for result in results for role in result.usage)
    return {
        role: cost_of(
            [result.usage.get(role, {}) for result in results],
            [result.input_tokens for result in results],
        )
        for role in roles
    }


def cost_of(spent: Sequence[Mapping[str, float | None]], read: Sequence[int | None]) -> Cost:
    """The means over episodes.

    Args:
        spent: by episode, as in `Result.usage`; a role that was not called spent nothing.
        read: tokens of the text, by episode.
    """
    sums = [_sum([usage.get(name, 0.0) for usage in spent]) for name in _NAMES]
    thousands = math.fsum(tokens or 0 for tokens in read) / 1000 if None not in read else 0.0
    shares = [None if total is None else total / len(spent) for total in sums]
    per_read = [None if total is None or not thousands else total / thousands for total in sums]
    return Cost(*shares, *per_read)  # type: ignore[arg-type]


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if len(known) == len(values) else None


def cost_cells(spent: Sequence[Cost | None]) -> Cells:
    """Headings and the cells of every row; no columns where there is no cost at all."""
    if not any(spent):
        return [], [[] for _ in spent]
    none = ["-"] * len(HEADINGS)
    return list(HEADINGS), [none if cost is None else cost.cells() for cost in spent]


class _Costed(Protocol):
    @property
    def agent(self) -> str: ...

    @property
    def costs(self) -> Mapping[str, Cost]: ...


def cost_columns(rows: Sequence[_Costed]) -> Cells:
    """Headings and the cells of every row: what the agents' own models cost.

    No columns where no agent called one; "-" for an agent that did not.
    """
    return cost_cells([row.costs.get(MANAGER) for row in rows])


def beside_cells(rows: Sequence[_Costed]) -> Cells:
    """Headings and rows of what other models than the agents' cost, by agent."""
    cells = [
        [row.agent, role, *cost.cells()]
        for row in rows
        for role, cost in row.costs.items()
        if role != MANAGER
    ]
    return ["agent", "model as", *HEADINGS], cells


def beside(rows: Sequence[_Costed]) -> str:
    """`beside_cells` below another table; "" where there is no such model."""
    heading, cells = beside_cells(rows)
    return f"\n\n{text_table(heading, cells)}" if cells else ""
