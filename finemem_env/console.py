"""What a console can show: text of agents and data is in every script, consoles are not."""

from __future__ import annotations

import contextlib
import re
from io import TextIOWrapper, UnsupportedOperation
from typing import TextIO

# What is spelled out wherever text of agents and data is shown, as ranges of code points: controls
# (a terminal obeys them) but tab and newline, line separators, halves of pairs, tags, and every
# mark that turns the direction of writing. Joiners stay: Persian and emoji need them.
UNSEEN: tuple[tuple[int, int], ...] = (
    (0x00, 0x08), (0x0B, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x61C, 0x61C), (0x180E, 0x180E),
    (0x200B, 0x200B), (0x200E, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFB), (0xD800, 0xDFFF), (0xE0000, 0xE007F),
)  # fmt: skip
_OBEYED = re.compile(f"[{''.join(f'{chr(first)}-{chr(last)}' for first, last in UNSEEN)}]")


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
