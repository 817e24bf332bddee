"""One table and one page from runs: `python -m baselines.report RUN [RUN …] --output report.html`.

The page needs no network: plots are SVG inside it. Score against memory, score per competency,
reward per step index, differences on the same episodes, what the late half of the text is worth
beside the early half, questions answered from an empty memory.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

from baselines.runs.folder import RunFolder
from baselines.tables.charts import bar_chart, line_chart
from baselines.tables.cost import beside, beside_cells
from baselines.tables.curves import Curve, curve_cells, curves, headline
from baselines.tables.paired import Difference, Leak, closed_book, paired_differences
from baselines.tables.results import Result
from baselines.tables.summary import CEILING, AgentSummary, footnote, summarise
from finemem_env.cli.frame import command, program, saving
from finemem_env.cli.tables import html_table, interval, number, text_table
from finemem_env.errors import ConfigError, DataError
from finemem_env.trace import Trace

_STYLE = """body{font-family:sans-serif;max-width:1240px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;font-size:13px;margin:1em 0;display:block;overflow-x:auto}
th,td{padding:3px 8px;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
th:first-child,td:first-child{text-align:left}h2{margin-top:2em}p{line-height:1.5}
svg{width:100%;height:auto}code{font-size:12px}"""

_COSTS = (
    "Means of an episode: calls, tokens of prompts and replies, seconds waited for the model; "
    "/1k: for a thousand tokens of the text that was read."
)
_HALVES = (
    "Final questions by the half of the text that their last evidence lies in. A memory that keeps "
    "what it read last gains; one of another episode (scrambled) must not score."
)


@dataclass(frozen=True, slots=True)
class Report:
    """What a page shows: numbers at the headline budget, curves over all of them."""

    configs: tuple[Mapping[str, Any], ...]
    budget: str
    rows: tuple[AgentSummary, ...]
    curves: tuple[Curve, ...]
    differences: tuple[Difference, ...]
    leaks: tuple[Leak, ...]
    step_rewards: Mapping[str, tuple[float, ...]]


def load(runs: Sequence[Path], reference: str | None = None) -> Report:
    """Read runs of the same episodes; `reference` is what the others are compared with.

    Without one it is the agent with the highest score that is not privileged or ranked apart.

    Raises:
        ConfigError: runs of different episodes, or a reference that is not among the agents.
        DataError: a folder without a run, or without results.
    """
    folders = [RunFolder(path) for path in runs]
    configs = [folder.whole_config() for folder in folders]
    for config in configs[1:]:
        if config["task_hashes"] != configs[0]["task_hashes"]:
            played = "; ".join(map(_played, runs, configs))
            raise ConfigError(
                f"the runs are of different episodes: {played}. Play them with the same --suite, "
                "or the same environment, keywords, --episodes and --seed, or report them alone."
            )
    results, traces = _merged(folders)
    if not results:
        raise DataError(f"{runs[0]}: no results yet.")
    budget = headline(result.budget for result in results)
    shown = [result for result in results if result.budget == budget]
    rows = summarise(shown)
    own = [(key[0], trace) for key, trace in traces if key[1] == budget]
    return Report(
        configs=tuple(configs),
        budget=budget,
        rows=tuple(rows),
        curves=tuple(curves(results)),
        differences=tuple(paired_differences(shown, _reference(rows, reference))),
        leaks=tuple(closed_book(own)),
        step_rewards=_step_rewards([trace for _, trace in own]),
    )


_Key = tuple[str, str, str, int]


def _merged(folders: Sequence[RunFolder]) -> tuple[list[Result], list[tuple[_Key, Trace]]]:
    """All results and traces; an agent that an earlier run has too is named with its folder.

    The references (floor and ceiling) are taken from the first run only.
    """
    results: list[Result] = []
    traces: list[tuple[_Key, Trace]] = []
    for folder in folders:
        seen = {result.agent for result in results}
        own = folder.results()
        twice = {result.agent for result in own} & seen
        skipped = {name for name in twice if name in ("skip", CEILING)}
        names = {name: f"{name} ({folder.path.name})" for name in twice}
        for result in own:
            if result.agent not in skipped:
                results.append(replace(result, agent=names.get(result.agent, result.agent)))
        for (task, budget, agent, episode), trace in folder.traces():
            if agent not in skipped:
                name = names.get(agent, agent)
                traces.append(((task, budget, name, episode), replace(trace, agent=name)))
    return results, traces


def _played(run: Path, config: Mapping[str, Any]) -> str:
    what = config["suite"] or f"{config['env']} {json.dumps(config['env_args'])}"
    return f"{run} has {len(config['episodes'])} of {what}, seed {config['seed']}"


def _reference(rows: Sequence[AgentSummary], name: str | None) -> str:
    names = [row.agent for row in rows]
    if name is not None:
        if name not in names:
            raise ConfigError(f"--reference {name!r} is not among the agents: {', '.join(names)}.")
        return name
    open_ = [row for row in rows if row.agent != CEILING and not row.apart] or list(rows)
    return max(open_, key=lambda row: row.score or 0.0).agent


def _step_rewards(traces: Sequence[Trace]) -> dict[str, tuple[float, ...]]:
    """Mean attributed reward by step index; an index counts the episodes that reach it."""
    rows: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for trace in traces:
        for step, (reward, valid) in enumerate(
            zip(trace.step_rewards, trace.step_valid, strict=True)
        ):
            if valid:
                rows[trace.agent][step].append(reward)
    return {
        agent: tuple(math.fsum(by_step[t]) / len(by_step[t]) for t in sorted(by_step))
        for agent, by_step in rows.items()
    }


def page(report: Report) -> str:
    """The HTML page."""
    config = report.configs[0]
    title = config["suite"] or config["env"]
    sections = [
        f"<h1>{escape(str(title))}</h1>",
        _facts(report),
        "<h2>Scores</h2>",
        html_table(*curve_cells(report.rows, report.curves)),
        "<p>score: arithmetic mean over episodes; macro: mean over competencies of their means; "
        "normalised: 0 at skip, 1 at oracle; area: area under score against memory share.</p>",
        f"<p>{escape(footnote(report.rows))}</p>",
        *_beside_section(report),
        *_curve_section(report),
        "<h2>Score per competency</h2>",
        _competency_chart(report),
        "<h2>Reward per step index</h2>",
        _step_chart(report),
        "<h2>Differences on the same episodes</h2>",
        html_table(*_difference_cells(report.differences)),
        "<h2>Late half minus early half</h2>",
        f"<p>{escape(_HALVES)}</p>",
        html_table(*_half_cells(report.rows)),
        "<h2>Closed book</h2>",
        "<p>Final questions that the reader answers with nothing in memory (score of at least "
        "0.5). They say nothing about a memory.</p>",
        html_table(*_leak_cells(report.leaks)),
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(str(title))}</title>'
        f"<style>{_STYLE}</style><body>{''.join(sections)}</body></html>\n"
    )


def _facts(report: Report) -> str:
    config = report.configs[0]
    versions = ", ".join(f"{key} {value}" for key, value in config["versions"].items())
    budget = f"Headline memory budget {report.budget} of the input. " if report.budget else ""
    return (
        f"<p>{escape(budget)}{len(config['episodes'])} episodes per agent and budget, seed "
        f"{escape(str(config['seed']))}, "
        f"data <code>{escape(str(config['data_hash'])[:16])}</code>, commit "
        f"<code>{escape(str(config['git_commit'])[:12])}</code>.<br>{escape(versions)}</p>"
    )


def _beside_section(report: Report) -> list[str]:
    heading, cells = beside_cells(report.rows)
    if not cells:
        return []
    return ["<h2>Models beside the agents</h2>", html_table(heading, cells), f"<p>{_COSTS}</p>"]


def _curve_section(report: Report) -> list[str]:
    labels = list(dict.fromkeys(budget for curve in report.curves for budget in curve.scores))
    if len(labels) < 2:
        return []
    series = {curve.agent: [curve.scores.get(label) for label in labels] for curve in report.curves}
    chart = line_chart(series, labels, "memory budget, share of the input tokens", "score")
    return ["<h2>Score against memory</h2>", chart]


def _competency_chart(report: Report) -> str:
    names = list(dict.fromkeys(name for curve in report.curves for name in curve.competencies))
    series = {
        curve.agent: [curve.competencies.get(name) for name in names] for curve in report.curves
    }
    return bar_chart(
        series, names, f"score{f' at budget {report.budget}' if report.budget else ''}"
    )


def _step_chart(report: Report) -> str:
    length = max((len(line) for line in report.step_rewards.values()), default=1)
    series: dict[str, list[float | None]] = {}
    for curve in report.curves:
        line = report.step_rewards.get(curve.agent, ())
        series[curve.agent] = [*line, *[None] * (length - len(line))]
    labels = [str(step) for step in range(length)]
    title = "attributed reward of the step, mean"
    return line_chart(series, labels, "step index", title, from_zero=False)


Cells = tuple[list[str], list[list[str]]]  # headings and rows


def _difference_cells(differences: Sequence[Difference]) -> Cells:
    rows = [
        [
            difference.agent,
            difference.reference,
            str(difference.episodes),
            number(difference.mean, sign=True),
            interval(difference.interval, sign=True),
            "clear" if difference.clear else "",
        ]
        for difference in differences
    ]
    return [
        "agent minus reference",
        "reference",
        "episodes",
        "difference",
        "95 % interval",
        "",
    ], rows


def _half_cells(rows: Sequence[AgentSummary]) -> Cells:
    cells = [
        [row.agent, number(row.early), number(row.late), number(row.late_gain, sign=True)]
        for row in rows
    ]
    return ["agent", "early half", "late half", "late minus early"], cells


def _leak_cells(leaks: Sequence[Leak]) -> Cells:
    rows = []
    for leak in leaks:
        share = leak.answered / leak.questions if leak.questions else 0.0
        counts = [str(leak.questions), str(leak.answered)]
        rows.append([leak.task or "-", *counts, number(share), number(leak.score)])
    return ["task", "questions", "answered", "share", "mean score"], rows


@command
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables and write the page."""
    parser = program("baselines.report", __doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument("--output", type=Path, help="the page (default: report.html in RUN)")
    parser.add_argument("--reference", help="agent that the others are compared with")
    options = parser.parse_args(arguments)
    report = load(options.runs, options.reference)
    rows = report.rows
    print(text_table(*curve_cells(rows, report.curves)) + footnote(rows) + beside(rows))
    print("\n" + text_table(*_difference_cells(report.differences)))
    print("\nlate half minus early half\n" + text_table(*_half_cells(report.rows)))
    print("\nanswered with nothing in memory\n" + text_table(*_leak_cells(report.leaks)))
    output = options.output or options.runs[0] / "report.html"
    with saving(output, f"{output} is not whole."):
        output.write_text(page(report), encoding="utf-8")
    print(f"written to {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
