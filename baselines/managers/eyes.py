"""Reads the pictures and sounds of the source `media` by code: signs, charts, dialled numbers.

Nothing but the bytes is looked at. It stands for a model that sees.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finemem_env.data.synthetic.pictures import (
    BAR,
    COLUMNS,
    FONT,
    INK,
    KEYS,
    PAPER,
    ROWS,
    TICK,
    TICKS,
    WALL,
)
from finemem_env.data.synthetic.png import read_png
from finemem_env.data.synthetic.wav import read_wav
from finemem_env.errors import DataError
from finemem_env.types import Medium

_FRAME = 160  # samples: shorter than a pause
_LOUD = 0.1  # of the loudest


def look(medium: Medium) -> tuple[str, ...]:
    """What a medium shows, one text a fact; () where it cannot be read."""
    try:
        if medium.kind == "audio":
            return tuple(filter(None, [dialled(*read_wav(medium.data))]))
        pixels = read_png(medium.data)
    except DataError:
        return ()
    if pixels.ndim != 2:
        return ()
    return tuple(bars(pixels)) if (pixels == BAR).any() else tuple(sign(pixels))


def sign(pixels: NDArray[np.uint8]) -> Iterator[str]:
    """The text of a white plate on a wall."""
    if (pixels == WALL).any() and (pixels == PAPER).any():
        text = read_line(pixels == INK)
        if text:
            yield text


def bars(pixels: NDArray[np.uint8]) -> Iterator[str]:
    """Label and height of each bar that stands on a line, in the units of the ticks."""
    ticks = np.flatnonzero((pixels == TICK).any(axis=1))
    floor = np.flatnonzero((pixels == INK).all(axis=1))
    if not len(floor):
        return
    base = int(floor[0])
    unit = float(np.diff(ticks)[0]) / TICKS if len(ticks) > 1 else 1.0
    for left, right in _runs((pixels == BAR).any(axis=0)):
        height = int((pixels[:, left] == BAR).sum())
        label = read_line((pixels == INK)[base + 1 :, left : right + 1])
        yield f"{label} {round(height / unit)}"


def read_line(ink: NDArray[np.bool_]) -> str:
    """A line of letters in the font of the pictures, at any whole scale; "?" for other ink."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return ""
    scale = max(1, round((rows[-1] - rows[0] + 1) / 7))
    line = ink[rows[0] : rows[-1] + 1 : scale, columns[0] : columns[-1] + 1 : scale]
    if line.shape[0] != 7:
        return "?"
    return "".join(_letter(line[:, left:right]) for left, right in _runs(line.any(axis=0)))


def _letter(ink: NDArray[np.bool_]) -> str:
    for letter, glyph in FONT.items():
        own = glyph[:, glyph.any(axis=0)]
        if own.shape == ink.shape and (own == ink).all():
            return letter
    return "?"


def _runs(flags: ArrayLike) -> list[tuple[int, int]]:
    """Start and end of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def dialled(samples: NDArray[np.int16], rate: int) -> str:
    """The digits of a row of double tones; "" for silence."""
    count = len(samples) // _FRAME
    frames = samples[: count * _FRAME].reshape(count, _FRAME).astype(np.float64)
    loud = np.abs(frames).max(axis=1, initial=0.0)
    heard = (loud > 0) & (loud > _LOUD * loud.max(initial=0.0))
    return "".join(_digit(frames[start:end].reshape(-1), rate) for start, end in _runs(heard))


def _digit(tone: NDArray[np.float64], rate: int) -> str:
    time = np.arange(len(tone)) / rate

    def strength(hertz: int) -> float:
        return float(abs(np.dot(tone, np.exp(-2j * np.pi * hertz * time))))

    row = max(range(len(ROWS)), key=lambda n: strength(ROWS[n]))
    column = max(range(len(COLUMNS)), key=lambda n: strength(COLUMNS[n]))
    return KEYS[row][column]
