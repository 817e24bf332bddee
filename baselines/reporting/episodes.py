"""The pages of single episodes beside a report, and where on them each episode is."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from baselines.reporting.contents import Report
from finemem_env.disk import write_whole
from finemem_env.inspect import Choice, Tally
from finemem_env.view import Collection, collect, page

Place = tuple[str, str, int]  # agent as the report names it, task, episode


@dataclass(slots=True)
class Episodes:
    """What is known of single episodes: their places, and how their questions ended.

    `links` leads from an episode to its place on a page, `tasks` from a task to its page, relative
    to the report. `tallies` counts the final questions of each agent by where they were lost.
    """

    links: dict[Place, str] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)


def write_episodes(report: Report, output: Path) -> Episodes:
    """Write a page of `python -m finemem_env view` for every run and task, beside `output`.

    What is too much for a page is not on it, and has no link.
    """
    target = output.with_name(f"{output.stem}-episodes")
    target.mkdir(parents=True, exist_ok=True)
    episodes = Episodes()
    for number, folder in enumerate(report.folders):
        for (task, budget), path in folder.trace_files().items():
            if budget != report.budget:
                continue
            title = " ".join(filter(None, [folder.path.resolve().name, task, budget]))
            name = re.sub(r"[^\w.-]+", "-", f"{number}-{task or 'episodes'}") + ".html"
            collection = collect(path, Choice(), 10**9)
            write_whole(target / name, page(title, collection))
            _note(episodes, report, number, task, collection, f"{target.name}/{name}")
    return episodes


def _note(
    episodes: Episodes, report: Report, number: int, task: str, collection: Collection, place: str
) -> None:
    episodes.tasks.setdefault(task, quote(place))
    for text in collection.episodes:
        episode: dict[str, Any] = json.loads(text)
        name = report.names.get((number, episode["agent"]))
        if name is None:  # a reference of a later run
            continue
        key = json.dumps([episode["task"], episode["budget"], episode["agent"], episode["episode"]])
        episodes.links[name, task, episode["episode"]] = f"{quote(place)}#at={quote(key)}"
        tally = episodes.tallies.setdefault((name, ""), Tally())
        questions = episode["questions"]
        tally.questions += len(questions)
        tally.ends += Counter(question["where"] for question in questions)
        tally.ends["partly"] += sum(question["outcome"] == "partly" for question in questions)
