"""The traces of a path: one file, the folder of a run, or the folder of a training run.

Only files at fixed places below the path are read; nothing that they name is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finemem_env.errors import DataError
from finemem_env.trace import Trace, read_traces

__all__ = ["Recorded", "read_recorded", "trace_files"]

_HINT = (
    "expected a trace file (.jsonl), the folder of a benchmark run (traces.jsonl or traces/), or "
    "the folder of a training run (samples/)"
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A trace with the task and the memory budget that its file is named after ("": none)."""

    task: str
    budget: str
    trace: Trace


def trace_files(path: Path) -> list[Path]:
    """The trace files of a path, in order.

    Raises:
        DataError: there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: {_HINT}, found nothing there.")
    whole = path / "traces.jsonl"
    files = [whole] if whole.is_file() else []
    files += [
        file for name in ("traces", "samples") for file in sorted(path.glob(f"{name}/*.jsonl"))
    ]
    if not files:
        raise DataError(f"{path}: {_HINT}, found a folder without traces.")
    return files


def read_recorded(path: Path) -> Iterator[Recorded]:
    """Every trace of a path; a line that is still being written is left out.

    Raises:
        DataError: no traces, or one that breaks the schema.
    """
    for file in trace_files(path):
        task, _, budget = file.stem.rpartition("@")
        for trace in read_traces(file, growing=True):
            yield Recorded(task, budget if task else "", trace)
