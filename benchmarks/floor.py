"""That an empty memory earns least: `python -m benchmarks.floor`.

Plays every scripted agent on every source whose files are there, under the default reward, with
and without chunk questions. Prints the mean return of `skip`, which stores nothing, beside the
least and the most of the others. Exit code 1 when another agent earns less than `skip`.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import gymnasium as gym

import finemem_env  # noqa: F401  (registers the environments)
from baselines.agents import AGENTS, Agent, make_agent
from baselines.runs.episodes import distinct_seeds
from baselines.runs.runner import run_episode
from baselines.tables.summary import FLOOR
from finemem_env.cli.frame import command, program
from finemem_env.cli.options import add_seed, positive
from finemem_env.cli.progress import begin
from finemem_env.cli.tables import markdown_row, markdown_table, number
from finemem_env.data.registry import SOURCES
from finemem_env.errors import ConfigError, DataError

# Sources whose chunks are given, so that their number is not chosen; and what leaves out questions
# that only a judge can grade.
_NO_JUDGE: dict[str, Any] = {"difficulty": {"judged": False}}
_CUT: dict[str, dict[str, Any]] = {
    "longmemeval": {},
    "memalpha": _NO_JUDGE,
    "memoryagentbench": _NO_JUDGE,
    "perltqa": {},
}
QUESTIONS = {"chunk questions": {}, "none": {"chunk_questions": 0}}


def tasks(names: Sequence[str] = ()) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(name, environment, keywords) of the generated texts and of every source, or those named."""
    for competency in ("AR", "TTL", "LRU", "CR"):
        if not names or "synthetic" in names:
            yield f"synthetic {competency}", f"FineMem-{competency}-v0", {"source": "synthetic"}
    for name, spec in SOURCES.items():
        if spec.files and (not names or name in names):
            yield name, "FineMem-Mix-v0", {"source": name, **_CUT.get(name, {})}


class Earned(NamedTuple):
    """Mean score and return of one player."""

    score: float
    total: float


def earnings(
    env_id: str, keywords: Mapping[str, Any], episodes: int, seed: int, agents: Mapping[str, Agent]
) -> dict[str, Earned]:
    """What every player earns on the same episodes.

    Raises:
        DataError: a player that failed.
    """
    env: gym.Env[str, str] = gym.make(env_id, disable_env_checker=True, split="test", **keywords)
    earned = {}
    with closing(env):
        seeds = distinct_seeds(env, seed, episodes, at_most=True)
        for name, agent in agents.items():
            results = [
                run_episode(env, name, agent, i, drawn, {})[0] for i, drawn in enumerate(seeds)
            ]
            if any(result.status != "ok" for result in results):
                raise DataError(f"{name}: {next(r.error for r in results if r.status != 'ok')}")
            count = len(results)
            earned[name] = Earned(
                math.fsum(result.score for result in results) / count,
                math.fsum(result.episode_return or 0.0 for result in results) / count,
            )
    return earned


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which sources are played, and how much of each."""
    add = parser.add_argument
    add("source", nargs="*", help="sources (default: synthetic and all whose files are there)")
    add("--episodes", type=positive, default=1, metavar="N", help="at most so many (default: 1)")
    add("--num-chunks", type=positive, default=4, metavar="N", help="where it is free (default: 4)")
    add_seed(parser, "of the episodes")


def played(
    options: argparse.Namespace,
    settings: Mapping[str, Mapping[str, Any]],
    players: Callable[[], Mapping[str, Agent]],
) -> Iterator[tuple[str, str, dict[str, Earned]]]:
    """Source, name of the settings, and what every player earns under them.

    Args:
        options: of `add_options`.
        settings: keywords of the environment, by name.
        players: makes them.
    """
    for source, env_id, keywords in tasks(options.source):
        free = {} if source in _CUT else {"num_chunks": options.num_chunks}
        for name, setting in settings.items():
            chosen = {**free, **keywords, **setting}
            try:
                earned = earnings(env_id, chosen, options.episodes, options.seed, players())
            except (ConfigError, DataError) as error:
                print(f"left out: {source}: {str(error).splitlines()[0]}", file=sys.stderr)
                break
            yield source, name, earned


def scripted() -> dict[str, Agent]:
    """Every scripted agent, by name."""
    return {name: make_agent(name) for name in AGENTS}


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = program("benchmarks.floor", __doc__)
    add_options(parser)
    options = parser.parse_args(arguments)
    begin("every scripted agent on every source, with and without chunk questions")
    print(markdown_table(["source", "asked", FLOOR, "least of the others", "most"], []))
    rows = wrong = 0
    for source, questions, earned in played(options, QUESTIONS, scripted):
        totals = {name: player.total for name, player in earned.items()}
        floor = totals.pop(FLOOR)
        least, most = min(totals, key=totals.__getitem__), max(totals, key=totals.__getitem__)
        wrong += totals[least] < floor
        cells = (f"{least} {number(totals[least])}", f"{most} {number(totals[most])}")
        print(markdown_row([source, questions, number(floor), *cells]), flush=True)
        rows += 1
    print(f"\n{wrong} of {rows} where another agent earns less than {FLOOR}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
