"""Round ticks of an axis, and how the series of a chart are told apart without colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from baselines.tables.drawing import Points

# Okabe and Ito's colours for all kinds of colour vision, without those that vanish on white or
# black, and two more.
_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#7a5fb8",
)  # fmt: skip
_DASHES: tuple[tuple[float, ...], ...] = ((), (7.0, 3.0), (2.0, 2.5), (9.0, 3.0, 2.0, 3.0))
_MARKERS = ("circle", "square", "triangle", "diamond", "wedge")
_CORNERS = {"circle": (12, 0.0), "square": (4, 45.0), "diamond": (4, 0.0), "triangle": (3, 30.0),
            "wedge": (3, -30.0)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Style:
    """What a series looks like: twenty differ without their colours."""

    colour: str
    dash: tuple[float, ...]
    marker: str
    hatch: int


def style(number: int) -> Style:
    """The look of series `number`, the same in every chart."""
    return Style(
        _COLOURS[number % len(_COLOURS)],
        _DASHES[number % 4],
        _MARKERS[number // 4 % 5],
        number % 6,
    )


def marker(kind: str, x: float, y: float, radius: float = 3.5) -> Points:
    """The corners of a marker."""
    corners, turn = _CORNERS[kind]
    angles = [math.radians(turn + 360 * n / corners) for n in range(corners)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def hatching(kind: int, left: float, top: float, width: float, height: float) -> list[Points]:
    """The lines of pattern `kind` inside a rectangle; none for 0."""
    right, bottom = left + width, top + height
    lines: list[Points] = []
    if kind in (1, 4, 5):  # falling, from the upper left
        lines += _diagonals(left, top, right, bottom, falling=True)
    if kind in (2, 5):
        lines += _diagonals(left, top, right, bottom, falling=False)
    if kind == 3:
        rows = range(1, math.ceil(height / 4))
        lines += [((left, bottom - 4 * n), (right, bottom - 4 * n)) for n in rows]
    return lines[::2] if kind == 4 else lines


def _diagonals(
    left: float, top: float, right: float, bottom: float, *, falling: bool
) -> list[Points]:
    lines: list[Points] = []
    width, height = right - left, bottom - top
    for n in range(1, math.ceil((width + height) / 4)):
        at = 4.0 * n  # of the line through (left + at, top), at 45 degrees
        first, last = max(0.0, at - height), min(width, at)
        ends = [(left + x, top + at - x) for x in (first, last)]
        lines.append(ends if not falling else [(x, top + bottom - y) for x, y in ends])
    return lines


def ticks(low: float, high: float, most: int = 6, *, whole: bool = False) -> list[float]:
    """Round numbers from `low` to `high`, both inside what they span.

    Args:
        low: the least value.
        high: the largest.
        most: about how many.
        whole: no fractions.
    """
    step = _step((high - low) / max(1, most - 1), whole)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 10) for n in range(first, max(last, first + 1) + 1)]


def labels(values: Sequence[float]) -> list[str]:
    """The ticks with as many decimals as they need."""
    decimals = next(
        (n for n in range(10) if all(math.isclose(v, round(v, n), abs_tol=1e-12) for v in values)),
        10,
    )
    return [f"{value:.{decimals}f}" for value in values]


def every(count: int, widest: float, room: float) -> int:
    """Each how-manieth of `count` labels in a row is written: 1, 2, 5, 10, 20 and so on."""
    least = count * widest / max(room, 1.0)
    return 1 if least <= 1 else round(_step(least, True))


def _step(least: float, whole: bool) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is at least `least`."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))
    return max(1.0, step) if whole else step
