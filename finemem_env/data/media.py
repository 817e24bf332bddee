"""A chunk's media as the episode file holds them.

{"kind": "image", "path": "pictures/mill.png", "text": "The mill."}
{"kind": "audio", "data": "UklGR…", "text": "A bell rings."}
{"kind": "image", "text": "a photo of a mill"}
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import cast, get_args

from finemem_env.fields import Fields
from finemem_env.media import MOST_TEXT, decode_data, read_medium
from finemem_env.types import Medium, MediumKind

MEDIUM_KEYS = ("kind", "path", "data", "text")


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
