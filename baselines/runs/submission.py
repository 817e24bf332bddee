"""One JSON file that holds a run: results, versions, hashes and traces (`finemem-submission/1`).

    {"schema": "finemem-submission/1", "config": {config.json of the run},
     "results": [RESULT], "traces": [{"task": "squad", "budget": "0.4", "trace": TRACE}],
     "sha256": "hash of all of the above"}

`python -m baselines.submit RUN FILE` writes one, `python -m baselines.verify FILE` checks it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from baselines.runs.folder import Key, RunFolder, check_config, read_result
from baselines.tables.results import Result
from finemem_env.disk import check_output, write_whole
from finemem_env.errors import DataError
from finemem_env.fields import Fields, parse_json
from finemem_env.trace import Trace, parse_trace, trace_line, without_texts

SCHEMA = "finemem-submission/1"
_MOST = 2**31  # bytes, unpacked: a stranger's file of a megabyte may unpack to a thousand times it


@dataclass(frozen=True, slots=True)
class Submission:
    """What a submission says: the run's config, its results and its traces by result key."""

    config: Mapping[str, Any]
    results: tuple[Result, ...]
    traces: Mapping[Key, Trace]


def write_submission(run: Path, path: Path) -> None:
    """Put the run in folder `run` into one file; compressed when `path` ends in .gz.

    The chunks that were read stay out of it: publishers' texts are not everyone's to pass on.

    Raises:
        ConfigError: `path` is data of the run.
        DataError: there is no run.
    """
    folder = RunFolder(run)
    check_output(path, run)
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "config": folder.whole_config(),
        "results": [asdict(result) for result in folder.results()],
        "traces": [
            {
                "task": key[0],
                "budget": key[1],
                "trace": json.loads(trace_line(without_texts(trace))),
            }
            for key, trace in folder.traces()
        ],
    }
    record["sha256"] = _digest(record)
    text = json.dumps(record).encode("ascii")
    write_whole(path, gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


def read_submission(path: Path) -> Submission:
    """Read a submission and check its form and its checksum, not its claims.

    Raises:
        DataError: an unreadable file, another schema, or a checksum that is not the content's.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            text = file.read(_MOST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as a submission: {error!r}.") from error
    if len(text) > _MOST:
        raise DataError(f"{path}: holds more than {_MOST:,} bytes, which no run does.")
    record = Fields(parse_json(text, str(path)), str(path))
    if record.get("schema") != SCHEMA:
        raise record.error("schema", repr(SCHEMA))
    if record.get("sha256") != _digest(record.mapping_of_all()):
        raise DataError(f"{path}: the checksum is not that of the content.")
    results = list(map(read_result, record.children("results")))
    traces = {}
    for entry in record.children("traces"):
        trace = parse_trace(entry.get("trace"), f"{entry.where}: trace")
        key = (entry.text("task", ""), entry.text("budget", ""), trace.agent, trace.episode)
        traces[key] = trace
    config = record.child("config")
    check_config(config)
    return Submission(config.mapping_of_all(), tuple(results), traces)


def _digest(record: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in record.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode("ascii")).hexdigest()
