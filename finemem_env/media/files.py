"""Media beside an episode file, and inside it: a stranger's file reads nothing but its own folder.

A path is relative to the folder of the episode file and stays in it, links followed. No address is
ever fetched.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path, PurePosixPath

from finemem_env.errors import DataError
from finemem_env.media.tokens import raw_tokens
from finemem_env.types import MediumKind

MOST_BYTES = 10 * 2**20
MOST_TEXT = 16_384  # characters; a longer transcript is a text of its own


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
        there = (folder / path).resolve()
        if not there.is_relative_to(folder.resolve()):
            raise DataError(f"{where}: path: {path!r} is a link that leaves the folder {folder}.")
        with there.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{where}: path: {path!r} cannot be read in {folder}: {reason}.") from error
    return checked_data(data, kind, f"{where}: path: {path!r}")


def decode_data(text: str, kind: MediumKind, where: str) -> bytes:
    """The bytes that base64 text holds.

    Raises:
        DataError: no base64, too much of it, or of another kind.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{where}: data: expected base64, found {text[:24]!r}: {error}.") from error
    return checked_data(data, kind, f"{where}: data")


def checked_data(data: bytes, kind: MediumKind, where: str) -> bytes:
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
