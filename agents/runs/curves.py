"""What a run logged, by update."""

from __future__ import annotations

from pathlib import Path

from finemem_env.errors import ConfigError
from finemem_env.fields import whole_lines

Curve = list[tuple[int, float]]


def read_curve(run: Path, key: str) -> Curve:
    """(update, value) of one metric of a run.

    Raises:
        ConfigError: no such run, or it never logged that key.
        DataError: a line of its metrics.jsonl that is none of a run.
    """
    path = run / "metrics.jsonl"
    if not path.is_file():
        raise ConfigError(f"{run}: expected the folder of a run, with a metrics.jsonl.")
    records = (record for _, record in whole_lines(path))
    found = [(record.count("update"), record.number(key)) for record in records if key in record]
    if not found:
        raise ConfigError(f"{run}: it did not log {key!r}; see docs/training-metrics.md.")
    return found
