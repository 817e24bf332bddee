"""Curves of runs as an SVG, without a plotting library: `python -m agents.plot RUN… -o FILE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from agents.runs.curves import read_curve, render_svg
from finemem_env.errors import ConfigError, FineMemError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m agents.plot", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    parser.add_argument(
        "--key", default="rollout/score", help="metric (see docs/training-metrics.md)"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("curves.svg"))
    given = parser.parse_args(arguments)
    try:
        if given.output.suffix.casefold() != ".svg":
            raise ConfigError(f"--output: expected a name that ends in .svg, got {given.output}.")
        curves = {run.name: read_curve(run, given.key) for run in given.runs}
        given.output.write_text(render_svg(curves, given.key), encoding="utf-8")
    except (FineMemError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"written to {given.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
