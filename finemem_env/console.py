"""What a console can show: text of agents and data is in every script, consoles are not."""

from __future__ import annotations

import contextlib
import re
from io import TextIOWrapper, UnsupportedOperation
from typing import TextIO

__all__ = ["accept_any_text", "visible"]

# Controls (a terminal obeys them), line separators, halves of pairs, and every mark that turns the
# direction of writing. Joiners stay: Persian and emoji need them.
_OBEYED = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def accept_any_text(*streams: TextIO | None) -> None:
    r"""Let `streams` write (or read) what their encoding lacks as escapes such as \u4e2d.

    Streams that take any text, such as `io.StringIO`, stay as they are.
    """
    for stream in streams:
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            with contextlib.suppress(UnsupportedOperation):  # it was read from already
                stream.reconfigure(errors="backslashreplace")


def visible(text: str, width: int | None = None) -> str:
    r"""One line that a terminal shows and does not obey: controls and bidi marks as \u001b.

    Args:
        text: of an agent, a data set or a file; white space becomes single spaces.
        width: most characters; what is longer ends in "…".
    """
    # What cannot be seen in the end need not be read: a line may be of megabytes.
    seen = text if width is None else text[: 4 * width]
    line = _OBEYED.sub(_escaped, " ".join(re.split(r"[ \t\r\n]+", seen)).strip())
    if width is not None and (len(line) > width or len(seen) < len(text)):
        line = line[: max(0, width - 1)] + "…"
    return line


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
