"""What the command lines that play episodes have in common."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from baselines.agents import agent_name
from baselines.runs.choice import AgentChoice
from baselines.runs.folder import RunFolder
from baselines.runs.run import RunConfig, run
from baselines.tables.curves import run_table
from baselines.tables.summary import AgentSummary
from finemem_env.cli.frame import saving
from finemem_env.cli.options import (
    add_output_options,
    add_verbose,
    at_least_zero,
    json_object,
    positive,
)
from finemem_env.cli.progress import Progress
from finemem_env.cli.shards import add_shard
from finemem_env.errors import ConfigError

ALL = "all"


class AgentArguments(argparse.Action):
    """`--agent-args` belongs to the `--agent` before it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401
        option_string: str | None = None,
    ) -> None:
        """Attach the parsed object to the last agent."""
        if not namespace.agent:
            parser.error("--agent-args must follow the --agent it belongs to")
        namespace.agent[-1] = AgentChoice(namespace.agent[-1].name, values)


def add_agent_options(parser: argparse.ArgumentParser, text: str) -> None:
    """`--agent NAME`, which may be repeated, each with `--agent-args JSON`."""
    add = parser.add_argument
    add("--agent", action="append", type=_agent, metavar="NAME", help=f"may be repeated; {text}")
    add(
        "--agent-args",
        action=AgentArguments,
        type=json_object,
        metavar="JSON",
        help="constructor arguments of the --agent before it",
    )


def _agent(text: str) -> AgentChoice:
    try:
        return AgentChoice(text if text == ALL else agent_name(text))
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_run_options(parser: argparse.ArgumentParser, time_limit: float) -> None:
    """How a run is played and where it is written."""
    add = parser.add_argument
    add("--jobs", type=positive, default=1, metavar="N", help="processes")
    add(
        "--time-limit",
        type=at_least_zero,
        default=time_limit,
        metavar="SECONDS",
        help="an agent's own time in one episode; 0: no limit",
    )
    add_shard(parser, "python -m baselines.merge")
    add_output_options(parser, "what is missing or failed")
    add_verbose(parser)


def play(config: RunConfig, options: argparse.Namespace) -> list[AgentSummary]:
    """Run `config` as the options of `add_run_options` say."""
    hint = "Finished episodes are kept: the same command with --resume goes on."
    with saving(options.output_dir, hint), Progress(0, "episode") as progress:
        return run(
            config,
            options.output_dir,
            resume=options.resume,
            progress=progress,
            jobs=options.jobs,
            time_limit=options.time_limit or None,
            shard=options.shard,
        )


def print_shard(options: argparse.Namespace) -> None:
    """What is said of a part of a run in the place of its table, which would be of a part."""
    place, part = options.output_dir, options.shard
    count = Counter(result.status for result in RunFolder(place).results())
    broken = "".join(f", {count[kind]} {kind}" for kind in ("failed", "invalid") if count[kind])
    print(f"shard {part} is done: {count.total()} episodes{broken}")
    print(f"written to {place}; python -m baselines.merge puts all {part.count} together")


def print_run(rows: Sequence[AgentSummary], folder: Path) -> None:
    """The table of a run, and which agents broke."""
    print(run_table(rows, RunFolder(folder).results()))
    for row in rows:
        if row.failed or row.invalid:
            print(f"{row.agent}: {row.failed} failed, {row.invalid} invalid; see results.jsonl")


def print_place(folder: Path, *, verbose: bool) -> None:
    """Say where a run is; with `verbose` the resolved settings too, as in its config.json."""
    if verbose:
        print(f"settings: {json.dumps(RunFolder(folder).config()['settings'], ensure_ascii=False)}")
    print(f"written to {folder}")
