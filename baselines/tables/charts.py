"""Line and bar charts as SVG text, for a page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

_COLOURS = (
    "#1f6fb4", "#d9541e", "#2a9d5c", "#8a4fbf", "#c2a100", "#d63a7a", "#16a0a8", "#7a5230",
    "#6b7785", "#9bbf2e", "#3848b8", "#e08a00", "#a02020", "#4a7a4a", "#b48ad0", "#111111",
)  # fmt: skip
_WIDTH, _HEIGHT = 900, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 200, 24, 48
_TICKS = 5


def colour(number: int) -> str:
    """The colour of series `number`, the same in every chart."""
    return _COLOURS[number % len(_COLOURS)]


def line_chart(
    series: Mapping[str, Sequence[float | None]],
    labels: Sequence[str],
    x: str,
    y: str,
    *,
    from_zero: bool = True,
) -> str:
    """One line per series over the categories `labels`; None leaves a gap."""
    step = (_WIDTH - _LEFT - _RIGHT) / len(labels)
    places = [_LEFT + step * (i + 0.5) for i in range(len(labels))]
    lines = {
        name: [(at, value) for at, value in zip(places, line, strict=True) if value is not None]
        for name, line in series.items()
    }
    return _lines(lines, _categories(places, labels, x), y, from_zero)


def curve_chart(
    series: Mapping[str, Sequence[tuple[float, float]]], x: str, y: str, *, from_zero: bool = True
) -> str:
    """One line of (x, y) points per series, with x from 0 to the largest."""
    right = max((at for line in series.values() for at, _ in line), default=0.0) or 1.0
    width = (_WIDTH - _LEFT - _RIGHT) / right
    ticks = [right * i / _TICKS for i in range(_TICKS + 1)]
    places = [_LEFT + width * tick for tick in ticks]
    lines = {name: [(_LEFT + width * at, v) for at, v in line] for name, line in series.items()}
    return _lines(lines, _categories(places, [f"{tick:g}" for tick in ticks], x), y, from_zero)


def _lines(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    axis: Sequence[str],
    y: str,
    from_zero: bool,
) -> str:
    """Lines whose points are (place on the sheet, value)."""
    low, high = _range([value for line in lines.values() for _, value in line], from_zero)
    parts = [*_frame(low, high, y), *axis]
    for number, (name, line) in enumerate(lines.items()):
        dash = ' stroke-dasharray="6 3"' if number >= 8 else ""
        points = [(place, _height(value, low, high)) for place, value in line]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(
            f'<polyline fill="none" stroke="{colour(number)}" stroke-width="2"{dash} '
            f'points="{path}"><title>{escape(name)}</title></polyline>'
        )
        parts += [
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour(number)}"/>' for a, b in points
        ]
    return _svg(parts + _legend(list(lines)))


def bar_chart(series: Mapping[str, Sequence[float | None]], groups: Sequence[str], y: str) -> str:
    """One bar per series in every group; None leaves it out."""
    low, high = _range([value for line in series.values() for value in line if value is not None])
    plot_width = _WIDTH - _LEFT - _RIGHT
    step = plot_width / len(groups)
    bar = step * 0.86 / max(1, len(series))
    places = [_LEFT + step * (i + 0.5) for i in range(len(groups))]
    parts = _frame(low, high, y) + _categories(places, groups, "")
    for number, (name, line) in enumerate(series.items()):
        for place, value in zip(places, line, strict=True):
            if value is None:
                continue
            left = place - step * 0.43 + number * bar
            top, bottom = _height(max(value, 0.0), low, high), _height(min(value, 0.0), low, high)
            parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{bar * 0.92:.1f}" '
                f'height="{max(0.5, bottom - top):.1f}" fill="{colour(number)}">'
                f"<title>{escape(name)}: {value:.3f}</title></rect>"
            )
    return _svg(parts + _legend(list(series)))


def _range(values: Sequence[float], from_zero: bool = True) -> tuple[float, float]:
    if not from_zero and values:
        margin = 0.1 * (max(values) - min(values)) or 0.5
        return min(values) - margin, max(values) + margin
    low, high = min([0.0, *values]), max([0.0, *values])
    if high <= 1.0 and low >= 0.0:
        return 0.0, 1.0 if high > 0.5 else max(0.1, round(high * 1.2, 1))
    return low, high + 0.05 * (high - low) or 1.0


def _height(value: float, low: float, high: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (value - low) / (high - low))


def _frame(low: float, high: float, title: str) -> list[str]:
    parts = []
    for i in range(_TICKS + 1):
        value = low + (high - low) * i / _TICKS
        place = _height(value, low, high)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{place:.1f}" y2="{place:.1f}" '
            f'stroke="#dddddd"/><text x="{_LEFT - 8}" y="{place + 4:.1f}" '
            f'text-anchor="end">{value:.2f}</text>'
        )
    parts.append(f'<text x="{_LEFT}" y="{_TOP - 10}">{escape(title)}</text>')
    return parts


def _categories(places: Sequence[float], labels: Sequence[str], title: str) -> list[str]:
    every = max(1, len(labels) // 20)
    base = _HEIGHT - _BOTTOM
    parts = [
        f'<text x="{place:.1f}" y="{base + 18}" text-anchor="middle">{escape(label)}</text>'
        for place, label in list(zip(places, labels, strict=True))[::every]
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return [
        *parts,
        f'<text x="{middle:.1f}" y="{base + 38}" text-anchor="middle">{escape(title)}</text>',
    ]


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    gap = min(20.0, (_HEIGHT - _TOP) / max(1, len(names)))
    for number, name in enumerate(names):
        top = _TOP + number * gap
        left = _WIDTH - _RIGHT + 16
        short = name if len(name) <= 24 else name[:23] + "…"
        parts.append(
            f'<rect x="{left}" y="{top:.1f}" width="12" height="12" fill="{colour(number)}"/>'
            f'<text x="{left + 18}" y="{top + 10:.1f}">{escape(short)}</text>'
        )
    return parts


def _svg(parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12" role="img">' + "".join(parts) + "</svg>"
    )
