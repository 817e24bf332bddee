"""The page of a report: every text is shown and not obeyed, every score leads to its episode."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from baselines import report
from baselines.reporting.contents import grouped, load
from baselines.reporting.figures import figures
from baselines.runs.run import AgentChoice, RunConfig, run
from baselines.suites import SUITES, Suite, Task
from baselines.tables.results import Result

SMALL = {"num_chunks": 2, "split": "test"}
EVIL = "fi\u202efo<script>\U000e0041"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of two tasks under two budgets."""
    folder = tmp_path_factory.mktemp("report") / "run"
    tasks = (Task("one", "FineMem-AR-v0", SMALL, 2), Task("two", "FineMem-CR-v0", SMALL, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SUITES, "tiny-v9", Suite("tiny-v9", "", tasks, 5, ("0.2", "0.4")))
        agents = tuple(map(AgentChoice, ("skip", "fifo", "oracle")))
        run(RunConfig(suite="tiny-v9", agents=agents), folder)
    return folder


@pytest.fixture(scope="module")
def written(played: Path) -> Path:
    assert report.main([str(played)]) == 0
    return played / "report.html"


def _places(page: Path) -> list[tuple[Path, Any]]:
    """The pages of episodes that a page links to, and the episode that each link names."""
    found = []
    for target in re.findall(r'href="([^"#][^"]*)"', page.read_text()):
        file, _, key = unescape(target).partition("#at=")
        found.append((page.parent / unquote(file), json.loads(unquote(key)) if key else None))
    return found


def _keys(page: Path) -> list[list[object]]:
    """The episodes that a page of the viewer holds."""
    (text,) = re.findall(r'<script[^>]*id="data"[^>]*>(.*?)</script>', page.read_text(), re.DOTALL)
    episodes = json.loads(text)["episodes"]
    return [[one[key] for key in ("task", "budget", "agent", "episode")] for one in episodes]


def test_every_score_leads_to_its_episode(written: Path) -> None:
    places = _places(written)
    assert {file.name for file, _ in places} == {"0-one.html", "0-two.html"}
    named = [(file, key) for file, key in places if key is not None]
    # skip, fifo and oracle on two episodes of one task and one of the other
    assert sorted(key for _, key in named) == sorted(
        [task, "0.4", agent, episode]
        for task, episode in (("one", 0), ("one", 1), ("two", 0))
        for agent in ("skip", "fifo", "oracle")
    )
    assert all(key in _keys(file) for file, key in named)


def test_a_page_without_episodes_links_to_none(played: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert report.main([str(played), "--output", str(out), "--no-episodes"]) == 0
    assert _places(out) == []
    assert "Where questions were lost" not in out.read_text()
    assert list(tmp_path.iterdir()) == [out]


def test_a_page_has_every_task_and_reads_on_a_phone_and_in_the_dark(written: Path) -> None:
    text = written.read_text()
    for title in ("Score per task", "Where questions were lost", "Episodes", "Settings"):
        assert f"<h2>{title}</h2>" in text
    assert '<meta name="viewport" content="width=device-width,initial-scale=1">' in text
    assert "prefers-color-scheme: dark" in text
    assert text.count("<svg") == 4
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "").replace(
        'http-equiv="', ""
    )


def test_names_of_strangers_are_shown_and_not_obeyed(played: Path, tmp_path: Path) -> None:
    folder = tmp_path / "evil"
    (folder / "traces").mkdir(parents=True)
    for file in [*played.glob("*.json*"), *played.glob("traces/*.jsonl")]:
        text = file.read_text().replace('"fifo"', json.dumps(EVIL))
        (folder / file.relative_to(played)).write_text(text)
    assert report.main([str(folder), "--output", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text()
    assert "\u202e" not in text
    assert "\U000e0041" not in text
    assert "<script>" not in text
    assert "fi\\u202efo&lt;script&gt;\\ue0041" in text
    assert [key[2] for _, key in _places(tmp_path / "page.html") if key].count(EVIL) == 3


def test_charts_are_files_by_their_ending(played: Path, tmp_path: Path) -> None:
    for name, more, whole in (("a.svg", [], True), ("b.svg", ["--chart", "memory"], False)):
        out = tmp_path / name
        arguments = [str(played), "--no-episodes", "--output", str(tmp_path / "page.html")]
        assert report.main([*arguments, "--plot", str(out), *more]) == 0
        assert ">memory budget, share of the input tokens<" in out.read_text()
        assert (">step index<" in out.read_text()) == whole
    assert list(figures(load([played]))) == ["scores", "memory", "competencies", "steps"]
    assert report.main([str(played), "--plot", str(tmp_path / "c.pdf")]) == 2


def test_failed_episodes_count_as_zero_and_invalid_ones_not_at_all() -> None:
    results = [
        Result("a", 0, 1, "e0", "AR", score=1.0, task="t"),
        Result("a", 1, 1, "e1", "AR", status="failed", task="t"),
        Result("a", 2, 1, "e2", "AR", status="invalid", task="t"),
    ]
    mean = grouped(results, lambda result: result.task)["a"]["t"]
    assert mean.value == 0.5
    assert mean.low is not None
    assert mean.low < 0.5
