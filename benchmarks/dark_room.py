"""What is learned where every rollout fails?  `python -m benchmarks.dark_room`.

A dark room is a place where nothing surprises: a group of rollouts that answer nothing and differ
only in how much they store. Dividing by a tiny spread turns those differences into advantages as
large as any, all of them for brevity. Played is a policy that stores small talk and nothing else;
printed is the mean absolute advantage of a step, which is about .8 wherever there is a spread to
divide by in full.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from agents.learn.advantages import Estimator, compute_advantages
from benchmarks.credit_tasks import kind_of
from benchmarks.policy import KindPolicy
from benchmarks.rollout import KindRollout, make_group, play, reward_rows
from finemem_env.cli.frame import Parser, command, program
from finemem_env.cli.options import add_seed, positive
from finemem_env.cli.tables import markdown_table
from finemem_env.rewards import REWARDS

GROUP = 8
REWARD_NAMES = ("fine-mem", "fine-mem-earned")
ESTIMATORS = {
    "credit step, scale cell, floor 0 (the paper)": Estimator("step", scale="cell", floor=0.0),
    "credit step, scale group, floor .01": Estimator("step"),
    "credit reward_to_go, scale group, floor .01 (ours)": Estimator(),
}


def dark_groups(contexts: int, seed: int) -> list[list[KindRollout]]:
    """Groups of 8 rollouts that store small talk alone; those that answer something are left out.

    Args:
        contexts: how many groups are played.
        seed: of the contexts and of the policy.
    """
    env = make_group(
        "FineMem-AR-v0", GROUP, reward="fine-mem", num_chunks=10, memory_view="recent:1"
    )
    policy = KindPolicy(["talk"], [-1.0])
    rng = np.random.default_rng([seed, 1])
    groups = []
    for number in range(contexts):
        start = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        group = play(env, policy, [start] * GROUP, lambda _: kind_of, rng)
        if not any(final.score for rollout in group for _, final in rollout.finals):
            groups.append(group)
    return groups


def mean_advantage(
    groups: Sequence[Sequence[KindRollout]], reward: str, estimator: Estimator
) -> float:
    """Mean |A| of a step, over the groups."""
    means = []
    for group in groups:
        rows = [reward_rows(rollout, REWARDS[reward]) for rollout in group]
        means.append(np.mean(np.abs(compute_advantages(rows, estimator).values)))
    return float(np.mean(means))


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Play the groups and print the table."""
    parser: Parser = program("benchmarks.dark_room", __doc__)
    parser.add_argument("--contexts", type=positive, default=20, help="groups that are played")
    add_seed(parser, "of contexts and policy")
    options = parser.parse_args(arguments)
    groups = dark_groups(options.contexts, options.seed)
    rows = [
        [name, *(f"{mean_advantage(groups, reward, estimator):.3f}" for reward in REWARD_NAMES)]
        for name, estimator in ESTIMATORS.items()
    ]
    print(markdown_table(["mean of the absolute advantage", *REWARD_NAMES], rows, padded=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
