"""The folder of one run: config.json, results.jsonl, traces.jsonl, summary.json.

In a run of a suite the traces are in traces/, one file for every task and budget.

A result line is written after its trace and flushed to disk, so a run that is killed at any moment
leaves a folder that can be resumed: a trace without a result, or half a line, is dropped then.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from baselines.tables.curves import curves, headline
from baselines.tables.results import Result
from baselines.tables.summary import AgentSummary, summarise
from finemem_env.backends.options import read_options
from finemem_env.disk import write_whole
from finemem_env.errors import ConfigError, DataError
from finemem_env.fields import Fields, read_object, whole_lines
from finemem_env.trace import Trace, read_traces, trace_line

CONFIG_SCHEMA = "finemem-run/1"
RESULT_SCHEMA = "finemem-result/1"
SUMMARY_SCHEMA = "finemem-summary/1"
# What may differ between the start of a run and its continuation.
_VOLATILE = ("git_commit", "python", "platform")
Key = tuple[str, str, str, int]  # of a result: task, budget, agent, episode


class RunFolder:
    """Reads and writes the files of a run; it never runs anything."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._config = path / "config.json"
        self._results = path / "results.jsonl"

    def start(self, config: Mapping[str, Any], *, resume: bool) -> list[Result]:
        """Claim the folder for `config`; returns the finished results of an earlier attempt.

        Raises:
            ConfigError: the folder holds a run and `resume` is off, or a run of another config.
        """
        record = {"schema": CONFIG_SCHEMA, **json.loads(json.dumps(config))}
        if not self._config.exists():
            if self._results.exists() or self.trace_files():
                raise ConfigError(
                    f"{self.path} holds results without a config.json; choose another."
                )
            self.path.mkdir(parents=True, exist_ok=True)
            _write_text(self._config, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
            return []
        if not resume:
            raise ConfigError(
                f"{self.path} already holds a run; continue it with --resume or choose another."
            )
        self.check_same(record, "Choose another folder.")
        return self._keep_finished()

    def trace_files(self) -> dict[tuple[str, str], Path]:
        """The trace files that are there, by (task, budget)."""
        whole = self.path / "traces.jsonl"
        files = {("", ""): whole} if whole.is_file() else {}
        for path in sorted((self.path / "traces").glob("*.jsonl")):
            task, _, budget = path.stem.rpartition("@")
            files[task, budget] = path
        return files

    def config(self) -> dict[str, Any]:
        """What config.json holds.

        Raises:
            DataError: there is no run here.
        """
        record = read_object(self._config)
        if record.get("schema") != CONFIG_SCHEMA:
            raise record.error("schema", repr(CONFIG_SCHEMA))
        return record.mapping_of_all()

    def whole_config(self) -> dict[str, Any]:
        """What config.json holds, for what is only true of a whole run.

        Raises:
            ConfigError: it is a shard.
            DataError: there is no run here.
        """
        config = self.config()
        if part := config.get("shard"):
            raise ConfigError(
                f"{self.path} is shard {part} of a run: put all of them together with "
                "python -m baselines.merge first."
            )
        return config

    def results(self) -> list[Result]:
        """Every finished line of results.jsonl."""
        return [read_result(record) for _, record in whole_lines(self._results)]

    def traces(self, only: str | None = None) -> Iterator[tuple[Key, Trace]]:
        """Every trace with the key of its result; `only` those of one budget."""
        for (task, budget), path in self.trace_files().items():
            if only not in (None, budget):
                continue
            for trace in read_traces(path):
                yield (task, budget, trace.agent, trace.episode), trace

    def traced(self) -> set[Key]:
        """The keys of the results that have a trace."""
        return {
            (task, budget, *_player(record))
            for (task, budget), path in self.trace_files().items()
            for _, record in whole_lines(path)
        }

    def check_same(self, config: Mapping[str, Any], remedy: str) -> None:
        """Refuse a run of another config.

        Args:
            config: what it should be.
            remedy: what to do, the end of the error.

        Raises:
            ConfigError: something that decides the results differs.
            DataError: there is no run here.
        """
        stored = self.config()
        for key in sorted({*stored, *config} - set(_VOLATILE)):
            if stored.get(key) != config.get(key):
                raise ConfigError(
                    f"{self.path} holds a run with another {key}: {_short(stored.get(key))}, not "
                    f"{_short(config.get(key))}. {remedy}"
                )

    def fill(self, parts: Sequence[RunFolder], order: Sequence[Key]) -> None:
        """Take the results and traces of other folders, in the order of a serial run."""
        results = {
            read_result(record).key: line
            for part in parts
            for line, record in whole_lines(part._results)
        }
        _write_text(self._results, "".join(results[key] for key in order))
        files = [part.trace_files() for part in parts]
        for task, budget in dict.fromkeys(place for own in files for place in own):
            traces = {
                (task, budget, *_player(record)): line
                for own in files
                if (task, budget) in own
                for line, record in whole_lines(own[task, budget])
            }
            text = "".join(traces[key] for key in order if key in traces)
            _write_text(self._trace_path(task, budget), text)

    def add(self, result: Result, trace: Trace | None) -> None:
        """Append one result, after its trace."""
        if trace is not None:
            _append(self._trace_path(result.task, result.budget), trace_line(trace))
        record = {"schema": RESULT_SCHEMA, **asdict(result)}
        _append(self._results, json.dumps(record, ensure_ascii=False) + "\n")

    def sort(self, order: Mapping[Key, int]) -> None:
        """Bring results and traces into the order of a serial run."""
        lines = whole_lines(self._results)
        records = [(order[read_result(record).key], line) for line, record in lines]
        _write_text(self._results, "".join(line for _, line in sorted(records)))
        for (task, budget), path in self.trace_files().items():
            ranked = [
                (order[task, budget, *_player(record)], line) for line, record in whole_lines(path)
            ]
            _write_text(path, "".join(line for _, line in sorted(ranked)))

    def finish(self, results: Sequence[Result], config: Mapping[str, Any]) -> list[AgentSummary]:
        """Write summary.json; returns the rows of the headline budget."""
        rows = {
            budget: summarise([result for result in results if result.budget == budget])
            for budget in dict.fromkeys(result.budget for result in results)
        }
        shown = headline(rows)
        record = {
            "schema": SUMMARY_SCHEMA,
            "suite": config.get("suite"),
            "env": config["env"],
            "data_hash": config["data_hash"],
            "headline_budget": shown,
            "agents": [row.as_dict() for row in rows.get(shown, [])],
        }
        if len(rows) > 1:
            record["budgets"] = {
                budget: [row.as_dict() for row in group] for budget, group in rows.items()
            }
            record["curves"] = [asdict(curve) for curve in curves(results)]
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        _write_text(self.path / "summary.json", text)
        return rows.get(shown, [])

    def _trace_path(self, task: str, budget: str) -> Path:
        if not task and not budget:
            return self.path / "traces.jsonl"
        folder = self.path / "traces"
        folder.mkdir(exist_ok=True)
        return folder / f"{task}@{budget}.jsonl"

    def _keep_finished(self) -> list[Result]:
        """Drop failed and half-written lines, and traces that no kept result belongs to."""
        lines = ((read_result(record), line) for line, record in whole_lines(self._results))
        kept = {result.key: (result, line) for result, line in lines if result.status == "ok"}
        traces: dict[Key, str] = {}
        for (task, budget), path in self.trace_files().items():
            for line, record in whole_lines(path):
                key = (task, budget, *_player(record))
                if key in kept:
                    traces[key] = line
        kept = {key: pair for key, pair in kept.items() if key in traces}
        _write_text(self._results, "".join(line for _, line in kept.values()))
        for (task, budget), path in self.trace_files().items():
            _write_text(path, "".join(traces[key] for key in kept if key[:2] == (task, budget)))
        return [result for result, _ in kept.values()]


def check_config(config: Fields) -> None:
    """The form of a run's config.json, for what may be a stranger's.

    Raises:
        DataError: a part that is missing or of another type.
    """
    if config.get("schema") != CONFIG_SCHEMA:
        raise config.error("schema", repr(CONFIG_SCHEMA))
    if config.get("suite") is not None or "suite" not in config:
        config.text("suite")
    for name, one, several in (
        ("env", config.text, config.texts),
        ("env_args", config.child, config.children),
    ):
        read: Callable[[str], object] = several if isinstance(config.get(name), list) else one
        read(name)
    config.texts("agents")
    config.child("settings")
    config.text("data_hash")
    if not all(isinstance(budget, str) for budget in config.items("budgets")):
        raise config.error("budgets", "a list of texts")
    for episode in config.children("episodes"):
        episode.text("task", "")
    for name in ("versions", "task_hashes"):
        if not all(
            isinstance(value, str) for value in config.child(name).mapping_of_all().values()
        ):
            raise config.error(name, "an object of texts")


def read_result(record: Fields) -> Result:
    """A line of results.jsonl.

    Raises:
        ConfigError: another field, or one of another type.
        DataError: a number that is none.
    """
    stored = {key: value for key, value in record.mapping_of_all().items() if key != "schema"}
    for key, value in stored.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise record.error(key, "a finite number")
    return read_options(Result, stored, record.where)


def _player(record: Fields) -> tuple[str, int]:
    """Agent and number of the episode of a trace."""
    return record.text("agent"), record.count("episode")


def own_file(path: Path) -> Path:
    """`path`, which is no link: what a run's folder links to is not ours to write.

    Raises:
        DataError: it is one.
    """
    if path.is_symlink() or path.parent.is_symlink():
        raise DataError(f"{path}: it is a link, and nothing is written through links in a run.")
    return path


def _append(path: Path, line: str) -> None:
    with own_file(path).open("a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _write_text(path: Path, text: str) -> None:
    """Replace the file as a whole: a reader sees the old text or the new one."""
    write_whole(own_file(path), text)


def _short(value: object, limit: int = 120) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"
