"""The picture of `benchmarks.structure`: rooms on floors, every room above all that it imports."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import networkx as nx

WIDTH, FLOOR, BOX, GAP = 1180, 64, 26, 10
CHARACTER = 7.0  # width of one at the size used
COLOURS = {
    "agents": "#f2d5c4",
    "baselines": "#d9e4c7",
    "envs": "#f5e6b3",
    "finemem_env": "#cfdfee",
}


def draw(rooms: nx.DiGraph) -> str:
    """An SVG: what imports nothing stands on the lowest floor; implied arrows are left out."""
    floors = list(reversed(list(_floors(rooms))))
    places = {}
    for level, names in enumerate(floors):
        for name, x, width in _row(sorted(names)):
            places[name] = (x, 40 + level * FLOOR, width)
    height = 40 + len(floors) * FLOOR + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        "<style>text{fill:#222}.a{fill:none;stroke:#888;stroke-opacity:.55}"
        "@media(prefers-color-scheme:dark){.k{fill:#ddd}}</style>",
        *_key(),
    ]
    condensed = nx.transitive_reduction(rooms) if nx.is_directed_acyclic_graph(rooms) else rooms
    lines += [_arrow(places[a], places[b]) for a, b in sorted(condensed.edges)]
    lines += [_box(name, *place) for name, place in sorted(places.items())]
    return "\n".join([*lines, "</svg>", ""])


def _floors(rooms: nx.DiGraph) -> Iterable[list[str]]:
    """Rooms by the length of their longest chain of imports, circles taken as one."""
    whole = nx.condensation(rooms)
    for generation in nx.topological_generations(whole.reverse()):
        yield [name for node in generation for name in whole.nodes[node]["members"]]


def _row(names: list[str]) -> Iterable[tuple[str, float, float]]:
    """Name, left edge and width of the boxes of a floor, spread over the sheet."""
    widths = [len(_label(name)) * CHARACTER + 14 for name in names]
    gap = max(GAP, (WIDTH - sum(widths)) / (len(names) + 1))
    x = gap
    for name, width in zip(names, widths, strict=True):
        yield name, x, width
        x += width + gap


def _label(name: str) -> str:
    package, _, rest = name.partition(".")
    return rest or package


def _box(name: str, x: float, y: float, width: float) -> str:
    colour = COLOURS[name.partition(".")[0]]
    return (
        f'<g><title>{escape(name)}</title><rect x="{x:.0f}" y="{y}" width="{width:.0f}" '
        f'height="{BOX}" rx="4" fill="{colour}" stroke="#666"/>'
        f'<text x="{x + width / 2:.0f}" y="{y + 17}" text-anchor="middle">'
        f"{escape(_label(name))}</text></g>"
    )


def _arrow(upper: tuple[float, float, float], lower: tuple[float, float, float]) -> str:
    x1, y1 = upper[0] + upper[2] / 2, upper[1] + BOX
    x2, y2 = lower[0] + lower[2] / 2, lower[1]
    middle = (y1 + y2) / 2
    curve = f"M{x1:.0f} {y1:.0f}C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2:.0f}"
    return f'<path class="a" d="{curve}"/>'


def _key() -> Iterable[str]:
    x = 12
    for name, colour in COLOURS.items():
        yield f'<rect x="{x}" y="8" width="14" height="14" fill="{colour}" stroke="#666"/>'
        yield f'<text class="k" x="{x + 20}" y="20">{name}</text>'
        x += 120
