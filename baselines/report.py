"""One table and one page from runs: `python -m baselines.report RUN [RUN …] --output report.html`.

The page needs no network and fits a paper's appendix: scores with intervals by agent, task,
competency, memory budget and episode, where questions were lost, differences on the same episodes,
what the late half of the text is worth beside the early half, questions answered from an empty
memory. Beside it is a folder of pages that show every single episode, which it links to.
--plot draws its charts into a file, SVG or PNG.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from baselines.reporting.contents import Report, load
from baselines.reporting.episodes import write_episodes
from baselines.reporting.figures import NAMES, figures
from baselines.reporting.page import page
from baselines.reporting.tables import difference_cells, half_cells, leak_cells
from baselines.tables.curves import run_table
from baselines.tables.drawing import check_ending, save, stacked
from finemem_env.cli.frame import command, program, saving
from finemem_env.cli.tables import text_table
from finemem_env.disk import check_output, write_whole
from finemem_env.errors import ConfigError


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables and write the page."""
    parser = program("baselines.report", __doc__)
    add = parser.add_argument
    add("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run")
    add("--output", type=Path, help="the page (default: report.html in RUN)")
    add("--reference", help="agent that the others are compared with")
    add("--no-episodes", action="store_true", help="no pages of single episodes: they take longest")
    add("--plot", type=Path, metavar="FILE", help="also draw the charts: FILE.svg, or .png")
    add("--chart", choices=NAMES, help="of --plot: only this one")
    options = parser.parse_args(arguments)
    if options.plot is not None:
        check_ending(options.plot)
    output = options.output or options.runs[0] / "report.html"
    check_output(output, *options.runs)
    report = load(options.runs, options.reference)
    _print(report)
    with saving(output, f"{output} is not whole."):
        episodes = None if options.no_episodes else write_episodes(report, output)
        write_whole(output, page(report, episodes))
    print(f"written to {output}")
    if options.plot is not None:
        _plot(report, options.plot, options.chart)
    return 0


def _print(report: Report) -> None:
    print(run_table(report.rows, report.results))
    print("\n" + text_table(*difference_cells(report.differences)))
    print("\nlate half minus early half\n" + text_table(*half_cells(report.rows)))
    print("\nanswered with nothing in memory\n" + text_table(*leak_cells(report.leaks)))


def _plot(report: Report, path: Path, chart: str | None) -> None:
    drawn = figures(report)
    if chart is not None and chart not in drawn:
        raise ConfigError(f"--chart {chart}: the run was played under one memory budget only.")
    save(stacked(list(drawn.values()) if chart is None else [drawn[chart]]), path)
    print(f"written to {path}")


if __name__ == "__main__":
    sys.exit(main())
