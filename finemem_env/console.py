"""What a console can show: text of agents and data is in every script, consoles are not."""

from __future__ import annotations

from io import TextIOWrapper
from typing import TextIO

__all__ = ["accept_any_text"]


def accept_any_text(*streams: TextIO | None) -> None:
    r"""Let `streams` write (or read) what their encoding lacks as escapes such as \u4e2d.

    Streams that take any text, such as `io.StringIO`, stay as they are.
    """
    for stream in streams:
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
