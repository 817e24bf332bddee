"""What a run logged, by update."""

from __future__ import annotations

import json
from pathlib import Path

from finemem_env.errors import ConfigError

Curve = list[tuple[int, float]]


def read_curve(run: Path, key: str) -> Curve:
    """(update, value) of one metric of a run.

    Raises:
        ConfigError: no such run, or it never logged that key.
    """
    path = run / "metrics.jsonl"
    if not path.is_file():
        raise ConfigError(f"{run}: expected the folder of a run, with a metrics.jsonl.")
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [(record["update"], float(record[key])) for record in records if key in record]
    if not found:
        raise ConfigError(f"{run}: it did not log {key!r}; see docs/training-metrics.md.")
    return found
