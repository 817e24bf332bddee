"""Curves of runs as an SVG, without a plotting library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from finemem_env.errors import ConfigError

__all__ = ["read_curve", "render_svg"]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 400, 60, 190, 30, 40
COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8a5fb0", "#c77d0a", "#4a4a4a")
Curve = list[tuple[int, float]]


def read_curve(run: Path, key: str) -> Curve:
    """(update, value) of one metric of a run.

    Raises:
        ConfigError: no such run, or it never logged that key.
    """
    path = run / "metrics.jsonl"
    if not path.is_file():
        raise ConfigError(f"{run}: expected the folder of a run, with a metrics.jsonl.")
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [(record["update"], float(record[key])) for record in records if key in record]
    if not found:
        raise ConfigError(f"{run}: it did not log {key!r}; see docs/training-metrics.md.")
    return found


def render_svg(curves: Mapping[str, Curve], title: str) -> str:
    """A line chart with one line and one legend entry per curve."""
    points = [point for curve in curves.values() for point in curve]
    right = max((x for x, _ in points), default=1) or 1
    low = min((y for _, y in points), default=0.0)
    high = max((y for _, y in points), default=1.0)
    high = high if high > low else low + 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * x / right,
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - low) / (high - low),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="18">{escape(title)} by update</text>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + share * (high - low)
        _, y = place(0, value)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>'
        )
        x, _ = place(share * right, low)
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
            f"{share * right:.0f}</text>"
        )
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in curve)
        y = TOP + 16 * number + 8
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
            f'<text x="{WIDTH - RIGHT + 10}" y="{y}" fill="{colour}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"
