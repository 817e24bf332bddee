"""What a program says on stderr: what it starts, how much is done, and the time that is left."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any


def begin(
    what: str, where: Path | str | None = None, watch: str | None = None, warning: str = ""
) -> None:
    """Say at the start of a program what it runs, where that is written, and how to watch it.

    And a warning, if there is one. On stderr, so that standard output holds the result alone; call
    it when nothing of the command line can be wrong any more, so that an error stands alone.
    """
    lines = {"runs": what, "writes": where, "watch": watch, "warning": warning or None}
    for name, text in lines.items():
        if text is not None:
            print(f"{name + ':':<7} {text}", file=sys.stderr, flush=True)


def tail(path: Path) -> str:
    """The command that shows what is added to `path`."""
    return shlex.join(["tail", "-f", str(path)])


class Progress:
    """A bar of tqdm where it is installed (extra "bench"), else a line that is rewritten.

    Nothing is shown before the first call, so that an early error stands alone.

    Args:
        total: pieces of work; 0: `reach` says how many.
        unit: what a piece is, in the singular.
        shown: False for processes that are not the one that speaks.
    """

    def __init__(self, total: int, unit: str, *, shown: bool = True) -> None:
        self.total, self._unit, self._shown = total, unit, shown
        self._first = self._done = 0
        self._start = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def skip(self, count: int) -> None:
        """Count pieces that an earlier run did; they took no time."""
        self._first += count
        self._done += count

    def reach(self, done: int, total: int) -> None:
        """So many pieces of `total` are done; those of the first call by an earlier run."""
        if self.total != total:
            self.total = total
            self.skip(done)
        else:
            self("", done - self._done)

    def __call__(self, text: str = "", count: int = 1) -> None:
        """`count` more pieces are done; `text` says which."""
        if not self._shown:
            return
        if self._done == self._first and count:
            self._bar = self._tqdm()
        self._done += count
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(count)
        elif self._done > self._first:
            print(f"\r{self._line(text):<78}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the line."""
        if self._bar is not None:
            self._bar.close()
        elif self._done > self._first:
            print(file=sys.stderr)
        self._bar, self._first = None, self._done

    def _tqdm(self) -> Any:  # noqa: ANN401
        try:
            from tqdm import tqdm
        except ImportError:
            return None
        bar = tqdm(total=self.total, initial=self._first, unit=self._unit)
        if not bar.disable:  # TQDM_DISABLE=1
            bar.start_t -= time.monotonic() - self._start  # the first piece took time too
            bar.last_print_t = bar.start_t
        return bar

    def _line(self, text: str) -> str:
        each = (time.monotonic() - self._start) / (self._done - self._first)
        minutes, seconds = divmod(round(each * (self.total - self._done)), 60)
        return f"{self._done}/{self.total} {self._unit}s, {minutes}:{seconds:02d} left {text}"[:78]
