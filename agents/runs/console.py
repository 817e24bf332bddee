"""What the command line of training needs: signals, and a folder for the run."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from finemem_env.errors import ConfigError

_RUNS = Path("runs")


def run_folder(folder: Path | None, *, resume: bool) -> Path:
    """The folder of a run: the one that is named, or the first free runs/grpo-N for a new run.

    Raises:
        ConfigError: a run is to be resumed that is not named or not there.
    """
    number = 1
    while (_RUNS / f"grpo-{number}").exists():
        number += 1
    if not resume:
        return folder or _RUNS / f"grpo-{number}"
    last = f" The last one here is {_RUNS / f'grpo-{number - 1}'}." if number > 1 else ""
    if folder is None:
        raise ConfigError(f"--resume: expected the run's folder as --output-dir.{last}")
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"--resume: expected the folder of a run, and {folder} holds none (no config.json)."
            f"{last}"
        )
    return folder


@contextlib.contextmanager
def signals(*, again: bool = False) -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM or SIGINT came; a second one ends at once, as usual.

    Args:
        again: keep catching them: torchrun passes on a Ctrl-C that its processes got already, and
            ends by itself those that take too long.
    """
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        if again:
            return
        for signum, handler in before.items():
            signal.signal(signum, handler)

    before = {signum: signal.signal(signum, note) for signum in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(seen)
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
