"""The text form of a medium: what whoever does not see is told.

In a chunk where operations can name it, where they cannot, and in an item of the memory:

    [image m1, 12 tokens: The sign of the mill.]
    [image: The sign of the mill.]
    [image m1: The sign of the mill.]
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

from finemem_env.errors import DataError
from finemem_env.media.formats import sniff
from finemem_env.media.tokens import raw_tokens
from finemem_env.types import Medium, MediumKind

_FORM = re.compile(r"\[(image|audio)(?: (m\d+), (\d+) tokens)?(?:: (.*))?\]")


def called(media: Sequence[Medium], before: int) -> tuple[Medium, ...]:
    """`media` with names and tokens: m1, m2, … after the first `before` of the episode.

    Raises:
        DataError: data that is not of its kind.
    """
    named = []
    for number, medium in enumerate(media):
        try:
            tokens = raw_tokens(medium.kind, medium.data)
        except DataError as error:
            raise DataError(f"media[{number}]: {error}") from error
        named.append(replace(medium, name=f"m{before + number + 1}", tokens=tokens))
    return tuple(named)


def shown_form(medium: Medium, *, named: bool) -> str:
    """The line that stands for a medium in a chunk."""
    name = f" {medium.name}, {medium.tokens} tokens" if named else ""
    return f"[{medium.kind}{name}{_told(medium.text)}]"


def stored_form(medium: Medium) -> str:
    """The line that stands for a medium in an item."""
    return f"[{medium.kind} {medium.name}{_told(medium.text)}]"


def _told(text: str) -> str:
    line = " ".join(text.split())
    return f": {line}" if line else ""


def parse_form(line: str) -> Medium | None:
    """The medium that `shown_form` wrote, without its data; None for another line."""
    match = _FORM.fullmatch(line)
    if match is None:
        return None
    kind, name, tokens, text = match.groups()
    return Medium(cast(MediumKind, kind), text or "", b"", name or "", int(tokens or 0))


def encoded(medium: Medium) -> dict[str, Any]:
    """A medium as `info["media"]`, traces and snapshots hold it: JSON-able, data as base64."""
    known = sniff(medium.data) if medium.data else None
    return {
        "name": medium.name,
        "kind": medium.kind,
        "format": known.name if known else "",
        "tokens": medium.tokens,
        "text": medium.text,
        "data": base64.b64encode(medium.data).decode("ascii"),
    }


def raw_media(info: Mapping[str, Any]) -> tuple[Medium, ...]:
    """The media of the chunk that is shown, with their bytes, from `info`."""
    return tuple(map(_decoded, cast("Iterable[Mapping[str, Any]]", info.get("media", ()))))


def _decoded(record: Mapping[str, Any]) -> Medium:
    kind, text, name, tokens = (record[key] for key in ("kind", "text", "name", "tokens"))
    texts = isinstance(text, str) and isinstance(name, str)
    if kind not in get_args(MediumKind) or not texts or type(tokens) is not int:
        raise ValueError(f"no medium: {str(record)[:60]}")
    return Medium(kind, text, base64.b64decode(record["data"]), name, tokens)
