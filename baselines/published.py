"""Fill a published table with results of our own: `python -m baselines.published --help`.

Plays agents on every sub-dataset of a table under its publication's protocol, and prints the table
with the averages: the mean of the columns, and the mean over competencies.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym

import finemem_env  # noqa: F401  (registers the environments)
from baselines.runs.choice import AgentChoice
from baselines.runs.folder import RunFolder
from baselines.runs.options import (
    add_agent_options,
    add_run_options,
    play,
    print_place,
    print_shard,
)
from baselines.runs.run import RunConfig
from baselines.suites import Task
from baselines.tables.cost import Cost, beside, cost_columns, costs
from baselines.tables.published_tables import TABLES, Column, PublishedTable, macro, mean
from baselines.tables.results import Result
from finemem_env.cli.frame import Parser, command, program
from finemem_env.cli.options import (
    add_env_args,
    add_seed,
    env_args,
    json_object,
    name_or_object,
    positive,
)
from finemem_env.cli.tables import markdown_table, number
from finemem_env.data.source import BaseSource
from finemem_env.errors import ConfigError, DataError

_ENV = "FineMem-Mix-v0"
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
    """One agent's line: a score for every column, None where there is none; thousands of tokens.

    `costs`: of models by role, over all episodes that were played to their end.
    """

    agent: str
    scores: tuple[float | None, ...]
    memory: float | None
    episodes: int
    costs: Mapping[str, Cost] = field(default_factory=dict)


def plan(
    table: PublishedTable, data: str, env_args: Mapping[str, Any], episodes: int | None
) -> tuple[tuple[Task, ...], dict[str, str]]:
    """The tasks of a table, and why others cannot be played, by sub-dataset.

    Args:
        table: which.
        data: "published" or "rebuilt".
        env_args: keywords of every environment.
        episodes: at most so many instances a sub-dataset; None: all, of rebuilt ones ten.

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
            reasons: list[ConfigError | DataError] = []
            for name in options.split("|"):
                try:
                    tasks.append(_sized(_task(table, data, name, env_args), episodes))
                    break
                except (ConfigError, DataError) as error:
                    reasons.append(error)
            else:
                missing[options] = str(reasons[0])
                errors += reasons
    if not tasks:
        raise errors[0]
    return tuple(tasks), missing


def _names(column: Column, data: str) -> tuple[str, ...]:
    return column.data_sources if data == "published" else column.rebuilt


def _task(table: PublishedTable, data: str, name: str, env_args: Mapping[str, Any]) -> Task:
    # Answers are scored here, so a judge is not asked about every item written (Mem-α's reward).
    unjudged = {"weights": {"content": 0.0}}
    keywords: dict[str, Any] = {"protocol": table.protocol, "split": "test", **unjudged, **env_args}
    if data == "published":
        knobs = {**keywords.pop("difficulty", {}), "data_source": name}
        keywords |= {"source": table.source, "difficulty": knobs}
    else:
        keywords["source"] = name
        if name not in _WHOLE:
            keywords.setdefault("num_chunks", table.chunks)
    return Task(_plain(name), _ENV, keywords, every=data == "published", at_most=True)


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
    return replace(task, episodes=count)


def fill(table: PublishedTable, data: str, results: Sequence[Result]) -> list[Filled]:
    """The lines of the agents: the mean over instances, then over the sub-datasets of a column.

    Of a column's sub-datasets those count that were played (`partial` says where some were not).
    """
    return [_line(table, data, agent, results) for agent in dict.fromkeys(r.agent for r in results)]


def _line(table: PublishedTable, data: str, agent: str, results: Sequence[Result]) -> Filled:
    scores, memories, count = [], [], 0
    for names in _played(table, data, results).values():
        groups = [[r for r in results if (r.agent, r.task) == (agent, name)] for name in names]
        valid = [[r for r in group if r.status != "invalid"] for group in groups]
        done = [[r for r in group if r.status == "ok"] for group in valid]
        count += sum(map(len, valid))
        scores.append(mean([mean([result.score for result in group]) for group in valid]))
        sizes = [[r.memory_tokens for r in group if r.memory_tokens is not None] for group in done]
        memories.append(mean([mean([size / 1000 for size in group]) for group in sizes]))
    held = [memory for memory in memories if memory is not None]
    own = [r for r in results if r.agent == agent and r.status == "ok"]
    return Filled(agent, tuple(scores), mean(held), count, costs(own))


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
    parts = [
        f"{column.name} is of {', '.join(played[column.name])} alone"
        for column in table.columns
        if 0 < len(played[column.name]) < len(column.data_sources)
    ]
    return f"{'; '.join(parts)}." if parts else ""


def markdown(table: PublishedTable, lines: Sequence[Filled]) -> str:
    """Our lines as a markdown table; the averages are over the columns that are there."""
    there = [
        i for i in range(len(table.columns)) if any(line.scores[i] is not None for line in lines)
    ]
    few = "" if len(there) == len(table.columns) else f" of {len(there)}"
    heading = ["agent", *(column.name for column in table.columns)]
    heading += [f"mean{few}", f"macro{few}", "memory [k]", "episodes"]
    spent_on, spent = cost_columns(lines)
    columns = [table.columns[i] for i in there]
    rows = []
    for line, more in zip(lines, spent, strict=True):
        scores = [line.scores[i] for i in there]
        values = (*line.scores, mean(scores), macro(columns, scores))
        cells = (number(value, bare=True) for value in values)
        rows.append([f"`{line.agent}`", *cells, number(line.memory, 1), str(line.episodes), *more])
    return markdown_table([*heading, *spent_on], rows)


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Play the agents and print the table."""
    options = _parser().parse_args(arguments)
    table = TABLES[options.table]
    keywords = env_args(options, "reader", "judge", "difficulty", "data_dir")
    tasks, missing = plan(table, options.data, keywords, options.episodes)
    for name, why in missing.items():
        print(f"left out: {name}: {why}", file=sys.stderr)
    agents = tuple(options.agent or map(AgentChoice, _AGENTS))
    play(RunConfig(_ENV, agents=agents, seed=options.seed, own_tasks=tasks), options)
    if options.shard is not None:
        print_shard(options)
        return 0
    results = RunFolder(options.output_dir).results()
    print(f"{table.title}, {options.data} data\n")
    lines = fill(table, options.data, results)
    print(markdown(table, lines) + beside(lines))
    if part := partial(table, options.data, results):
        print(f"\n{part}")
    for status, count in Counter(r.status for r in results if r.status != "ok").items():
        print(f"\n{count} episodes {status}; see results.jsonl")
    print()
    print_place(options.output_dir, verbose=options.verbose)
    return 0


def _parser() -> Parser:
    parser = program("baselines.published", __doc__, _EPILOG)
    add = parser.add_argument
    titles = "; ".join(f"{table.name}: {table.title}" for table in TABLES.values())
    add("table", choices=list(TABLES), help=titles)
    add("--data", choices=("published", "rebuilt"), default="published", help="which files")
    add("--data-dir", metavar="DIR", help="parent of the data (default: $FINEMEM_DATA)")
    add("--difficulty", type=json_object, metavar="JSON", help="knobs of the source: hub, revision")
    add_agent_options(parser, f"(default: {', '.join(_AGENTS)})")
    add("--reader", type=name_or_object, metavar="JSON", help="who answers (default: local)")
    add("--judge", type=name_or_object, metavar="JSON", help="grades where a metric asks for it")
    add_env_args(parser)
    add(
        "--episodes", type=positive, metavar="N", help="at most so many of a sub-dataset, each once"
    )
    add_seed(parser, "decides the episodes of rebuilt data")
    add_run_options(parser, time_limit=0.0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
