"""Which rows can share the computation of a common prompt prefix.

The G rollouts of one context see the same instructions and the same chunk at a step, and differ in
the memory that follows. Sampling and update compute that prefix once per group (`Unit`) and let
every row of the group attend to its keys and values.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

MIN_SHARED = 16  # tokens below which a second forward pass costs more than it saves


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows that share the first `prefix` tokens of their prompts; 0: a row that shares nothing."""

    rows: tuple[int, ...]
    prefix: int


def find_units(
    prompts: Sequence[Sequence[int]],
    groups: Sequence[Hashable | None],
    minimum: int | None = None,
) -> list[Unit]:
    """Rows of equal group put together where they share at least `minimum` tokens.

    The last prompt token is never shared, since its output predicts the row's first completion
    token. A group of None, a group of one row, or a short common prefix gives units of one row.
    """
    least = MIN_SHARED if minimum is None else max(minimum, 1)
    members: dict[Hashable, list[int]] = {}
    units: list[Unit] = []
    for index, group in enumerate(groups):
        if group is None:
            units.append(Unit((index,), 0))
        else:
            members.setdefault(group, []).append(index)
    for rows in members.values():
        prefix = _common([prompts[i] for i in rows])
        if len(rows) > 1 and prefix >= least:
            units.append(Unit(tuple(rows), prefix))
        else:
            units.extend(Unit((i,), 0) for i in rows)
    return units


def _common(prompts: Sequence[Sequence[int]]) -> int:
    """Length of the common prefix of all prompts, at most one less than the shortest."""
    low, high = min(prompts, key=list), max(prompts, key=list)  # the two that differ first
    limit = min(len(prompt) for prompt in prompts) - 1
    same = (i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b)
    return min(next(same, limit), limit)
