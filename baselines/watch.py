"""Watch an agent read one episode: `python -m baselines.watch --agent fifo --beside oracle`.

Prints each chunk, what the agent did with it, the chunk questions with the reader's answers, and
the reward; at the end the final questions, and where those were lost that were not answered, also
by the agent of --beside on the same episode. It plays; `python -m baselines.inspect` tells the same
of a run that was played, and `python -m finemem_env view` shows it.
"""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym

from baselines.agents import PrivilegedAgent, agent_name, make_agent
from baselines.runs.runner import session_of
from baselines.tables.findings import finding_line
from finemem_env.cli.frame import command, program
from finemem_env.cli.options import (
    add_env_options,
    add_seed,
    at_least_zero,
    env_args,
    env_id,
    json_object,
)
from finemem_env.console import visible
from finemem_env.inspect import find, tell
from finemem_env.operations import parse
from finemem_env.prompts import parse_observation
from finemem_env.session import public
from finemem_env.trace import record_trace
from finemem_env.types import Operation

_WIDTH = 100


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print an episode block by block."""
    parser = program("baselines.watch", __doc__)
    add = parser.add_argument
    add_env_options(parser)
    add("--agent", default="selective", metavar="NAME", help="a baseline, or module:Class")
    add("--beside", metavar="NAME", help="another agent, whose end is told too")
    add("--agent-args", type=json_object, default={}, metavar="JSON", help="of its constructor")
    add_seed(parser, "seed of the episode")
    add("--delay", type=at_least_zero, default=0.0, metavar="SECONDS", help="pause after each step")
    options = parser.parse_args(arguments)
    place = env_id(options), env_args(options)
    agent, seed = options.agent, options.seed
    for block in watch(*place, agent, seed, options.agent_args, options.beside):
        print(block, flush=True)
        time.sleep(options.delay)
    return 0


def watch(
    env: str,
    keywords: Mapping[str, Any],
    agent: str,
    seed: int,
    arguments: Mapping[str, Any] | None = None,
    beside: str | None = None,
) -> Iterator[str]:
    """One block of text per step of the episode, then the final questions.

    Args:
        env: id of the environment.
        keywords: of the environment.
        agent: a baseline, or "module:Class".
        seed: of the episode.
        arguments: of the agent's constructor.
        beside: another agent, which plays the same episode after it; only its end is told.
    """
    yield from _play(env, keywords, agent, seed, arguments)
    if beside is not None:
        *_, questions, score = _play(env, keywords, beside, seed, None)
        yield f"beside it, {beside}: {questions}"
        yield score


def _play(
    env: str,
    keywords: Mapping[str, Any],
    agent: str,
    seed: int,
    arguments: Mapping[str, Any] | None,
) -> Iterator[str]:
    player = make_agent(agent_name(agent), arguments)
    played: gym.Env[str, str] = gym.make(env, disable_env_checker=True, **dict(keywords))
    if isinstance(player, PrivilegedAgent):
        player.attach(played)
    observation, info = played.reset(seed=seed)
    player.reset(public(info))
    yield f"{agent} reads {visible(info['episode_id'])} in {env}: {info['num_chunks']} chunks\n"
    over = False
    while not over:
        action = player.act(observation, public(info))
        before = observation
        observation, reward, over, _, info = played.step(action)
        yield _step(before, action, float(reward), info)
    trace = record_trace(session_of(played), agent=agent, seed=seed)
    lines = [finding_line(finding, trace.episode_id) for finding in find(trace, tell(trace))]
    yield "final questions\n" + "\n".join(lines)
    yield f"\nscore {info['score']:.3f}\n"


def _step(observation: str, action: str, reward: float, info: dict[str, Any]) -> str:
    view = parse_observation(observation)
    lines = [f"[{view.chunk_index + 1}/{view.num_chunks}] {visible(view.time or '')}"]
    lines += textwrap.wrap(
        visible(view.chunk or ""), _WIDTH, initial_indent="  ", subsequent_indent="  "
    )
    parsed = parse(action, view.lines, media="media" in info)
    for operation, result in zip(parsed, info["operations"], strict=True):
        text = ""
        if isinstance(operation, Operation):
            text = " ".join(filter(None, [operation.content, *operation.media]))
        item = f" {result['id']}" if result["id"] >= 0 else ""
        outcome = "" if result["accepted"] else f"   rejected: {result['reason']}"
        done = visible(f"{result['op']}{item} {text}", _WIDTH)
        lines.append(f"  > {done}{outcome}")
    lines += map(_answer, info["chunk_answers"])
    lines.append(
        f"  reward {reward:.3f}, memory {info['memory_items']} items, "
        f"{info['memory_tokens']} tokens\n"
    )
    return "\n".join(lines)


def _answer(answer: dict[str, Any]) -> str:
    said = "(reader failed)" if answer["failed"] else answer["prediction"] or "(nothing found)"
    line = visible(f"{answer['question']} -> {said}", _WIDTH)
    return f"  ? {line} ({answer['score']:.2f})"


if __name__ == "__main__":
    sys.exit(main())
