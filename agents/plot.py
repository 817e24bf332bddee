"""Curves of training runs as SVG or PNG: `python -m agents.plot RUN… -o FILE`.

Runs whose settings differ by the seed alone are one line: their mean, with the 95 % interval over
seeds around it. Several keys are drawn one below the other. The file's ending is its format; PNG
needs the extra `plot`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from agents.runs.curves import each_alone, mean_curve, read_curve, same_but_seed
from baselines.tables.charts import curve_chart
from baselines.tables.drawing import check_ending, save, stacked
from finemem_env.cli.frame import command, program
from finemem_env.errors import ConfigError

_KEY = "rollout/score"


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = program("agents.plot", __doc__)
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUN", help="folders of runs")
    add(
        "--key",
        action="append",
        metavar="KEY",
        help=f"metric (see docs/training-metrics.md); may be repeated (default: {_KEY})",
    )
    add("--each", action="store_true", help="a line for every run, whatever its settings")
    add("-o", "--output", type=Path, default=Path("curves.svg"), help="the file, .svg or .png")
    options = parser.parse_args(arguments)
    check_ending(options.output)
    for run, times in Counter(run.resolve() for run in options.runs).items():
        if times > 1:
            raise ConfigError(f"{run} is given {times} times: once is one seed.")
    groups = each_alone(options.runs) if options.each else same_but_seed(options.runs)
    charts = []
    for key in options.key or [_KEY]:
        curves = {
            name: mean_curve([read_curve(run, key) for run in runs])
            for name, runs in groups.items()
        }
        charts.append(curve_chart(curves, "update", key, from_zero=False))
    save(stacked(charts), options.output)
    print(f"written to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
