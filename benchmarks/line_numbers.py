"""What a reply costs where sentences are copied, and where they are named by number.

    python -m benchmarks.line_numbers

Every agent without a model plays the same episodes twice. The score must be the same: only the form
of the replies differs. Tokens are those of the environment's counter.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from baselines.agents import AGENTS, make_agent
from baselines.runs.runner import run_episode
from finemem_env.cli.frame import command, program
from finemem_env.cli.options import add_seed, positive
from finemem_env.cli.progress import begin
from finemem_env.cli.tables import markdown_row, markdown_table
from finemem_env.registration import make_env
from finemem_env.text import approx_tokens

_COLUMNS = ("agent", "copied [tokens/reply]", "named [tokens/reply]", "score copied", "score named")


class ReplyCost(NamedTuple):
    """Mean tokens of a reply, and the mean score."""

    tokens: float
    score: float


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, a line as it comes."""
    parser = program("benchmarks.line_numbers", __doc__)
    parser.add_argument("--env", default="FineMem-Mix-v0", help="environment id")
    parser.add_argument("--episodes", type=positive, default=8, metavar="N", help="of each agent")
    add_seed(parser, "seed of the first episode")
    options = parser.parse_args(arguments)
    begin(f"{options.episodes} episodes of {options.env} for each agent, copied and by number")
    print(markdown_table(_COLUMNS, []))
    for name in AGENTS:
        copied, named = (
            measure(name, options.env, options.episodes, options.seed, line_numbers=by_number)
            for by_number in (False, True)
        )
        tokens = (f"{cost.tokens:.1f}" for cost in (copied, named))
        scores = (f"{cost.score:.3f}" for cost in (copied, named))
        print(markdown_row([name, *tokens, *scores]), flush=True)
    return 0


def measure(name: str, env_id: str, episodes: int, seed: int, *, line_numbers: bool) -> ReplyCost:
    """An agent over consecutive seeds, in episodes of six chunks."""
    env = make_env(env_id, num_chunks=6, line_numbers=line_numbers)
    tokens, scores = [], []
    for number in range(seed, seed + episodes):
        result, trace = run_episode(env, name, make_agent(name), 0, number, {})
        assert trace is not None, result.error
        tokens += [approx_tokens(step.action) for step in trace.steps]
        scores.append(result.score)
    return ReplyCost(sum(tokens) / len(tokens), sum(scores) / len(scores))


if __name__ == "__main__":
    sys.exit(main())
