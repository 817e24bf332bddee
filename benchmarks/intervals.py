"""Coverage of the 95 % intervals, by simulation: `python -m benchmarks.intervals`.

Draws runs whose true mean score is known and counts how often the interval of the tables holds it,
beside the percentile bootstrap over episodes (within tasks). Episodes have one question, or five
that are easy or hard together.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from baselines.tables.intervals import Play, mean_interval
from finemem_env.cli.frame import command, program
from finemem_env.cli.options import add_seed, positive
from finemem_env.cli.progress import begin
from finemem_env.cli.tables import markdown_table, number

Scores = npt.NDArray[np.float64]
Interval = tuple[float, float]
_RESAMPLES = 400


def one_question(rng: np.random.Generator, chance: Scores) -> Scores:
    """Right or wrong, with a chance per episode."""
    return (rng.random(len(chance)) < chance).astype(np.float64)


def five_questions(rng: np.random.Generator, chance: Scores) -> Scores:
    """Mean of five questions of a common difficulty, which varies around `chance`."""
    shared = rng.beta(4 * chance, 4 * (1 - chance))
    return rng.binomial(5, shared) / 5


DRAWS = {"one question": one_question, "five questions": five_questions}
# Name, tasks, and the mean score of every episode.
CASES: dict[str, tuple[int, Scores]] = {
    f"{size} episodes, mean {chance}": (1, np.full(size, chance))
    for size, chance in ((20, 0.5), (20, 0.9), (30, 0.1), (50, 0.7), (50, 0.95))
} | {
    f"{tasks} tasks of {size}": (tasks, np.repeat(np.linspace(0.25, 0.95, tasks), size))
    for tasks, size in ((9, 4), (5, 4), (4, 10), (2, 25))
}


def of_tables(groups: Sequence[Scores], rng: np.random.Generator) -> Interval:
    """The interval of the benchmark's tables."""
    plays = [
        Play(str(task), str(i), float(score))
        for task, group in enumerate(groups)
        for i, score in enumerate(group)
    ]
    return mean_interval(plays) or (0.0, 1.0)


def percentile(groups: Sequence[Scores], rng: np.random.Generator) -> Interval:
    """Percentile bootstrap of the mean: episodes of every task drawn again."""
    total = sum(
        group[rng.integers(len(group), size=(_RESAMPLES, len(group)))].sum(axis=1)
        for group in groups
    )
    low, high = np.quantile(total / sum(map(len, groups)), [0.025, 0.975])
    return float(low), float(high)


def coverage(
    interval: Callable[[Sequence[Scores], np.random.Generator], Interval],
    draw: str,
    case: str,
    runs: int,
    seed: int = 0,
) -> float:
    """Share of simulated runs whose interval holds the true mean."""
    rng = np.random.default_rng(seed)
    tasks, chance = CASES[case]
    held = 0
    for _ in range(runs):
        low, high = interval(np.split(DRAWS[draw](rng, chance), tasks), rng)
        held += low <= chance.mean() <= high
    return held / runs


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = program("benchmarks.intervals", __doc__)
    parser.add_argument("--runs", type=positive, default=2000, metavar="N", help="(default: 2000)")
    add_seed(parser, "of the simulation")
    options = parser.parse_args(arguments)
    begin(f"{options.runs} simulated runs of each of {len(CASES)} cases")
    rows = []
    for case in CASES:
        shares = [
            coverage(interval, draw, case, options.runs, options.seed)
            for draw in DRAWS
            for interval in (of_tables, percentile)
        ]
        rows.append([case, *map(number, shares)])
    heading = ["episodes", *(f"{draw}, {kind}" for draw in DRAWS for kind in ("ours", "bootstrap"))]
    print(markdown_table(heading, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
