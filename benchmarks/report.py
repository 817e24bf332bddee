"""What the measurements share on the way out: intervals, markdown tables, progress bars."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np

__all__ = ["Estimate", "Progress", "estimate", "markdown", "progress"]

Z95 = 1.959963984540054


class Progress(Protocol):
    """Told after each finished piece of work, with its name."""

    def __call__(self, done: str) -> None:
        """One more piece is done."""
        ...


class Estimate(tuple[float, float]):
    """(mean, half of the 95 % interval); the half is NaN for fewer than two values."""

    def text(self, digits: int = 2, *, sign: bool = False) -> str:
        """The mean and its interval, "-" without values."""
        mean, half = self
        if math.isnan(mean):
            return "-"
        width = f"{mean:{'+' if sign else ''}.{digits}f}"
        return width if math.isnan(half) else f"{width} ± {half:.{digits}f}"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean of independent values, with the normal 95 % interval of that mean."""
    if not values:
        return Estimate((math.nan, math.nan))
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate((mean, math.nan))
    return Estimate((mean, Z95 * float(np.std(values, ddof=1)) / math.sqrt(len(values))))


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table, columns padded to their widest cell."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    ruler = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([line(header), ruler, *map(line, rows)])


@contextmanager
def progress(total: int, unit: str) -> Iterator[Progress]:
    """A bar when tqdm is installed, else a line on stderr that is rewritten."""
    try:
        from tqdm import tqdm
    except ImportError:
        counter = itertools.count(1)
        yield lambda done: print(
            f"\r{next(counter)}/{total} {done:<50}", end="", file=sys.stderr, flush=True
        )
        print(file=sys.stderr)
        return
    with tqdm(total=total, unit=unit) as bar:

        def advance(done: str) -> None:
            bar.set_postfix_str(done, refresh=False)
            bar.update()

        yield advance
