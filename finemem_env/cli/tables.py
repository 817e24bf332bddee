"""Tables as programs print them: rows of cells under their headings, and numbers as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from finemem_env.console import visible

Row = Sequence[str]


def text_table(header: Row, rows: Sequence[Row], *, rule: bool = True) -> str:
    """Aligned by spaces: the first column to the left, the others to the right."""
    widths = _widths([header, *rows])
    ruler = [["-" * width for width in widths]] if rule else []
    return "\n".join(
        "  ".join(
            text.rjust(width) if column else text.ljust(width)
            for column, (text, width) in enumerate(zip(cells, widths, strict=True))
        )
        for cells in [header, *ruler, *rows]
    )


def markdown_table(header: Row, rows: Sequence[Row], *, padded: bool = False) -> str:
    """Markdown; `padded` to the widest cell of a column, for a terminal."""
    widths = _widths([header, *rows]) if padded else [0] * len(header)
    ruler = ["-" * max(3, width) for width in widths]
    return "\n".join(
        markdown_row([text.ljust(width) for text, width in zip(cells, widths, strict=True)])
        for cells in [header, ruler, *rows]
    )


def markdown_row(cells: Row) -> str:
    """A line of a Markdown table, for rows that are printed as they come."""
    return f"| {' | '.join(cells)} |"


def html(text: object) -> str:
    """Text of an agent, a data set or a file as one line of a page: shown, and never obeyed."""
    return escape(visible(str(text)))


def html_table(header: Row, rows: Sequence[Row]) -> str:
    """HTML, every cell escaped and on one line."""
    return raw_table(list(map(html, header)), [list(map(html, cells)) for cells in rows])


def raw_table(header: Row, rows: Sequence[Row]) -> str:
    """HTML of cells that are HTML already."""
    lines = [("th", header), *(("td", cells) for cells in rows)]
    body = "".join(
        f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in cells)}</tr>" for tag, cells in lines
    )
    return f"<table>{body}</table>"


def number(value: float | None, digits: int = 3, *, sign: bool = False, bare: bool = False) -> str:
    """A number with its decimals, "-" for one that does not exist; `bare`: .5 instead of 0.5."""
    if value is None or math.isnan(value):
        return "-"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.replace("0.", ".", 1) if bare and abs(value) < 1 else text


def interval(bounds: tuple[float, float] | None, *, sign: bool = False) -> str:
    """An interval; "-" for one that does not exist."""
    if bounds is None:
        return "-"
    return (" to " if sign else "-").join(number(bound, sign=sign) for bound in bounds)


def _widths(lines: Sequence[Row]) -> list[int]:
    return [max(map(len, column)) for column in zip(*lines, strict=True)]
