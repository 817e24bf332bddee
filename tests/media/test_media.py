"""Pictures and sounds: what they are, what they cost, how they are written and drawn."""

from __future__ import annotations

import base64
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from finemem_env.data.media import MOST_BYTES, decode_data, read_medium
from finemem_env.data.synthetic.pictures import FONT, dial, draw_chart, draw_sign
from finemem_env.data.synthetic.png import read_png, write_png
from finemem_env.data.synthetic.wav import read_wav, write_wav
from finemem_env.errors import DataError
from finemem_env.media import called, parse_form, raw_tokens, shown_form, sniff, stored_form
from finemem_env.types import Medium, MediumKind

PNG = write_png(np.zeros((57, 29), np.uint8))
WAV = write_wav(np.zeros(8001, np.int16), 8000)
JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(9)
    + b"\xff\xff\xc2\x00\x11\x08\x00\x39\x00\x1d\x03" + bytes(9)
)  # fmt: skip
GIF = b"GIF89a" + struct.pack("<HH", 29, 57) + bytes(9)
WEBP_X = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\x1c\0\0\x38\0\0" + bytes(4)
WEBP_L = b"RIFF\0\0\0\0WEBPVP8L\x0a\0\0\0\x2f" + struct.pack("<I", 28 | 56 << 14) + bytes(9)
WEBP = b"RIFF\0\0\0\0WEBPVP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 29, 57)
MP3 = b"ID3\x03\0\0\0\0\0\x05" + bytes(5) + b"\xff\xfb\x90\x00" + bytes(17_000 - 4)


@pytest.mark.parametrize(
    "data, kind, name, tokens",
    [
        (PNG, "image", "png", 6),  # two patches wide, three high
        (JPEG, "image", "jpeg", 6),
        (GIF, "image", "gif", 6),
        (WEBP_X, "image", "webp", 6),
        (WEBP_L, "image", "webp", 6),
        (WEBP, "image", "webp", 6),
        (WAV, "audio", "wav", 50),  # a second and a sample
        (MP3, "audio", "mp3", 50),  # 17,000 bytes at 128 kbit/s: 1.06 s
        (write_png(np.zeros((1, 1), np.uint8)), "image", "png", 4),
        (write_png(np.zeros((2800, 2800), np.uint8)), "image", "png", 1280),
        (b"", "image", None, 0),
    ],
)
def test_kind_and_tokens(data: bytes, kind: MediumKind, name: str | None, tokens: int) -> None:
    found = sniff(data)
    assert (found.name if found else None) == name
    assert raw_tokens(kind, data) == tokens


@pytest.mark.parametrize(
    "data, kind, message",
    [
        (b"<svg></svg>", "image", r"expected image data \(png, jpeg, gif, webp\), found a file"),
        (WAV, "image", "expected image data .*, found a wav file"),
        (PNG, "audio", r"expected audio data \(wav, mp3\), found a png file"),
        (PNG[:20], "image", "expected a whole png file"),
        (PNG[:16] + bytes(8) + PNG[24:], "image", "expected a whole png file"),  # 0 x 0
        (WAV[:30], "audio", "expected a whole wav file"),
        (JPEG[:12], "image", "expected a whole jpeg file"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image", "expected a whole webp file"),
        (b"ID3" + bytes(20), "audio", "expected a whole mp3 file"),
        (b"GIF89a", "image", "expected a whole gif file"),
    ],
)
def test_what_is_not_of_its_kind(data: bytes, kind: MediumKind, message: str) -> None:
    with pytest.raises(DataError, match=message):
        raw_tokens(kind, data)


@pytest.mark.parametrize("shape", [(7, 5), (300, 301, 3)])
def test_png_comes_back(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert (read_png(write_png(pixels)) == pixels).all()


def test_wav_comes_back() -> None:
    samples = np.arange(-50, 50, dtype=np.int16)
    back, rate = read_wav(write_wav(samples, 16000))
    assert (back.tolist(), rate) == (samples.tolist(), 16000)


@pytest.mark.parametrize("data", [b"", PNG[:40], PNG.replace(b"\x08\x00", b"\x10\x00", 1), JPEG])
def test_a_png_that_cannot_be_read(data: bytes) -> None:
    with pytest.raises(DataError, match="PNG: expected 8-bit grey or RGB"):
        read_png(data)


@pytest.mark.parametrize("data", [b"", WAV[:20], PNG])
def test_a_wav_that_cannot_be_read(data: bytes) -> None:
    with pytest.raises(DataError, match="WAV: expected 16-bit mono"):
        read_wav(data)


def test_what_is_drawn_is_the_same_everywhere() -> None:
    glyphs = {glyph.tobytes() for glyph in FONT.values()}
    assert len(glyphs) == len(FONT) == 36
    assert [
        hash_of(one) for one in (draw_sign("QX417"), draw_chart({"MON": 3}, 20), dial("07"))
    ] == [
        "4a281f9b5c9725d8",
        "7185784da42ed984",
        "40b6b7d6415778fe",
    ]


def hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("text", ["", "The mill.", "two\n lines ]", "[image m2, 3 tokens: x]"])
def test_forms_are_read_back(text: str, named: bool) -> None:
    (medium,) = called([Medium("image", text, PNG)], 4)
    line = shown_form(medium, named=named)
    assert "\n" not in line
    shown = parse_form(line)
    assert shown is not None
    name, tokens = ("m5", 6) if named else ("", 0)
    assert shown == Medium("image", " ".join(text.split()), name=name, tokens=tokens)
    if named:
        assert stored_form(shown) == stored_form(medium)
    assert parse_form(line + "x") is None


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x.png", "a/../../x.png", "", "http://x/y.png", "C:/x.png", "a\\x.png", "."],
)
def test_a_path_stays_in_its_folder(path: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(PNG)
    folder = tmp_path / "in"
    folder.mkdir()
    with pytest.raises(DataError, match=r"^here: path: expected a path relative to"):
        read_medium(folder, path, "image", "here")


def test_a_link_does_not_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(PNG)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link.png").symlink_to(tmp_path / "x.png")
    with pytest.raises(DataError, match="is a link that leaves the folder"):
        read_medium(folder, "link.png", "image", "here")
    (folder / "own.png").write_bytes(PNG)
    (folder / "near.png").symlink_to(folder / "own.png")
    assert read_medium(folder, "near.png", "image", "here") == PNG


def test_a_file_that_is_missing_empty_or_too_large(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"here: path: 'no.png' cannot be read in .*: No such file"):
        read_medium(tmp_path, "no.png", "image", "here")
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match="found an empty file"):
        read_medium(tmp_path, "empty.png", "image", "here")
    with (tmp_path / "big.png").open("wb") as file:
        file.write(PNG)
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(DataError, match=f"expected at most {MOST_BYTES} bytes"):
        read_medium(tmp_path, "big.png", "image", "here")


def test_data_is_base64() -> None:
    assert decode_data(base64.b64encode(WAV).decode(), "audio", "here") == WAV
    for text in ("no base64!", "abc", "ünicode"):
        with pytest.raises(DataError, match="here: data: expected base64, found"):
            decode_data(text, "audio", "here")
