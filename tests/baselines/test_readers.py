"""One run, several readers: scores, rank correlation, agreement, and what was asked."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from baselines.benchmark import main as benchmark
from baselines.readers import main, read_run
from baselines.runs.folder import RunFolder
from baselines.tables import ranking
from baselines.tables.ranking import Place, agreement, rank_correlation, rank_interval
from finemem_env.types import Answer, ReadRequest

AGENTS = ("skip", "fifo", "salience", "oracle")


class Blind:
    """Answers nothing, and fails where there is nothing to read."""

    version = "blind/1"

    def answer(self, requests: Sequence[ReadRequest]) -> list[Answer]:
        return [Answer("", failed=not request.items) for request in requests]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readers") / "run"
    words = ["--env", "FineMem-AR-v0", "--episodes", "3", "--output-dir", str(folder)]
    words += ["--env-args", '{"num_chunks": 2, "chunk_tokens": 128}']
    for agent in AGENTS:
        words += ["--agent", agent]
    assert benchmark(words) == 0
    return folder


def test_the_runs_own_reader_gives_the_runs_own_scores(run: Path) -> None:
    folder = RunFolder(run)
    reading = read_run(folder, "local")
    stored = {(one.agent, one.episode): one.score for one in folder.results()}
    found = {
        (agent, place[2]): score
        for agent, scores in reading.scores.items()
        for place, score in scores.items()
        if isinstance(place, tuple)
    }
    assert found == pytest.approx(stored)
    asked = sum(len(trace.answers) for _, trace in folder.traces())
    assert reading.calls == asked == len(reading.questions)
    assert reading.failed == 0


def test_the_tables_and_the_file(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blind = f"{__name__}:Blind"
    assert main([str(run), "--reader", "local", "--reader", "local", "--reader", blind]) == 0
    out = capsys.readouterr().out
    first, second, third = json.loads((run / "readers.json").read_text())
    assert first["scores"] == second["scores"]
    assert first["scores"]["oracle"] > first["scores"]["skip"] == 0.0
    assert (second["tau"], second["agreement"]) == (1.0, 1.0)
    assert second["tau_interval"] == [1.0, 1.0]
    assert third["scores"]["skip"] is None  # all its calls failed: no score, not a score of zero
    assert third["failed"] > 0
    assert third["no_source"] == third["calls"] - third["failed"]
    assert third["agreement"] < 1.0
    assert third["tau"] is None  # it ties all agents
    for agent in AGENTS:
        assert f"\n{agent} " in out


def test_kendalls_tau_and_agreement_by_hand() -> None:
    assert rank_correlation([1, 2, 3], [10, 20, 30]) == 1.0
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == -1.0
    assert rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)
    # One tie on one side: (2 - 0) / sqrt(3 * 2).
    assert rank_correlation([1, 2, 3], [1, 1, 2]) == pytest.approx(2 / math.sqrt(6))
    assert rank_correlation([1, 1], [1, 2]) is None
    assert agreement({"a": 1.0, "b": 0.0, "c": 0.6}, {"a": 0.5, "b": 1.0, "d": 0.0}) == 0.5
    assert agreement({"a": 1.0}, {"b": 1.0}) is None


def test_the_interval_is_over_episodes() -> None:
    places = list(range(12))
    alike = {"a": dict.fromkeys(places, 0.2), "b": dict.fromkeys(places, 0.8)}
    assert rank_interval(alike, alike) == (1.0, 1.0)
    mixed = {"a": {p: float(p % 2) for p in places}, "b": {p: float(1 - p % 2) for p in places}}
    found = rank_interval(alike, mixed)
    assert found == (-1.0, 1.0)
    assert rank_interval(alike, {"a": {0: 1.0}, "b": {0: 0.0}}) is None


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "_DRAWS", 200)


def _drawn(plays: Sequence[Place], seed: int) -> dict[str, dict[Place, float]]:
    draw = random.Random(seed)
    return {agent: {place: draw.random() for place in plays} for agent in "abc"}


@pytest.mark.usefixtures("few_draws")
def test_the_order_of_episodes_and_agents_moves_no_bound() -> None:
    plays = [Place(task, "0.4", i, f"{task}/{i}") for task in ("x", "y") for i in range(5)]
    first, second = _drawn(plays, 0), _drawn(plays, 1)
    turned = [
        {agent: dict(reversed(own.items())) for agent, own in reversed(scores.items())}
        for scores in (first, second)
    ]
    assert rank_interval(first, second) == rank_interval(turned[0], turned[1])


@pytest.mark.usefixtures("few_draws")
def test_a_repeated_play_makes_no_ranking_more_certain() -> None:
    plays = [Place("x", "0.4", i, f"x/{i}") for i in range(5)]
    first, second = _drawn(plays, 0), _drawn(plays, 1)
    again = [
        {
            agent: own | {place._replace(number=place.number + 5): s for place, s in own.items()}
            for agent, own in scores.items()
        }
        for scores in (first, second)
    ]
    assert rank_interval(first, second) == rank_interval(again[0], again[1])


@pytest.mark.usefixtures("few_draws")
def test_tasks_stay_as_the_suite_has_them() -> None:
    """Within each task all episodes score alike: nothing is uncertain."""
    plays = [Place(task, "0.4", i, f"{task}/{i}") for task in ("x", "y") for i in range(4)]
    easy = {"a": {p: 0.9 if p.task == "x" else 0.1 for p in plays}, "b": dict.fromkeys(plays, 0.4)}
    assert rank_interval(easy, easy) == (1.0, 1.0)
    other = {"a": dict.fromkeys(plays, 0.3), "b": {p: 0.5 if p.task == "x" else 0.2 for p in plays}}
    found = rank_interval(easy, other)
    assert found is not None
    assert found[0] == found[1]
    single = [Place(task, "0.4", 0, task) for task in "wxyz"]
    assert rank_interval(_drawn(single, 0), _drawn(single, 1)) is not None
