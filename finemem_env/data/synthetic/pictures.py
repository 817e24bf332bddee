"""Signs and charts drawn as PNG, numbers dialled as WAV: by code, from the standard library.

Every picture is grey: letters are black, plates white, bars and ticks have a grey of their own, so
that a program can read them as well as a model.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from finemem_env.data.synthetic.png import write_png
from finemem_env.data.synthetic.wav import write_wav

# Five columns a glyph, the lowest bit on top.
_GLYPHS = """
0 3E5149453E  1 00427F4000  2 4261514946  3 2141454B31  4 1814127F10  5 2745454539
6 3C4A494930  7 0171090503  8 3649494936  9 064949291E  A 7E1111117E  B 7F49494936
C 3E41414122  D 7F4141221C  E 7F49494941  F 7F09090901  G 3E4149497A  H 7F0808087F
I 00417F4100  J 2040413F01  K 7F08142241  L 7F40404040  M 7F020C027F  N 7F0408107F
O 3E4141413E  P 7F09090906  Q 3E4151215E  R 7F09192946  S 4649494931  T 01017F0101
U 3F4040403F  V 1F2040201F  W 3F4038403F  X 6314081463  Y 0708700807  Z 6151494543
"""


def _glyph(columns: str) -> NDArray[np.bool_]:
    bits = [[column >> row & 1 for column in bytes.fromhex(columns)] for row in range(7)]
    return np.array(bits, np.bool_)


_CELLS = _GLYPHS.split()
FONT: dict[str, NDArray[np.bool_]] = {
    letter: _glyph(columns) for letter, columns in zip(_CELLS[::2], _CELLS[1::2], strict=True)
}
"""The letters and digits, 7 x 5, True where ink is."""
INK, BAR, TICK, WALL, PAPER = 0, 96, 144, 200, 255
UNIT = 4  # pixels of a bar for one
TICKS = 5  # a tick for every so many
_SCALE, _MARGIN, _BAR_WIDTH, _GAP = 3, 12, 18, 6
RATE = 8000
ROWS, COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477)  # Hz, as telephones dial
KEYS = ("123", "456", "789", "*0#")
_TONE, _PAUSE = 640, 320  # samples


def _write(text: str, scale: int) -> NDArray[np.bool_]:
    """Ink of a text, shape (7 scale, (6 n - 1) scale)."""
    gap = np.zeros((7, 1), np.bool_)
    glyphs = [part for letter in text for part in (FONT[letter], gap)]
    line = np.concatenate(glyphs[:-1], axis=1)
    grown: NDArray[np.bool_] = np.kron(line, np.ones((scale, scale), np.bool_))
    return grown


def draw_sign(text: str) -> bytes:
    """A white plate on a wall, with a text of capital letters and digits."""
    ink = _write(text, _SCALE)
    height, width = ink.shape
    pixels = np.full((height + 4 * _MARGIN, width + 4 * _MARGIN), WALL, np.uint8)
    pixels[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = PAPER
    inner = pixels[2 * _MARGIN : -2 * _MARGIN, 2 * _MARGIN : -2 * _MARGIN]
    inner[ink] = INK
    return write_png(pixels)


def draw_chart(bars: Mapping[str, int], most: int) -> bytes:
    """Bars with their labels under a line; a tick at the left edge for every `TICKS`.

    Args:
        bars: heights by label, of three letters.
        most: the largest height that the axis has.
    """
    pitch, base = _BAR_WIDTH + _GAP, most * UNIT + UNIT
    pixels = np.full((base + 12, _GAP * 2 + pitch * len(bars)), PAPER, np.uint8)
    pixels[base] = INK
    for tick in range(0, most + 1, TICKS):
        pixels[base - 1 - tick * UNIT, :3] = TICK
    for number, (label, height) in enumerate(bars.items()):
        left = 2 * _GAP + number * pitch
        pixels[base - height * UNIT : base, left : left + _BAR_WIDTH - 1] = BAR
        ink = _write(label, 1)
        pixels[base + 3 : base + 10, left : left + ink.shape[1]][ink] = INK
    return write_png(pixels)


def dial(digits: str) -> bytes:
    """A sound of two tones for each digit, as a telephone dials it."""
    time = np.arange(_TONE) / RATE
    parts = [np.zeros(_PAUSE)]
    for digit in digits:
        row = next(n for n, keys in enumerate(KEYS) if digit in keys)
        tones = (ROWS[row], COLUMNS[KEYS[row].index(digit)])
        low, high = (np.sin(2 * np.pi * hertz * time) for hertz in tones)
        parts += [low + high, np.zeros(_PAUSE)]
    # Rounded coarsely: the last bit of a sine is the library's.
    samples = np.round(np.concatenate(parts) * 100).astype(np.int16) * 100
    return write_wav(samples, RATE)
