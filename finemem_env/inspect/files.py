"""The traces of a path: one file, the folder of a run, or the folder of a training run.

Only files at fixed places below the path are read; nothing that they name is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finemem_env.errors import DataError
from finemem_env.trace import Trace, read_traces

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


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a run is looked at; None: all of it. `episode`: its id, or its number in the run."""

    agent: str | None = None
    task: str | None = None
    budget: str | None = None
    episode: str | None = None

    def takes(self, recorded: Recorded) -> bool:
        """Whether a trace is looked at."""
        trace = recorded.trace
        choices = (
            (self.agent, (trace.agent,)),
            (self.task, (recorded.task,)),
            (self.budget, (recorded.budget,)),
            (self.episode, (trace.episode_id, str(trace.episode))),
        )
        return all(wanted is None or wanted in names for wanted, names in choices)


@dataclass(frozen=True, slots=True)
class RecordedTraces:
    """Every trace of a path, in order; a line that is still being written is left out.

    Raises:
        DataError: no traces, or one that breaks the schema; when they are read.
    """

    path: Path

    def __iter__(self) -> Iterator[Recorded]:
        for file in self._files():
            task, _, budget = file.stem.rpartition("@")
            for trace in read_traces(file, growing=True):
                yield Recorded(task, budget if task else "", trace)

    def state(self) -> str:
        """Changes whenever a trace is added."""
        seen = ((file, file.stat()) for file in self._files())
        return "-".join(f"{stat.st_size:x}.{stat.st_mtime_ns:x}" for _, stat in seen)

    def _files(self) -> list[Path]:
        path = self.path
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
