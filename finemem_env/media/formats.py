"""What a file is, by its first bytes: pictures with their size, sounds with their length."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from finemem_env.types import MediumKind


class Measure(NamedTuple):
    """Width and height of a picture in pixels, or the length of a sound in seconds."""

    width: int = 0
    height: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file: its short name, as endpoints know it, and how it is measured.

    `measure` gives None for a file that only begins like one.
    """

    name: str
    kind: MediumKind
    mime: str
    measure: Callable[[bytes], Measure | None]


def sniff(data: bytes) -> Format | None:
    """The format of a file, None for one that is not known here."""
    for start, offset, known in _SIGNS:
        if data.startswith(start) and (not offset or data.startswith(offset, 8)):
            return known
    if data[:1] == b"\xff" and len(data) > 1 and data[1] & 0xE6 == 0xE2:  # a frame of layer III
        return _MP3
    return None


def names(kind: MediumKind) -> str:
    """The formats of a kind, for an error."""
    return ", ".join(dict.fromkeys(known.name for *_, known in _SIGNS if known.kind == kind))


def _png(data: bytes) -> Measure | None:
    if data[12:16] != b"IHDR" or len(data) < 33:
        return None
    return Measure(*struct.unpack(">II", data[16:24]))


def _gif(data: bytes) -> Measure | None:
    return Measure(*struct.unpack("<HH", data[6:10])) if len(data) > 12 else None


def _jpeg(data: bytes) -> Measure | None:
    place = 2
    while place + 9 < len(data):
        if data[place] != 0xFF:
            return None
        mark = data[place + 1]
        if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return Measure(width, height)
        filler = mark == 0xFF or 0xD0 <= mark <= 0xD8
        size = 0 if filler else struct.unpack(">H", data[place + 2 : place + 4])[0]
        place += 1 if mark == 0xFF else 2 + size
    return None


def _webp(data: bytes) -> Measure | None:
    form, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if form == b"VP8X":
        return Measure(*(1 + int.from_bytes(body[i : i + 3], "little") for i in (4, 7)))
    if form == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return Measure(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if form == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        return Measure(*(side & 0x3FFF for side in struct.unpack("<HH", body[6:10])))
    return None


def _wav(data: bytes) -> Measure | None:
    """By the rate that the header states and the samples that are there."""
    place, rate = 12, 0
    while place + 8 <= len(data):
        name, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if name == b"fmt " and size >= 16:
            rate = int.from_bytes(data[place + 16 : place + 20], "little")
        if name == b"data":
            size_there = min(size, len(data) - place - 8)
            return Measure(seconds=size_there / rate) if rate else None
        place += 8 + size + size % 2
    return None


_RATES = {  # kbit/s of layer III
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG-1
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG-2
}


def _mp3(data: bytes) -> Measure | None:
    """By the bit rate of the first frame."""
    place = 0
    if data[:3] == b"ID3" and len(data) > 10:
        place = 10 + sum((byte & 0x7F) << 7 * n for n, byte in enumerate(data[9:5:-1]))
    head = data[place : place + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2 or not 0 < head[2] >> 4 < 15:
        return None
    rate = _RATES[head[1] & 0x18 == 0x18][(head[2] >> 4) - 1]
    return Measure(seconds=(len(data) - place) / (125 * rate))


_WAV = Format("wav", "audio", "audio/wav", _wav)
_MP3 = Format("mp3", "audio", "audio/mpeg", _mp3)
_SIGNS = (  # what stands at the start, and what at byte 8
    (b"\x89PNG\r\n\x1a\n", b"", Format("png", "image", "image/png", _png)),
    (b"\xff\xd8\xff", b"", Format("jpeg", "image", "image/jpeg", _jpeg)),
    (b"GIF8", b"", Format("gif", "image", "image/gif", _gif)),
    (b"RIFF", b"WEBP", Format("webp", "image", "image/webp", _webp)),
    (b"RIFF", b"WAVE", _WAV),
    (b"ID3", b"", _MP3),
)
