"""Fill a published table with results of our own: `python -m baselines.published --help`.

Plays agents on every sub-dataset of a table under its publication's protocol, and prints the table
with the averages: the mean of the columns, and the mean over competencies.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym

import finemem_env  # noqa: F401  (registers the environments)
from baselines.agents import agent_name
from baselines.runs.choice import AgentChoice
from baselines.runs.folder import RunFolder
from baselines.runs.options import AgentArguments, Progress, json_object, positive, print_settings
from baselines.runs.run import RunConfig, run
from baselines.suites import Task
from baselines.tables.published_tables import TABLES, Column, PublishedTable, macro, mean
from baselines.tables.summary import Result
from finemem_env.data.source import BaseSource
from finemem_env.errors import ConfigError, DataError, FineMemError

__all__ = ["Filled", "fill", "main", "markdown", "partial", "plan", "published_markdown"]

_ENV = "FineMem-Mix-v0"
_ROUNDING = 0.0015  # what rounding the columns to three decimals can make of their mean
_AGENTS = ("skip", "rag", "long_context", "salience", "oracle")
_REBUILT_EPISODES = 10
# Sources of whole texts, which have as many chunks as it takes.
_WHOLE = ("perltqa", "longmemeval", "squality", "booksum_squality")
_EPILOG = """\
The published parquet files are found in --data-dir (memalpha/, memoryagentbench/), or at the hub:
  python -m baselines.published memalpha --agent rag --output-dir runs/memalpha \\
      --difficulty '{"hub": "YuWangX/Memalpha", "revision": "<commit>"}'

With the published answering model, and as judge (both as of the environment's keywords):
  MODEL='{"name": "openai", "model": "Qwen/Qwen3-32B", "base_url": "http://localhost:8000/v1"}'
  python -m baselines.published memalpha --agent llm --agent-args "{\\"backend\\": $MODEL}" \\
      --reader "$MODEL" --judge "$MODEL" --jobs 8 --output-dir runs/memalpha-qwen

--data rebuilt plays the sources that make the same kind of data from the publishers' files of
SQuAD, HotpotQA, BANKING77, …: other texts, so other numbers.
"""


@dataclass(frozen=True, slots=True)
class Filled:
    """One agent's line: a score for every column, None where there is none; thousands of tokens."""

    agent: str
    scores: tuple[float | None, ...]
    memory: float | None
    episodes: int


def plan(
    table: PublishedTable, data: str, env_args: Mapping[str, Any], episodes: int | None
) -> tuple[tuple[Task, ...], dict[str, str]]:
    """The tasks of a table, and why others cannot be played, by sub-dataset.

    Args:
        table: which.
        data: "published" or "rebuilt".
        env_args: keywords of every environment.
        episodes: at most so many instances a sub-dataset; None: all, of rebuilt ones four.

    Raises:
        ConfigError: none can be played: the first reason, if it is a setting.
        DataError: the same, if it is the data.
    """
    tasks: list[Task] = []
    missing: dict[str, str] = {}
    errors: list[ConfigError | DataError] = []
    for column in table.columns:
        if not _names(column, data):
            missing[column.name] = "no source rebuilds it"
        for options in _names(column, data):
            found: list[ConfigError | DataError] = []
            for name in options.split("|"):
                try:
                    tasks.append(_sized(_task(table, data, name, env_args), episodes))
                    break
                except (ConfigError, DataError) as error:
                    found.append(error)
            else:
                missing[options] = str(found[0])
                errors += found
    if not tasks:
        raise errors[0]
    return tuple(tasks), missing


def _names(column: Column, data: str) -> tuple[str, ...]:
    return column.data_sources if data == "published" else column.rebuilt


def _task(table: PublishedTable, data: str, name: str, env_args: Mapping[str, Any]) -> Task:
    # Answers are scored here, so a judge is not asked about every item written (Mem-α's reward).
    unjudged = {"weights": {"content": 0.0}}
    given: dict[str, Any] = {"protocol": table.protocol, "split": "test", **unjudged, **env_args}
    if data == "published":
        knobs = {**given.pop("difficulty", {}), "data_source": name}
        given |= {"source": table.source, "difficulty": knobs}
    else:
        given["source"] = name
        if name not in _WHOLE:
            given.setdefault("num_chunks", table.chunks)
    return Task(_plain(name), _ENV, given, every=data == "published")


def _plain(name: str) -> str:
    """A name that can be part of a file's."""
    return re.sub(r"[^\w-]", "", name)


def _sized(task: Task, episodes: int | None) -> Task:
    """The task with its number of episodes; refuses what cannot be made."""
    with closing(gym.make(task.env, disable_env_checker=True, **task.env_args)) as env:
        source = getattr(getattr(env.unwrapped, "factory", None), "source", None)
        size = source.size if isinstance(source, BaseSource) else None
        if not task.every:
            env.reset(seed=0)  # a source may find only here that it has too little text
    if task.every and size is not None:
        count = min(size, episodes or size)
    else:
        count = episodes or _REBUILT_EPISODES
    return Task(task.name, task.env, task.env_args, count, every=task.every)


def fill(table: PublishedTable, data: str, results: Sequence[Result]) -> list[Filled]:
    """The lines of the agents: the mean over instances, then over the sub-datasets of a column.

    Of a column's sub-datasets those count that were played (`partial` says where some were not).
    """
    return [_line(table, data, agent, results) for agent in dict.fromkeys(r.agent for r in results)]


def _line(table: PublishedTable, data: str, agent: str, results: Sequence[Result]) -> Filled:
    scores, memories, count = [], [], 0
    for names in _played(table, data, results).values():
        groups = [[r for r in results if (r.agent, r.task) == (agent, name)] for name in names]
        valid = [[one for one in group if one.status != "invalid"] for group in groups]
        done = [[one for one in group if one.status == "ok"] for group in valid]
        count += sum(map(len, valid))
        scores.append(mean([mean([one.score for one in group]) for group in valid]))
        memories.append(mean([mean([one.memory_tokens / 1000 for one in group]) for group in done]))
    held = [memory for memory in memories if memory is not None]
    return Filled(agent, tuple(scores), mean(held), count)


def _played(table: PublishedTable, data: str, results: Sequence[Result]) -> dict[str, list[str]]:
    """The tasks of each column that there are results of."""
    there = {result.task for result in results}
    return {
        column.name: [
            name
            for options in _names(column, data)
            for name in map(_plain, options.split("|"))
            if name in there
        ]
        for column in table.columns
    }


def partial(table: PublishedTable, data: str, results: Sequence[Result]) -> str:
    """Which columns are of a part of their sub-datasets, as a sentence; "" where none is."""
    played = _played(table, data, results)
    found = [
        f"{column.name} is of {', '.join(played[column.name])} alone"
        for column in table.columns
        if 0 < len(played[column.name]) < len(column.data_sources)
    ]
    return f"{'; '.join(found)}." if found else ""


def markdown(table: PublishedTable, lines: Sequence[Filled]) -> str:
    """Our lines as a markdown table; the averages are over the columns that are there."""
    there = [
        i for i in range(len(table.columns)) if any(line.scores[i] is not None for line in lines)
    ]
    few = "" if len(there) == len(table.columns) else f" of {len(there)}"
    heading = ["agent", *(column.name for column in table.columns)]
    heading += [f"mean{few}", f"macro{few}", "memory [k]", "episodes"]
    columns = [table.columns[i] for i in there]
    rows = []
    for line in lines:
        scores = [line.scores[i] for i in there]
        cells = map(_number, (*line.scores, mean(scores), macro(columns, scores)))
        memory = "-" if line.memory is None else f"{line.memory:.1f}"
        rows.append([f"`{line.agent}`", *cells, memory, str(line.episodes)])
    return _table(heading, rows)


def published_markdown(table: PublishedTable) -> str:
    """The published lines: the average as printed, both averages computed again, what it is off."""
    with_memory = any(row.memory is not None for row in table.rows)
    heading = ["method", *(column.name for column in table.columns)]
    heading += ["printed", "mean", "macro", f"printed - {table.headline}"]
    rows = []
    for row in table.rows:
        averages = {"mean": mean(row.scores), "macro": macro(table.columns, row.scores)}
        off = row.reported - (averages[table.headline] or 0.0)
        cells = map(_number, (*row.scores, row.reported, *averages.values()))
        rows.append(
            [row.method, *cells, f"{off:+.3f}".replace("0.", ".") if abs(off) > _ROUNDING else ""]
        )
        if with_memory:
            rows[-1].append("-" if row.memory is None else f"{row.memory:g}")
    return _table([*heading, "memory [k]"] if with_memory else heading, rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}".removeprefix("0")


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code (2 for a setting or file that does not fit)."""
    given = _parser().parse_args(arguments)
    table = TABLES[given.table]
    try:
        tasks, missing = plan(table, given.data, _env_args(given), given.episodes)
        for name, why in missing.items():
            print(f"left out: {name}: {why}", file=sys.stderr)
        config = RunConfig(
            _ENV,
            agents=tuple(given.agent or map(AgentChoice, _AGENTS)),
            seed=given.seed,
            own_tasks=tasks,
        )
        total = sum(task.episodes for task in tasks) * len(config.agents)
        with closing(Progress(total)) as progress:
            run(
                config,
                given.output_dir,
                resume=given.resume,
                progress=progress,
                jobs=given.jobs,
                time_limit=given.time_limit or None,
            )
    except (FineMemError, gym.error.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command with --resume goes on", file=sys.stderr)
        return 130
    folder = RunFolder(given.output_dir)
    results = folder.results()
    print(
        f"{table.title}, {given.data} data\n\n{markdown(table, fill(table, given.data, results))}"
    )
    if part := partial(table, given.data, results):
        print(f"\n{part}")
    for status, count in Counter(one.status for one in results if one.status != "ok").items():
        print(f"\n{count} episodes {status}; see results.jsonl")
    print()
    print_settings(folder)
    return 0


def _env_args(given: argparse.Namespace) -> dict[str, Any]:
    env_args: dict[str, Any] = dict(given.env_args)
    for key in ("reader", "judge", "difficulty"):
        if (value := getattr(given, key)) is not None:
            env_args[key] = value
    if given.data_dir is not None:
        env_args["data_dir"] = str(given.data_dir)
    return env_args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m baselines.published",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    titles = "; ".join(f"{table.name}: {table.title}" for table in TABLES.values())
    add("table", choices=list(TABLES), help=titles)
    add("--data", choices=("published", "rebuilt"), default="published", help="which files")
    add("--data-dir", type=Path, metavar="DIR", help="parent of the data (default: $FINEMEM_DATA)")
    add("--difficulty", type=json_object, metavar="JSON", help="knobs of the source: hub, revision")
    add(
        "--agent",
        action="append",
        type=lambda text: AgentChoice(agent_name(text)),
        metavar="NAME",
        help=f"may be repeated (default: {', '.join(_AGENTS)})",
    )
    add("--agent-args", action=AgentArguments, type=json_object, metavar="JSON", help="of the last")
    add("--reader", type=_named, metavar="JSON", help="answers the questions (default: local)")
    add("--judge", type=_named, metavar="JSON", help="grades where a metric asks for it")
    add("--env-args", type=json_object, default={}, metavar="JSON", help="more keywords")
    add("--episodes", type=positive, help="at most so many instances of a sub-dataset")
    add("--seed", type=int, default=0, help="decides the episodes of rebuilt data")
    add("--jobs", type=positive, default=1, help="processes (default: %(default)s)")
    add("--time-limit", type=float, default=0.0, help="seconds an agent has in an episode; 0: none")
    add("--output-dir", type=Path, required=True, metavar="DIR", help="a new folder for the run")
    add("--resume", action="store_true", help="continue the run in DIR: what is missing or failed")
    return parser


def _named(text: str) -> Any:  # noqa: ANN401
    return json_object(text) if text.lstrip().startswith("{") else text


if __name__ == "__main__":
    sys.exit(main())
