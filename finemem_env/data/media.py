"""A chunk's media as the episode file holds them, and the files that it names.

{"kind": "image", "path": "pictures/mill.png", "text": "The mill."}
{"kind": "audio", "data": "UklGR…", "text": "A bell rings."}
{"kind": "image", "text": "a photo of a mill"}

A stranger's file reads nothing but its own folder: a path is relative to that of the episode file
and stays in it, links followed. No address is ever fetched.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path, PurePosixPath
from typing import cast, get_args

from finemem_env.errors import DataError
from finemem_env.fields import Fields
from finemem_env.media import raw_tokens
from finemem_env.types import Medium, MediumKind

MEDIUM_KEYS = ("kind", "path", "data", "text")
MOST_BYTES = 10 * 2**20
MOST_TEXT = 16_384  # characters; a longer transcript is a text of its own


def medium_dict(medium: Medium) -> dict[str, object]:
    """The JSON object of a medium, its bytes as base64."""
    record: dict[str, object] = {"kind": medium.kind}
    if medium.data:
        record["data"] = base64.b64encode(medium.data).decode("ascii")
    if medium.text:
        record["text"] = medium.text
    return record


def read_record(fields: Fields, folder: Path | None) -> Medium:
    """A medium, with its bytes where it names a file or holds them.

    Args:
        fields: the JSON object, of `MEDIUM_KEYS`.
        folder: that of the episode file, None where there is none.

    Raises:
        DataError: a key that is missing, unknown or of the wrong type, a path that leaves the
            folder, a file that is not there, too large or not of its kind.
    """
    kind = cast(MediumKind, fields.option("kind", get_args(MediumKind)))
    text = fields.text("text", "")
    if len(text) > MOST_TEXT:
        raise fields.error("text", f"at most {MOST_TEXT} characters")
    if "path" in fields and "data" in fields:
        raise fields.error("path", 'either "path" or "data"')
    if "data" in fields:
        return Medium(kind, text, decode_data(fields.text("data"), kind, fields.where))
    if "path" in fields:
        if folder is None:
            raise fields.error("path", "no path outside an episode file; give the bytes as data")
        return Medium(kind, text, read_medium(folder, fields.text("path"), kind, fields.where))
    return Medium(kind, fields.text("text"))


def read_medium(folder: Path, path: str, kind: MediumKind, where: str) -> bytes:
    """The bytes of a file below `folder`; `where` starts every error.

    Raises:
        DataError: a path that leaves the folder, no file there, one too large or of another kind.
    """
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in path:
        raise DataError(
            f"{where}: path: expected a path relative to the episode file and below its folder, "
            f"found {path[:80]!r} (no address is fetched)."
        )
    try:
        file_path = (folder / path).resolve()
        if not file_path.is_relative_to(folder.resolve()):
            raise DataError(f"{where}: path: {path!r} is a link that leaves the folder {folder}.")
        with file_path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{where}: path: {path!r} cannot be read in {folder}: {reason}.") from error
    return _checked(data, kind, f"{where}: path: {path!r}")


def decode_data(text: str, kind: MediumKind, where: str) -> bytes:
    """The bytes that base64 text holds.

    Raises:
        DataError: no base64, too much of it, or of another kind.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{where}: data: expected base64, found {text[:24]!r}: {error}.") from error
    return _checked(data, kind, f"{where}: data")


def _checked(data: bytes, kind: MediumKind, where: str) -> bytes:
    """`data` itself, if it is a file of this kind and not too large.

    Raises:
        DataError: it is not.
    """
    if len(data) > MOST_BYTES:
        raise DataError(f"{where}: expected at most {MOST_BYTES} bytes, found more.")
    if not data:
        raise DataError(f"{where}: expected {kind} data, found an empty file.")
    try:
        raw_tokens(kind, data)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    return data
