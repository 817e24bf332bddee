"""Drawings of paths and labels, written as SVG or as PNG: what a chart is made of.

A drawing is defined once; both files show it alike. SVG needs nothing, PNG needs Pillow.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from finemem_env.cli.tables import html
from finemem_env.console import visible
from finemem_env.disk import write_whole
from finemem_env.errors import ConfigError
from finemem_env.extras import needs

if TYPE_CHECKING:
    from PIL.Image import Image

INK = "ink"  # black on white; on a page the colour of its text
_INK = "#1d1f23"
_SCALE = 2  # pixels of a PNG for one unit
_FINER = 2  # drawn larger by this, then made smaller: smooth edges
Points = Sequence[tuple[float, float]]
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line through `points`, or around them where it is `closed`; both colours may be ""."""

    points: Points
    colour: str = ""
    fill: str = ""
    width: float = 1.0
    dash: tuple[float, ...] = ()
    opacity: float = 1.0
    closed: bool = False
    title: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """A text whose baseline is at `y`."""

    x: float
    y: float
    text: str
    anchor: Anchor = "start"


@dataclass(frozen=True, slots=True)
class Drawing:
    """Shapes on a sheet, the last one on top; y grows downwards."""

    width: int
    height: int
    shapes: tuple[Stroke | Label, ...]

    def svg(self) -> str:
        """SVG text: inside a page it takes the page's colour of text."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            'font-family="sans-serif" font-size="12" role="img">'
            f'<rect class="sheet" width="{self.width}" height="{self.height}" fill="#ffffff"/>'
            + "".join(map(_svg, self.shapes))
            + "</svg>"
        )

    def image(self) -> Image:
        """The drawing as pixels, `_SCALE` for one unit.

        Raises:
            ConfigError: Pillow is not installed.
        """
        with needs("a PNG", "plot", "An SVG needs nothing."):
            from PIL import Image, ImageDraw, ImageFont
        scale = _SCALE * _FINER
        sheet = Image.new("RGB", (self.width * scale, self.height * scale), "white")
        pen = ImageDraw.Draw(sheet, "RGBA")
        font = ImageFont.load_default(12.0 * scale)
        for shape in self.shapes:
            if isinstance(shape, Label):
                place = (shape.x * scale, shape.y * scale)
                anchor = {"start": "ls", "middle": "ms", "end": "rs"}[shape.anchor]
                pen.text(place, visible(shape.text), _INK, font, anchor)
            else:
                _paint(pen, shape, scale)
        return sheet.reduce(_FINER)

    def png(self) -> bytes:
        """The bytes of a PNG file; errors as of `image`."""
        out = io.BytesIO()
        self.image().save(out, "PNG", optimize=True)
        return out.getvalue()


def check_ending(path: Path) -> None:
    """Refuse a name whose ending says no format.

    Raises:
        ConfigError: it ends in neither .svg nor .png.
    """
    if path.suffix.casefold() not in (".svg", ".png"):
        raise ConfigError(f"expected a name that ends in .svg or .png, got {path}.")


def save(drawing: Drawing, path: Path) -> None:
    """Write the file in the format of its ending.

    Raises:
        ConfigError: another ending, or a PNG without Pillow.
    """
    check_ending(path)
    png = path.suffix.casefold() == ".png"
    write_whole(path, drawing.png() if png else drawing.svg())


def stacked(drawings: Sequence[Drawing]) -> Drawing:
    """One below the other."""
    shapes: list[Stroke | Label] = []
    top = 0
    for drawing in drawings:
        shapes += [_lowered(shape, top) for shape in drawing.shapes]
        top += drawing.height
    return Drawing(max(drawing.width for drawing in drawings), top, tuple(shapes))


def box(left: float, top: float, width: float, height: float) -> Points:
    """The corners of a rectangle."""
    right, bottom = left + width, top + height
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _lowered(shape: Stroke | Label, by: float) -> Stroke | Label:
    if isinstance(shape, Label):
        return replace(shape, y=shape.y + by)
    return replace(shape, points=[(x, y + by) for x, y in shape.points])


def _svg(shape: Stroke | Label) -> str:
    if isinstance(shape, Label):
        anchor = "" if shape.anchor == "start" else f' text-anchor="{shape.anchor}"'
        return (
            f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" fill="currentColor"{anchor}>'
            f"{html(shape.text)}</text>"
        )
    tag = "polygon" if shape.closed else "polyline"
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
    parts = [f'<{tag} fill="{_css(shape.fill)}"']
    if shape.colour:
        parts.append(f'stroke="{_css(shape.colour)}" stroke-width="{shape.width:g}"')
    if shape.dash:
        parts.append(f'stroke-dasharray="{" ".join(f"{part:g}" for part in shape.dash)}"')
    if shape.opacity < 1:
        parts.append(f'opacity="{shape.opacity:.2g}"')
    head = " ".join([*parts, f'points="{points}"'])
    return f"{head}><title>{html(shape.title)}</title></{tag}>" if shape.title else f"{head}/>"


def _css(colour: str) -> str:
    return {"": "none", INK: "currentColor"}.get(colour, colour)


def _paint(pen: Any, shape: Stroke, scale: int) -> None:  # noqa: ANN401 - an optional package
    points = [(x * scale, y * scale) for x, y in shape.points]
    if shape.fill and len(points) > 2:
        pen.polygon(points, fill=_rgba(shape.fill, shape.opacity))
    if not shape.colour:
        return
    line = [*points, points[0]] if shape.closed else points
    dash = [part * scale for part in shape.dash]
    width = max(1, round(shape.width * scale))
    for part in _dashes(line, dash) if dash else [line]:
        pen.line(part, _rgba(shape.colour, shape.opacity), width, "curve")


def _rgba(colour: str, opacity: float) -> tuple[int, int, int, int]:
    digits = (_INK if colour == INK else colour).removeprefix("#")
    red, green, blue = (int(digits[at : at + 2], 16) for at in (0, 2, 4))
    return red, green, blue, round(255 * opacity)


def _dashes(line: Points, dash: Sequence[float]) -> Iterator[list[tuple[float, float]]]:
    """The parts of a line that are drawn; the pattern goes on around corners."""
    place, left, part = 0, dash[0], [line[0]] if line else []
    for (x0, y0), (x1, y1) in pairwise(line):
        length = math.hypot(x1 - x0, y1 - y0)
        done = 0.0
        while length - done > left:
            done += left
            at = (x0 + (x1 - x0) * done / length, y0 + (y1 - y0) * done / length)
            if place % 2 == 0:
                yield [*part, at]
            place, part = place + 1, [at]
            left = dash[place % len(dash)]
        left -= length - done
        part.append((x1, y1))
    if place % 2 == 0 and len(part) > 1:
        yield part
