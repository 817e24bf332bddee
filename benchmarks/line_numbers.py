"""What a reply costs where sentences are copied, and where they are named by number.

    python -m benchmarks.line_numbers

Every agent without a model plays the same episodes twice. The score must be the same: only the form
of the replies differs. Tokens are those of the environment's counter.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from baselines.agents import AGENTS, PrivilegedAgent, make_agent
from finemem_env.cli.frame import command, program
from finemem_env.cli.options import add_seed, positive
from finemem_env.cli.progress import begin
from finemem_env.cli.tables import markdown_row, markdown_table
from finemem_env.registration import make_env
from finemem_env.session import public
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
            measure(name, options.env, options.episodes, options.seed, line_numbers=given)
            for given in (False, True)
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
        agent = make_agent(name)
        observation, info = env.reset(seed=number)
        if isinstance(agent, PrivilegedAgent):
            agent.attach(env)
        agent.reset(public(info))
        over = False
        while not over:
            action = agent.act(observation, public(info))
            tokens.append(approx_tokens(action))
            observation, _, over, _, info = env.step(action)
        scores.append(info["score"])
    return ReplyCost(sum(tokens) / len(tokens), sum(scores) / len(scores))


if __name__ == "__main__":
    sys.exit(main())
