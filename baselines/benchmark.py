"""Compare agents on the same episodes: `python -m baselines.benchmark --help`.

Writes one folder per run (config.json, results.jsonl, traces, summary.json) and prints a table.
Every agent meets the same episodes: episode i is reset with SeedSequence([seed, i]).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from baselines.agents import AGENTS, CONFIGURED
from baselines.runs.options import (
    ALL,
    add_agent_options,
    add_run_options,
    play,
    print_place,
    print_run,
    print_shard,
)
from baselines.runs.run import EPISODES, AgentChoice, RunConfig
from baselines.suites import SUITES, UNLIMITED
from baselines.tables.summary import CEILING, FLOOR
from finemem_env.cli.frame import Parser, command, program
from finemem_env.cli.options import add_env_options, add_seed, env_args, env_id, positive
from finemem_env.errors import ConfigError


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
  95 % interval  of the score: over different episodes, within tasks (docs/benchmark.md)
  normalised     0 at skip, 1 at oracle, on the same episodes; "-" when they are not in the run
  r_chunk, r_fmt mean over steps; r_chunk is "-" when no chunk question was asked
  compression    1 - memory tokens / input tokens, at the end of the episode
  return         sum of the streamed rewards
  steps/s        environment steps per second of agent and environment together
  area           with budgets: area under score against memory share, as a mean score
  unlimited      with budgets: score without a budget (score is that at budget 0.4)
  calls, prompt, reply, model s
                 where an agent calls a model: calls, tokens and seconds of an episode, and for
                 1,000 tokens read (/1k); readers, judges and embeddings in a table below

An agent that raises, hangs past --time-limit, dies or replies with something other than text gets
score 0 for that episode; the episode is counted as failed, its error is in results.jsonl, and the
run goes on. Agents are not told questions, golds and scores.

examples:
  python -m baselines.benchmark --suite suite-cpu-v1 --jobs 2 --output-dir runs/cpu
  python -m baselines.benchmark --env FineMem-AR-v0 --source squad --agent store_chunks \\
      --agent random --agent-args '{{"seed": 1}}' --episodes 20 --output-dir runs/squad
"""


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Play the run that the command line asks for and print its table."""
    options = _parser().parse_args(arguments)
    rows = play(_config(options), options)
    if options.shard is not None:
        print_shard(options)
        return 0
    print_run(rows, options.output_dir)
    print_place(options.output_dir, verbose=options.verbose)
    return 0


def _parser() -> Parser:
    parser = program("baselines.benchmark", "Compare memory agents on the same episodes.", _EPILOG)
    add = parser.add_argument
    add("--suite", choices=list(SUITES), help="play this suite instead of one environment")
    add_env_options(parser)
    add_agent_options(parser, "all: every agent that needs no arguments (default: all)")
    add(
        "--no-reference",
        action="store_true",
        help=f"do not add {FLOOR} and {CEILING}, which the normalised score needs",
    )
    add(
        "--episodes",
        type=positive,
        metavar="N",
        help=f"per agent, each once (default: {EPISODES}, or all where there are fewer)",
    )
    add("--repeat", action="store_true", help="play episodes again where there are fewer than N")
    add_seed(parser, "decides the episodes (default: 0)", default=None)
    add(
        "--budgets",
        type=_budgets,
        default=(),
        metavar="LIST",
        help="memory budgets as shares of the input, e.g. 0.1,0.4,1.0,unlimited (default: the "
        "suite's, or the environment's own)",
    )
    add_run_options(parser, time_limit=300.0)
    return parser


def _budgets(text: str) -> tuple[str, ...]:
    """Budgets in the spelling of the suites: "0.4", "1.0", "unlimited"."""
    budgets = []
    for part in text.split(","):
        try:
            budgets.append(part if part == UNLIMITED else str(float(part)))
        except ValueError as error:
            raise argparse.ArgumentTypeError(
                f"expected shares or {UNLIMITED!r}, got {part!r}"
            ) from error
    return tuple(dict.fromkeys(budgets))


def _config(options: argparse.Namespace) -> RunConfig:
    """The run that the command line asks for; a keyword given twice is an error."""
    agents = _agents(options)
    if len({choice.label for choice in agents}) < len(agents):
        raise ConfigError("an agent is given twice with the same arguments.")
    if options.suite is not None:
        for key in ("env", "source", "split", "protocol", "difficulty", "episodes", "seed"):
            if getattr(options, key) is not None:
                raise ConfigError(f"--{key} is fixed by --suite {options.suite}.")
        if options.repeat:
            raise ConfigError(f"--repeat: {options.suite} fixes its episodes, each played once.")
        if options.env_args:
            raise ConfigError(f"--env-args are fixed by --suite {options.suite}.")
        return RunConfig(suite=options.suite, agents=agents, budgets=options.budgets)
    keywords = {"split": "test", **env_args(options)}
    if options.budgets and "memory_budget" in keywords:
        raise ConfigError("memory_budget is given by --budgets and again in --env-args.")
    return RunConfig(
        env_id(options),
        keywords,
        agents,
        options.episodes,
        options.seed or 0,
        budgets=options.budgets,
        repeat=options.repeat,
    )


def _agents(options: argparse.Namespace) -> tuple[AgentChoice, ...]:
    """The agents asked for, "all" spelt out, between the references."""
    agents: list[AgentChoice] = []
    for choice in options.agent or [AgentChoice(ALL)]:
        agents += [AgentChoice(name) for name in AGENTS] if choice.name == ALL else [choice]
    labels = {choice.label for choice in agents}
    floor, ceiling = (
        [] if options.no_reference or name in labels else [AgentChoice(name)]
        for name in (FLOOR, CEILING)
    )
    return (*floor, *agents, *ceiling)


if __name__ == "__main__":
    sys.exit(main())
