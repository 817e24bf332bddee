"""The page of a report: HTML that needs no network, every text in it escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib import resources

from baselines.reporting.contents import Report, grouped
from baselines.reporting.episodes import Episodes
from baselines.reporting.figures import figures
from baselines.reporting.tables import difference_cells, half_cells, leak_cells
from baselines.tables.cost import Cells, beside_cells
from baselines.tables.curves import run_cells
from baselines.tables.intervals import Estimate
from baselines.tables.results import Result
from baselines.tables.summary import footnote
from finemem_env.cli.tables import html, html_table, number, raw_table
from finemem_env.inspect import Tally

_SCORES = (
    "score: arithmetic mean over episodes; macro: mean over competencies of their means; "
    "normalised: 0 at skip, 1 at oracle; area: area under score against memory share. An episode "
    "that an agent broke counts as 0; one whose model could not be reached is in no mean."
)
_COSTS = (
    "Means of an episode: calls, tokens of prompts and replies, seconds waited for the model; "
    "/1k: for a thousand tokens of the text that was read."
)
_HALVES = (
    "Final questions by the half of the text that their last evidence lies in. A memory that keeps "
    "what it read last gains; one of another episode (scrambled) must not score."
)
_LEAKS = (
    "Final questions that the reader answers with nothing in memory (score of at least 0.5). They "
    "say nothing about a memory."
)
_PAIRED = "On the episodes that both were scored on; clear: the interval leaves out 0."
_LOST = "Final questions by how far their evidence got on the way to the answer."
_EPISODES = "Every score is a link to its episode: questions, memory, operations and rewards."
Section = tuple[str, str]  # title, HTML


def page(report: Report, episodes: Episodes | None = None) -> str:
    """The HTML page.

    Args:
        report: what it says.
        episodes: pages that it links to; None: no links, and no table of where questions were lost.
    """
    known = episodes or Episodes()
    sections = [section for section in _sections(report, known) if section[1]]
    config = report.configs[0]
    title = html(config["suite"] or config["env"])
    ways = "".join(f'<a href="#{_anchor(name)}">{escape(name)}</a>' for name, _ in sections)
    body = "".join(
        f'<section id="{_anchor(name)}"><h2>{escape(name)}</h2>{inner}</section>'
        for name, inner in sections
    )
    style = resources.files("baselines.reporting").joinpath("style.css").read_text("utf-8")
    policy = f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src '{_hash(style)}'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head><body>"
        f"<h1>{title}</h1>{_facts(report)}<nav>{ways}</nav>{body}</body></html>\n"
    )


def _sections(report: Report, episodes: Episodes) -> list[Section]:
    drawn = {name: f"<figure>{drawing.svg()}</figure>" for name, drawing in figures(report).items()}
    scores = html_table(*run_cells(report.rows, report.curves))
    return [
        (
            "Scores",
            f"{drawn['scores']}{_scroll(scores)}{_soft(_SCORES)}{_soft(footnote(report.rows))}",
        ),
        ("Models beside the agents", _table(beside_cells(report.rows), _COSTS)),
        ("Score per task", _tasks(report, episodes)),
        ("Score against memory", drawn.get("memory", "")),
        ("Score per competency", drawn["competencies"]),
        ("Where questions were lost", _table(Tally.table(episodes.tallies), _LOST)),
        ("Differences on the same episodes", _table(difference_cells(report.differences), _PAIRED)),
        ("Late half minus early half", _table(half_cells(report.rows), _HALVES)),
        ("Closed book", _table(leak_cells(report.leaks), _LEAKS)),
        ("Reward per step index", drawn["steps"]),
        ("Episodes", _episodes(report, episodes)),
        ("Settings", _settings(report)),
    ]


def _facts(report: Report) -> str:
    config = report.configs[0]
    versions = ", ".join(f"{key} {value}" for key, value in config["versions"].items())
    budget = f"Headline memory budget {report.budget} of the input. " if report.budget else ""
    return (
        f"<p>{html(budget)} {len(config['episodes'])} episodes per agent and budget, seed "
        f"{html(config['seed'])}, "
        f"data <code>{html(str(config['data_hash'])[:16])}</code>, commit "
        f"<code>{html(str(config.get('git_commit'))[:12])}</code>.<br>{html(versions)}</p>"
    )


def _tasks(report: Report, episodes: Episodes) -> str:
    """Agents against tasks, with intervals; nothing where one task was played."""
    names = list(dict.fromkeys(result.task for result in report.shown))
    if len(names) < 2:
        return ""
    scores = grouped(report.shown, lambda result: result.task)
    header = ["agent", *(_linked(html(name), episodes.tasks.get(name)) for name in names)]
    rows = [
        [html(agent), *(_with_interval(own.get(name)) for name in names)]
        for agent, own in scores.items()
    ]
    return _scroll(raw_table(header, rows))


def _with_interval(mean: Estimate | None) -> str:
    if mean is None:
        return "-"
    if mean.low is None or mean.high is None:
        return number(mean.value)
    return f"{number(mean.value)}<small>{mean.low:.2f}-{mean.high:.2f}</small>"


def _episodes(report: Report, episodes: Episodes) -> str:
    """Episodes against agents, a table for every task."""
    agents = [row.agent for row in report.rows]
    parts = [_soft(_EPISODES)] if episodes.links else []
    tasks: dict[str, dict[tuple[int, str], dict[str, Result]]] = {}
    for result in report.shown:
        played = tasks.setdefault(result.task, {})
        played.setdefault((result.episode, result.episode_id), {})[result.agent] = result
    for task, played in tasks.items():
        rows = [
            [html(f"{number} {name}"), *(_score(own.get(agent), episodes) for agent in agents)]
            for (number, name), own in sorted(played.items())
        ]
        head = _linked(html(task or "episode"), episodes.tasks.get(task))
        parts.append(_scroll(raw_table([head, *map(html, agents)], rows)))
    return "".join(parts)


def _score(result: Result | None, episodes: Episodes) -> str:
    if result is None:
        return "-"
    target = episodes.links.get((result.agent, result.task, result.episode))
    if result.status != "ok":
        return f'<span class="bad">{_linked(html(result.status), target)}</span>'
    shade = round(10 * min(1.0, max(0.0, result.score)))
    return f'<span class="cell h{shade}">{_linked(number(result.score, 2), target)}</span>'


def _settings(report: Report) -> str:
    """The settings of the first run."""
    config = report.configs[0]
    rows = {**config["settings"], "env_args": config["env_args"]}
    shown = {name: json.dumps(value, ensure_ascii=False) for name, value in rows.items()}
    lines = (f"<dt>{html(a)}</dt><dd><code>{html(b)}</code></dd>" for a, b in shown.items())
    return f"<dl>{''.join(lines)}</dl>"


def _linked(inner: str, target: str | None) -> str:
    return f'<a href="{escape(target)}">{inner}</a>' if target else inner


def _table(cells: Cells, said: str) -> str:
    """A table with a sentence under it; nothing for no rows."""
    return _scroll(html_table(*cells)) + _soft(said) if cells[1] else ""


def _scroll(table: str) -> str:
    return f'<div class="scroll">{table}</div>'


def _soft(text: str) -> str:
    return f'<p class="soft">{html(text)}</p>' if text.strip() else ""


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
