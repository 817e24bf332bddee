"""What runs logged, by update: one run's, and the mean of several."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

from baselines.tables.intervals import Estimate, over_seeds
from finemem_env.errors import ConfigError, DataError
from finemem_env.fields import read_object, whole_lines

Curve = list[tuple[int, float]]
# Settings by which runs of one line may differ.
_FREE = ("seed", "threads", "track")


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
    curve = [(record.count("update"), record.number(key)) for record in records if key in record]
    if not curve:
        raise ConfigError(f"{run}: it did not log {key!r}; see docs/training-metrics.md.")
    return curve


def mean_curve(curves: Iterable[Curve]) -> list[tuple[int, Estimate]]:
    """By update, the mean over the curves that have it; with its interval where several do."""
    values: dict[int, list[float]] = defaultdict(list)
    for curve in curves:
        for update, value in curve:
            values[update].append(value)
    return [(update, over_seeds(values[update])) for update in sorted(values)]


def each_alone(runs: Sequence[Path]) -> dict[str, list[Path]]:
    """A group for every run: the name of its folder, its path where several have that name."""
    names = Counter(run.name for run in runs)
    return {run.name if names[run.name] == 1 else str(run): [run] for run in runs}


def same_but_seed(runs: Sequence[Path]) -> dict[str, list[Path]]:
    """The runs in groups whose settings differ by the seed alone, under a name for each.

    A group is named after what the names of its folders begin with. Of runs with one seed, which
    say the same, the first counts: a repeat makes no mean more certain. Runs without settings
    (config.json) are alone.
    """
    groups: dict[str, dict[object, Path]] = defaultdict(dict)
    for run in runs:
        settings, seed = _settings(run)
        groups[settings].setdefault(seed, run)
    named: dict[str, list[Path]] = {}
    for group in (list(by_seed.values()) for by_seed in groups.values()):
        name = _common(group)
        named[f"{name} ({len(named)})" if name in named else name] = group
    return named


def _settings(run: Path) -> tuple[str, object]:
    """What groups a run, and its seed."""
    path = run / "config.json"
    try:
        settings = read_object(path).mapping_of_all()
    except DataError:
        return f"alone: {run.resolve()}", None
    kept = {key: value for key, value in settings.items() if key not in _FREE}
    return json.dumps(kept, sort_keys=True), json.dumps(settings.get("seed"))


def _common(group: Sequence[Path]) -> str:
    names = [run.name or str(run) for run in group]
    if len(names) == 1:
        return names[0]
    letters = takewhile(lambda column: len(set(column)) == 1, zip(*names, strict=False))
    start = "".join(column[0] for column in letters).rstrip("-_. ") or names[0]
    return f"{start} ({len(names)} runs)"
