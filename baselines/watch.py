"""Watch an agent read one episode: `python -m baselines.watch --agent selective`.

Prints each chunk, what the agent did with it, the chunk questions with the reader's answers, and
the reward; at the end the final questions.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym

from baselines.agents import PrivilegedAgent, agent_name, make_agent
from finemem_env.errors import FineMemError
from finemem_env.operations import parse
from finemem_env.prompts import parse_observation
from finemem_env.session import public
from finemem_env.types import Operation

__all__ = ["main"]

_WIDTH = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code (2 for a setting or file that does not fit)."""
    parser = argparse.ArgumentParser(
        prog="python -m baselines.watch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--env", default="FineMem-AR-v0", help="environment id (default: %(default)s)")
    add("--env-args", type=json.loads, default={}, metavar="JSON", help="its keywords")
    add("--agent", default="selective", help="a baseline or module:Class (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of the episode (default: %(default)s)")
    add("--delay", type=float, default=0.0, help="pause after each step [s] (default: %(default)s)")
    given = parser.parse_args(arguments)
    try:
        for block in watch(given.env, given.env_args, given.agent, given.seed):
            print(block, flush=True)
            time.sleep(given.delay)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left (`| head`): nothing to complain about
    except (FineMemError, gym.error.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def watch(env_id: str, env_args: dict[str, Any], agent: str, seed: int) -> Iterator[str]:
    """One block of text per step of the episode, then the final questions."""
    env = gym.make(f"finemem_env:{env_id}", disable_env_checker=True, **env_args)
    player = make_agent(agent_name(agent))
    if isinstance(player, PrivilegedAgent):
        player.attach(env)
    observation, info = env.reset(seed=seed)
    player.reset(public(info))
    yield f"{agent} reads {info['episode_id']} in {env_id}: {info['num_chunks']} chunks\n"
    over = False
    while not over:
        action = player.act(observation, public(info))
        before = observation
        observation, reward, over, _, info = env.step(action)
        yield _step(before, action, float(reward), info)
    yield "final questions\n" + "\n".join(map(_asked, info["answers"]))
    yield f"\nscore {info['score']:.3f}\n"


def _step(observation: str, action: str, reward: float, info: dict[str, Any]) -> str:
    view = parse_observation(observation)
    lines = [f"[{view.chunk_index + 1}/{view.num_chunks}] {view.time or ''}"]
    lines += textwrap.wrap(
        " ".join((view.chunk or "").split()), _WIDTH, initial_indent="  ", subsequent_indent="  "
    )
    for one, result in zip(parse(action), info["operations"], strict=True):
        text = (one.content or "") if isinstance(one, Operation) else ""
        item = f" {result['id']}" if result["id"] >= 0 else ""
        outcome = "" if result["accepted"] else f"   rejected: {result['reason']}"
        lines.append("  > " + textwrap.shorten(f"{result['op']}{item} {text}", _WIDTH) + outcome)
    lines += map(_asked, info["chunk_answers"])
    lines.append(
        f"  reward {reward:.3f}, memory {info['memory_items']} items, "
        f"{info['memory_tokens']} tokens\n"
    )
    return "\n".join(lines)


def _asked(answer: dict[str, Any]) -> str:
    said = "(reader failed)" if answer["failed"] else answer["prediction"] or "(nothing found)"
    asked = textwrap.shorten(f"{answer['question']} -> {said}", _WIDTH)
    return f"  ? {asked} ({answer['score']:.2f})"


if __name__ == "__main__":
    sys.exit(main())
