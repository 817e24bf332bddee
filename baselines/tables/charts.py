"""The charts of a report, of training curves and of TensorBoard: the one definition of each.

Every function returns a `Drawing`, which writes itself as SVG or PNG. Intervals are whiskers on
bars and points, and bands around curves. Series differ by dash, marker and hatching too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from baselines.tables.drawing import INK, Drawing, Label, Stroke, box
from baselines.tables.intervals import Estimate
from baselines.tables.scales import every, hatching, labels, marker, style, ticks
from finemem_env.console import visible

_WIDTH, _HEIGHT = 900, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 200, 24, 48
_CHAR = 6.5  # units of a character, about
_MARKED = 24  # most markers of a line
_CELL, _ROW = 26, 22  # of a grid
Shapes = list[Stroke | Label]
Line = Sequence[tuple[float, Estimate]]  # (place on the sheet, value)


def line_chart(
    series: Mapping[str, Sequence[Estimate | None]],
    groups: Sequence[str],
    x: str,
    y: str,
    *,
    from_zero: bool = True,
) -> Drawing:
    """One line per series over the categories `groups`; None leaves a gap."""
    places = _places(groups)
    lines = {
        name: [(at, mean) for at, mean in zip(places, line, strict=True) if mean is not None]
        for name, line in series.items()
    }
    axis = _Axis.of([mean for line in lines.values() for _, mean in line], from_zero)
    shapes = [*axis.frame(y), *_categories(places, groups, x)]
    for number, (name, line) in enumerate(lines.items()):
        shapes += [part for at, mean in line for part in _whisker(axis, at, mean, number)]
        shapes += _line(axis, line, number, name)
    return _sheet(shapes + _legend(list(series)))


def curve_chart(
    series: Mapping[str, Sequence[tuple[float, Estimate]]],
    x: str,
    y: str,
    *,
    from_zero: bool = True,
) -> Drawing:
    """One line of (x, value) points per series, with x from 0 to the largest."""
    right = max((at for line in series.values() for at, _ in line), default=0.0) or 1.0
    width = (_WIDTH - _LEFT - _RIGHT) / right
    at = [tick for tick in ticks(0, right, 8, whole=right >= 8) if tick <= right]
    lines = {name: [(_LEFT + width * x, mean) for x, mean in line] for name, line in series.items()}
    axis = _Axis.of(_near([mean for line in lines.values() for _, mean in line]), from_zero)
    shapes = axis.frame(y)
    shapes += _categories([_LEFT + width * tick for tick in at], labels(at), x)
    for number, line in enumerate(lines.values()):
        shapes += _band(axis, line, number)
    for number, (name, line) in enumerate(lines.items()):
        shapes += _line(axis, line, number, name)
    return _sheet(shapes + _legend(list(series)))


def bar_chart(
    series: Mapping[str, Sequence[Estimate | None]], groups: Sequence[str], y: str
) -> Drawing:
    """One bar per series in every group; None leaves it out."""
    axis = _Axis.of([mean for line in series.values() for mean in line if mean is not None])
    places = _places(groups)
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(groups))
    bar = step * 0.86 / max(1, len(series))
    shapes = axis.frame(y) + _categories(places, groups, "")
    for number, (name, line) in enumerate(series.items()):
        for place, mean in zip(places, line, strict=True):
            if mean is not None:
                left = place - step * 0.43 + (number + 0.04) * bar
                shapes += _bar(axis, left, bar * 0.92, mean, number, name)
    return _sheet(shapes + _legend(list(series), hatched=True))


def interval_chart(rows: Mapping[str, Estimate | None], x: str) -> Drawing:
    """A row with a point and its interval for every name: a table to be seen at a glance."""
    known = [mean for mean in rows.values() if mean is not None]
    at = ticks(min(0.0, *_ends(known)), max(*_ends(known), 0.1))
    left, right, top, gap = 180, _WIDTH - 150, 16, 22
    bottom = top + gap * len(rows)
    width = (right - left) / (at[-1] - at[0])
    shapes: Shapes = []
    for tick, text in zip(at, labels(at), strict=True):
        place = left + width * (tick - at[0])
        shapes.append(Stroke(((place, top), (place, bottom)), INK, opacity=0.15))
        shapes.append(Label(place, bottom + 18, text, "middle"))
    shapes.append(Label((left + right) / 2, bottom + 38, x, "middle"))
    for number, (name, mean) in enumerate(rows.items()):
        middle = top + gap * (number + 0.5)
        shapes.append(Label(left - 10, middle + 4, _short(name), "end"))
        if mean is None:
            continue
        place, look = left + width * (mean.value - at[0]), style(number)
        if mean.low is not None and mean.high is not None:
            ends = [left + width * (end - at[0]) for end in (mean.low, mean.high)]
            shapes.append(Stroke([(end, middle) for end in ends], look.colour, width=2))
        dot = marker(look.marker, place, middle, 4.5)
        title = f"{name}: {mean}"
        shapes.append(Stroke(dot, fill=look.colour, closed=True, title=title))
        shapes.append(Label(right + 10, middle + 4, str(mean)))
    return Drawing(_WIDTH, bottom + 48, tuple(shapes))


@dataclass(frozen=True, slots=True)
class GridRow:
    """A row of a grid: a value for some columns, frames around some, a cross over one."""

    label: str
    values: Mapping[int, float]
    framed: frozenset[int] = field(default_factory=frozenset)
    crossed: int | None = None


def grid_chart(rows: Sequence[GridRow], columns: int, x: str, title: str) -> Drawing:
    """Cells as dark as their values, the largest darkest."""
    left, top = 260, 34
    darkest = max((value for row in rows for value in row.values.values()), default=0.0) or 1.0
    bottom = top + _ROW * len(rows)
    shapes: Shapes = [Label(8, 18, title)]
    for number, row in enumerate(rows):
        high = top + _ROW * number
        shapes.append(Label(8, high + 15, visible(row.label, 38)))
        for column in range(columns):
            shapes += _grid_cell(row, column, left + _CELL * column, high, darkest)
    step = every(columns, _CHAR * len(str(columns)) + 6, _CELL * columns)
    for column in range(0, columns, step):
        shapes.append(Label(left + _CELL * (column + 0.5), bottom + 16, str(column), "middle"))
    shapes.append(Label(left, bottom + 34, x))
    return Drawing(max(left + _CELL * columns + 20, 480), bottom + 44, tuple(shapes))


def _grid_cell(row: GridRow, column: int, left: float, top: float, darkest: float) -> Shapes:
    corners = box(left + 1, top + 1, _CELL - 2, _ROW - 2)
    shapes: Shapes = [Stroke(corners, fill=INK, opacity=0.06, closed=True)]
    value = row.values.get(column, 0.0)
    if value > 0:
        shade = 0.15 + 0.85 * value / darkest
        title = f"{row.label}, {column}: {value:.3f}"
        shapes.append(Stroke(corners, fill="#0060c0", opacity=shade, closed=True, title=title))
    if column in row.framed:
        frame = box(left + 2, top + 2, _CELL - 4, _ROW - 4)
        shapes.append(Stroke(frame, INK, width=1.5, closed=True))
    if column == row.crossed:
        near, far = (left + 7, top + 5), (left + _CELL - 7, top + _ROW - 5)
        shapes.append(Stroke((near, far), "#d55e00", width=2))
        shapes.append(Stroke(((near[0], far[1]), (far[0], near[1])), "#d55e00", width=2))
    return shapes


@dataclass(frozen=True, slots=True)
class _Axis:
    """The vertical one: its round ticks, from the lowest value to the highest."""

    ticks: Sequence[float]

    @classmethod
    def of(cls, values: Sequence[Estimate], from_zero: bool = True) -> _Axis:
        ends = _ends(values)
        low, high = min(ends), max(ends)
        if from_zero:
            low, high = min(0.0, low), max(0.1, high)
        elif low == high:
            low, high = low - 0.5, high + 0.5
        return cls(ticks(low, high))

    def height(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (value - low) / (high - low))

    def frame(self, title: str) -> Shapes:
        shapes: Shapes = [Label(_LEFT, _TOP - 10, title)]
        for tick, text in zip(self.ticks, labels(self.ticks), strict=True):
            place = self.height(tick)
            ends = ((_LEFT, place), (_WIDTH - _RIGHT, place))
            shapes.append(Stroke(ends, INK, opacity=0.15))
            shapes.append(Label(_LEFT - 8, place + 4, text, "end"))
        return shapes


def _ends(values: Sequence[Estimate]) -> list[float]:
    """Every value and every bound; a lone 0 where there are none."""
    ends = [end for mean in values for end in (mean.value, mean.low, mean.high) if end is not None]
    return ends or [0.0]


def _line(axis: _Axis, line: Line, number: int, name: str) -> Shapes:
    look = style(number)
    points = [(place, axis.height(mean.value)) for place, mean in line]
    shapes: Shapes = [Stroke(points, look.colour, width=2, dash=look.dash, title=name)]
    spacing = -(-len(line) // _MARKED) or 1
    for (x, y), (_, mean) in list(zip(points, line, strict=True))[::spacing]:
        dot = marker(look.marker, x, y)
        title = f"{name}: {mean}"
        shapes.append(Stroke(dot, fill=look.colour, closed=True, title=title))
    return shapes


def _near(values: Sequence[Estimate]) -> list[Estimate]:
    """Values whose intervals reach no further than the values are apart: few runs say little."""
    means = [mean.value for mean in values]
    reach = max(means, default=0.0) - min(means, default=0.0) or math.inf
    return [
        Estimate(mean.value, max(mean.low, min(means) - reach), min(mean.high, max(means) + reach))
        if mean.low is not None and mean.high is not None
        else mean
        for mean in values
    ]


def _band(axis: _Axis, line: Line, number: int) -> Shapes:
    """The intervals of a curve as a surface, where there are any; cut at the edge of the plot."""

    def height(value: float) -> float:
        return min(_HEIGHT - _BOTTOM, max(_TOP, axis.height(value)))

    upper = [(x, height(mean.high)) for x, mean in line if mean.high is not None]
    lower = [(x, height(mean.low)) for x, mean in line if mean.low is not None]
    if len(upper) < 2:
        return []
    around = [*upper, *reversed(lower)]
    return [Stroke(around, fill=style(number).colour, opacity=0.18, closed=True)]


def _whisker(axis: _Axis, x: float, mean: Estimate, number: int, colour: str = "") -> Shapes:
    if mean.low is None or mean.high is None:
        return []
    low, high = axis.height(mean.low), axis.height(mean.high)
    colour = colour or style(number).colour
    ends = [((x - 2.5, y), (x + 2.5, y)) for y in (low, high)]
    return [Stroke(part, colour, width=1.2) for part in (((x, low), (x, high)), *ends)]


def _bar(axis: _Axis, left: float, width: float, mean: Estimate, number: int, name: str) -> Shapes:
    look = style(number)
    top, bottom = axis.height(max(mean.value, 0.0)), axis.height(min(mean.value, 0.0))
    sizes = left, top, width, max(0.5, bottom - top)
    shade = 0.85 if look.hatch == 0 else 0.3
    title = f"{name}: {mean}"
    return [
        Stroke(box(*sizes), fill=look.colour, opacity=shade, closed=True, title=title),
        *(Stroke(line, look.colour) for line in hatching(look.hatch, *sizes)),
        Stroke(box(*sizes), look.colour, closed=True),
        *_whisker(axis, left + width / 2, mean, number, INK),
    ]


def _places(groups: Sequence[str]) -> list[float]:
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(groups))
    return [_LEFT + step * (i + 0.5) for i in range(len(groups))]


def _categories(places: Sequence[float], texts: Sequence[str], title: str) -> Shapes:
    room = _WIDTH - _LEFT - _RIGHT
    widest = max(map(len, texts), default=0) * _CHAR + 8
    base = _HEIGHT - _BOTTOM
    shapes: Shapes = [
        Label(place, base + 18, visible(text), "middle")
        for place, text in list(zip(places, texts, strict=True))[:: every(len(texts), widest, room)]
    ]
    return [*shapes, Label(_LEFT + room / 2, base + 38, title, "middle")]


def _legend(names: Sequence[str], *, hatched: bool = False) -> Shapes:
    shapes: Shapes = []
    gap = min(20.0, (_HEIGHT - _TOP) / max(1, len(names)))
    for number, name in enumerate(names):
        left, middle, look = _WIDTH - _RIGHT + 12, _TOP + number * gap + 6, style(number)
        if hatched:
            sizes = left + 4, middle - 6, 18.0, 12.0
            shade = 0.85 if look.hatch == 0 else 0.3
            shapes.append(Stroke(box(*sizes), fill=look.colour, opacity=shade, closed=True))
            shapes += [Stroke(line, look.colour) for line in hatching(look.hatch, *sizes)]
            shapes.append(Stroke(box(*sizes), look.colour, closed=True))
        else:
            ends = ((left, middle), (left + 26, middle))
            shapes.append(Stroke(ends, look.colour, width=2, dash=look.dash))
            dot = marker(look.marker, left + 13, middle)
            shapes.append(Stroke(dot, fill=look.colour, closed=True))
        shapes.append(Label(left + 32, middle + 4, _short(name)))
    return shapes


def _short(name: str) -> str:
    return visible(name, 24)


def _sheet(shapes: Shapes) -> Drawing:
    return Drawing(_WIDTH, _HEIGHT, tuple(shapes))
