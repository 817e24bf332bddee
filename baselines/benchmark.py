"""Compare agents on the same episodes: `python -m baselines.benchmark --help`.

Writes one folder per run (config.json, results.jsonl, traces, summary.json) and prints a table.
Every agent meets the same episodes: episode i is reset with SeedSequence([seed, i]).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym

from baselines.agents import AGENTS, CONFIGURED, agent_name
from baselines.runs.folder import RunFolder
from baselines.runs.options import AgentArguments, Progress, json_object, positive, print_settings
from baselines.runs.run import AgentChoice, RunConfig, run
from baselines.suites import SUITES, UNLIMITED
from baselines.tables.budgets import render_curves
from baselines.tables.curves import curves
from baselines.tables.summary import CEILING, FLOOR, render_table
from finemem_env.errors import ConfigError, FineMemError

__all__ = ["main"]

_ALL = "all"


def _listed(entries: Mapping[str, str]) -> str:
    return "\n".join(f"  {name:<20} {text}" for name, text in entries.items())


_EPILOG = f"""\
agents:
{_listed({name: spec.description for name, spec in AGENTS.items()})}
agents that need arguments, and play only when they are asked for:
{_listed({name: spec.description for name, spec in CONFIGURED.items()})}
  package.module:Class   your own: two methods, reset(info) and act(observation, info) -> str

suites (fixed episodes, seeds, data hashes and memory budgets):
{_listed({suite.name: suite.description for suite in SUITES.values()})}

columns of the table:
  score          mean score of the final questions, over episodes (r_global)
  macro          mean over competencies of their mean scores (shown when they differ)
  95 % interval  percentile bootstrap of the score over episodes
  normalised     0 at skip, 1 at oracle, on the same episodes; "-" when they are not in the run
  r_chunk, r_fmt mean over steps; r_chunk is "-" when no chunk question was asked
  compression    1 - memory tokens / input tokens, at the end of the episode
  return         sum of the streamed rewards
  steps/s        environment steps per second of agent and environment together
  area           with budgets: area under score against memory share, as a mean score
  unlimited      with budgets: score without a budget (score is that at budget 0.4)

An agent that raises, hangs past --time-limit, dies or replies with something other than text gets
score 0 for that episode; the episode is counted as failed, its error is in results.jsonl, and the
run goes on. Agents are not told questions, golds and scores.

examples:
  python -m baselines.benchmark --suite suite-cpu-v0 --jobs 2 --output-dir runs/cpu
  python -m baselines.benchmark --env FineMem-AR-v0 --source squad --agent store_chunks \\
      --agent random --agent-args '{{"seed": 1}}' --episodes 20 --output-dir runs/squad
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code (2 for a setting or file that does not fit)."""
    given = _parser().parse_args(arguments)
    try:
        config = _config(given)
        with closing(Progress(_total(config))) as progress:
            rows = run(
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
    if len(config.all_budgets) > 1:
        print(render_curves(rows, curves(folder.results())))
    else:
        print(render_table(rows))
    for row in rows:
        if row.failed or row.invalid:
            print(f"{row.agent}: {row.failed} failed, {row.invalid} invalid; see results.jsonl")
    print_settings(folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m baselines.benchmark",
        description="Compare memory agents on the same episodes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--suite", choices=list(SUITES), help="play this suite instead of one environment")
    add("--env", help="environment id (default: FineMem-AR-v0)")
    add("--source", help="data source, or the path of an episode file (default: the environment's)")
    add("--split", help="train, val or test (default: test)")
    add("--protocol", help="bundle of settings, e.g. managed or fine-mem")
    add("--difficulty", type=json_object, metavar="JSON", help="knobs of the synthetic source")
    add(
        "--env-args",
        type=json_object,
        default={},
        metavar="JSON",
        help='any keyword of the environment, e.g. \'{"memory_budget": 0.2, "top_k": 2}\'',
    )
    add(
        "--agent",
        action="append",
        type=_agent,
        default=None,
        metavar="NAME",
        help="may be repeated; all: every agent that needs no arguments (default: all)",
    )
    add(
        "--agent-args",
        action=AgentArguments,
        type=json_object,
        metavar="JSON",
        help="constructor arguments of the --agent before it",
    )
    add(
        "--no-reference",
        action="store_true",
        help=f"do not add {FLOOR} and {CEILING}, which the normalised score needs",
    )
    add("--episodes", type=positive, help="episodes per agent (default: 20)")
    add("--seed", type=int, help="decides the episodes (default: 0)")
    add(
        "--budgets",
        type=_budgets,
        default=(),
        metavar="LIST",
        help="memory budgets as shares of the input, e.g. 0.1,0.4,1.0,unlimited (default: the "
        "suite's, or the environment's own)",
    )
    add("--jobs", type=positive, default=1, help="processes (default: %(default)s)")
    add(
        "--time-limit",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="an agent's own time in one episode; 0: no limit (default: %(default)s)",
    )
    add("--output-dir", type=Path, required=True, metavar="DIR", help="a new folder for the run")
    add("--resume", action="store_true", help="continue the run in DIR: what is missing or failed")
    return parser


def _budgets(text: str) -> tuple[str, ...]:
    """Budgets in the spelling of the suites: "0.4", "1.0", "unlimited"."""
    found = []
    for part in text.split(","):
        try:
            found.append(part if part == UNLIMITED else str(float(part)))
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"not a share or {UNLIMITED!r}: {part!r}") from error
    return tuple(dict.fromkeys(found))


def _agent(text: str) -> AgentChoice:
    try:
        return AgentChoice(text if text == _ALL else agent_name(text))
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _config(given: argparse.Namespace) -> RunConfig:
    """The run that the command line asks for; a keyword given twice is an error."""
    agents = _chosen(given.agent or [AgentChoice(_ALL)])
    names = {choice.label for choice in agents}
    if not given.no_reference:
        agents = [*(_missing(FLOOR, names)), *agents, *(_missing(CEILING, names))]
    if len({choice.label for choice in agents}) < len(agents):
        raise ConfigError("an agent is given twice with the same arguments.")
    if given.suite is not None:
        return _suite_config(given, tuple(agents))
    return RunConfig(
        given.env or "FineMem-AR-v0",
        _env_args(given),
        tuple(agents),
        given.episodes or 20,
        given.seed or 0,
        budgets=given.budgets,
    )


def _chosen(given: Sequence[AgentChoice]) -> list[AgentChoice]:
    """The agents asked for, "all" spelt out."""
    found: list[AgentChoice] = []
    for choice in given:
        found += [AgentChoice(name) for name in AGENTS] if choice.name == _ALL else [choice]
    return found


def _suite_config(given: argparse.Namespace, agents: tuple[AgentChoice, ...]) -> RunConfig:
    for key in ("env", "source", "split", "protocol", "difficulty", "episodes", "seed"):
        if getattr(given, key) is not None:
            raise ConfigError(f"--{key} is fixed by --suite {given.suite}.")
    if given.env_args:
        raise ConfigError(f"--env-args are fixed by --suite {given.suite}.")
    return RunConfig(suite=given.suite, agents=agents, budgets=given.budgets)


def _env_args(given: argparse.Namespace) -> dict[str, Any]:
    env_args = dict(given.env_args)
    for key in ("source", "split", "protocol", "difficulty"):
        value = getattr(given, key)
        if value is not None and key in env_args:
            raise ConfigError(f"{key} is given by --{key} and again in --env-args.")
        if value is not None:
            env_args[key] = value
    env_args.setdefault("split", "test")
    if given.budgets and "memory_budget" in env_args:
        raise ConfigError("memory_budget is given by --budgets and again in --env-args.")
    return env_args


def _total(config: RunConfig) -> int:
    episodes = sum(task.episodes for task in config.tasks)
    return episodes * len(config.all_budgets) * len(config.agents)


def _missing(name: str, names: set[str]) -> list[AgentChoice]:
    return [] if name in names else [AgentChoice(name)]


if __name__ == "__main__":
    sys.exit(main())
