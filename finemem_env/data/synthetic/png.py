"""Grey and coloured PNG with the standard library: written in one way, read where that suffices."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from finemem_env.errors import DataError

_SIGN = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3}  # colour types: grey, RGB
_MOST_PIXELS = 2**24
_BLOCK = 0xFFFF


def write_png(pixels: NDArray[np.uint8]) -> bytes:
    """An 8-bit PNG of `pixels`, shape (height, width) or (height, width, 3); same in, same out.

    The data are stored, not compressed, so that no library changes a byte.
    """
    height, width = pixels.shape[:2]
    kind = 0 if pixels.ndim == 2 else 2
    rows = pixels.reshape(height, -1)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    head = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", _stored(raw)), (b"IEND", b""))
    return _SIGN + b"".join(_part(name, body) for name, body in parts)


def _stored(raw: bytes) -> bytes:
    """A zlib stream of stored blocks."""
    blocks = [raw[start : start + _BLOCK] for start in range(0, len(raw), _BLOCK)]
    stream = b"\x78\x01"
    for number, block in enumerate(blocks, start=1):
        size = len(block)
        stream += struct.pack("<BHH", number == len(blocks), size, size ^ 0xFFFF) + block
    return stream + struct.pack(">I", zlib.adler32(raw))


def _part(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def read_png(data: bytes) -> NDArray[np.uint8]:
    """The pixels of an 8-bit grey or RGB PNG without interlacing, as `write_png` takes them.

    Raises:
        DataError: another PNG, or none.
    """
    try:
        width, height, depth, kind, *rest = struct.unpack(">IIBBBBB", data[16:29])
        if not data.startswith(_SIGN) or depth != 8 or kind not in _CHANNELS or any(rest):
            raise ValueError("another format")
        if not 0 < width * height <= _MOST_PIXELS:
            raise ValueError(f"{width} x {height} pixels")
        line = width * _CHANNELS[kind]
        unpacked = zlib.decompressobj().decompress(_idat(data), height * (line + 1))
        rows = np.frombuffer(unpacked, np.uint8).reshape(height, line + 1)
    except (struct.error, zlib.error, ValueError) as error:
        raise DataError(f"PNG: expected 8-bit grey or RGB, found {error}.") from error
    if rows[:, 0].any():
        raise DataError("PNG: expected rows without a filter, as write_png makes them.")
    return rows[:, 1:].reshape((height, width) if kind == 0 else (height, width, 3))


def _idat(data: bytes) -> bytes:
    place, parts = 8, []
    while place + 8 <= len(data):
        (size,), name = struct.unpack(">I", data[place : place + 4]), data[place + 4 : place + 8]
        if name == b"IDAT":
            parts.append(data[place + 8 : place + 8 + size])
        place += 12 + size
    return b"".join(parts)
