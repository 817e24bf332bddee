"""The charts of a report, by name."""

from __future__ import annotations

from baselines.reporting.contents import Report, grouped
from baselines.tables.charts import bar_chart, interval_chart, line_chart
from baselines.tables.drawing import Drawing
from baselines.tables.intervals import Estimate

NAMES = ("scores", "memory", "competencies", "steps")


def figures(report: Report) -> dict[str, Drawing]:
    """Those that say something: score against memory needs two budgets."""
    drawn = {"scores": _scores(report), "competencies": _competencies(report)}
    if len(_budgets(report)) > 1:
        drawn["memory"] = _memory(report)
    drawn["steps"] = _steps(report)
    return {name: drawn[name] for name in NAMES if name in drawn}


def _scores(report: Report) -> Drawing:
    rows = {
        row.agent: None if row.score is None else Estimate(row.score, *(row.interval or ()))
        for row in report.rows
    }
    return interval_chart(rows, f"score{_at(report)}, 95 % interval")


def _competencies(report: Report) -> Drawing:
    names = list(dict.fromkeys(name for curve in report.curves for name in curve.competencies))
    scores = grouped(report.shown, lambda result: result.competency)
    series = {agent: [scores[agent].get(name) for name in names] for agent in scores}
    return bar_chart(series, names, f"score{_at(report)}, 95 % interval")


def _budgets(report: Report) -> list[str]:
    return list(dict.fromkeys(budget for curve in report.curves for budget in curve.scores))


def _memory(report: Report) -> Drawing:
    budgets = _budgets(report)
    scores = grouped(report.results, lambda result: result.budget)
    series = {agent: [scores[agent].get(budget) for budget in budgets] for agent in scores}
    title = "memory budget, share of the input tokens"
    return line_chart(series, budgets, title, "score, 95 % interval")


def _steps(report: Report) -> Drawing:
    length = max((len(line) for line in report.step_rewards.values()), default=1)
    series: dict[str, list[Estimate | None]] = {}
    for row in report.rows:
        line = report.step_rewards.get(row.agent, ())
        series[row.agent] = [*map(Estimate, line), *[None] * (length - len(line))]
    labels = [str(step) for step in range(length)]
    title = "attributed reward of the step, mean"
    return line_chart(series, labels, "step index", title, from_zero=False)


def _at(report: Report) -> str:
    return f" at budget {report.budget}" if report.budget else ""
