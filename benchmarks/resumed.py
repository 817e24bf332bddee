"""Work whose results are lines of a file: what is there already is not done again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

from finemem_env.cli.progress import Progress
from finemem_env.disk import hold
from finemem_env.errors import DataError
from finemem_env.fields import Fields, parse_json

Record = dict[str, Any]
_Job = TypeVar("_Job")


def stored(path: Path) -> Iterator[Fields]:
    """The records of `path`, none where there is no file; a torn line is skipped."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(DataError):
                yield Fields(parse_json(line, str(path)), str(path))


def work_off(
    jobs: Sequence[_Job],
    work: Callable[[_Job], Record],
    path: Path,
    processes: int,
    unit: str,
    told: Callable[[Record], str],
) -> Iterator[Record]:
    """Do every job; its record is a line of `path` as soon as it is there.

    Args:
        jobs: those that `path` does not hold yet.
        work: what makes the record of a job.
        path: new, or gone on with.
        processes: how many work at a time; records come in the order in which they end.
        unit: of the progress bar.
        told: what is shown of a record beside the bar.

    Raises:
        ConfigError: another process is adding to `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file, Progress(len(jobs), unit) as advance:
        hold(file.fileno(), path)
        file.write("\n" if torn else "")
        for record in _each(jobs, work, processes):
            file.write(json.dumps(record) + "\n")
            file.flush()
            yield record
            advance(told(record))


def _each(jobs: Sequence[_Job], work: Callable[[_Job], Record], processes: int) -> Iterator[Record]:
    if processes == 1:
        yield from map(work, jobs)
        return
    pool = ProcessPoolExecutor(max_workers=processes)
    try:
        for future in as_completed([pool.submit(work, job) for job in jobs]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
