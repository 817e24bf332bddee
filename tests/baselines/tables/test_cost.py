"""What models cost: counted where they are called, shown wherever one takes part."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from baselines.published import fill, markdown
from baselines.report import main as report
from baselines.reporting.contents import load
from baselines.reporting.page import page
from baselines.runs.choice import AgentChoice
from baselines.runs.folder import RunFolder
from baselines.runs.run import RunConfig, run
from baselines.tables.cost import HEADINGS, cost_of
from baselines.tables.curves import run_table
from baselines.tables.published_tables import TABLES
from baselines.tables.results import Result
from baselines.tables.summary import render_table, summarise
from finemem_env.backends import ChatRequest, Failure, Message, Sampling
from finemem_env.backends.generation import GenerationBackend
from finemem_env.backends.sampler import Sample
from finemem_env.backends.usage import Ledger, Usage, current, spend, spending_as
from finemem_env.readers.models import ModelJudge
from finemem_env.types import JudgeRequest
from tests.backends.servers import StubServer

SPENT = {"calls": 4, "prompt_tokens": 2000, "reply_tokens": 100, "seconds": 3.0}


def result(agent: str, episode: int, **more: Any) -> Result:  # noqa: ANN401
    return Result(agent, episode, 7, f"e{episode}", "AR", score=0.5, input_tokens=4000, **more)


def cells(table: str, agent: str) -> dict[str, str]:
    """The cells of an agent's line in a text table, by heading; of the last columns alone."""
    heading = next(line for line in table.splitlines() if line.startswith("agent"))
    line = next(line for line in table.splitlines() if line.startswith(f"{agent} "))
    return dict(zip(HEADINGS, line.split()[-len(HEADINGS) :], strict=True)) | {"heading": heading}


def test_a_ledger_tells_roles_apart_and_is_asked_for_in_other_threads() -> None:
    spend(Usage(1))  # nobody counts
    ledger = Ledger()
    with ledger.open():
        spend(Usage(1, 10, 2, 0.5))
        with spending_as("reader"):
            spend(Usage(2, 5, 1, 0.25))
        spend(Usage(1, 7), "embeddings")
        own = current()
        assert own is ledger

        def elsewhere(kept: Ledger = own) -> None:
            spend(Usage(100))
            kept.add(Usage(1), "manager")

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    spend(Usage(1))
    assert ledger.spent() == {
        "manager": Usage(2, 10, 2, 0.5),
        "reader": Usage(2, 5, 1, 0.25),
        "embeddings": Usage(1, 7),
    }


class _Words:
    """A template and a sampler: a token is a word, every reply is "so be it"."""

    context_tokens = 6
    sampled = 0

    def encode_all(self, requests: Sequence[ChatRequest]) -> list[list[int]]:
        return [[0] * len(request.messages[0].content.split()) for request in requests]

    def count(self, text: str) -> int:
        return len(text.split())

    def decode(self, ids: Sequence[int]) -> str:
        return "so be it"

    def sample(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[Sample | None]:
        self.sampled += len(prompts)
        return [Sample((1, 2, 3), (0.0, 0.0, 0.0), True) for _ in prompts]


def test_models_in_this_process_are_counted_and_a_judge_is_no_manager() -> None:
    words: Any = _Words()
    backend = GenerationBackend("words", words, words)
    sampling = Sampling(max_tokens=3)
    asked = [
        ChatRequest((Message("user", text),), sampling) for text in ("a b", "a b c d e f", "a")
    ]
    ledger = Ledger()
    with ledger.open():
        replies = backend.complete(asked)
        ModelJudge(backend).judge([JudgeRequest("is it", "grade/1", max_tokens=3)])
    assert [reply.failure for reply in replies] == [None, Failure.TOO_LONG, None]
    spent = {role: replace(one, seconds=0.0) for role, one in ledger.spent().items()}
    assert spent == {"manager": Usage(2, 3, 6), "judge": Usage(1, 2, 3)}
    assert words.sampled == 3


def test_means_are_of_an_episode_and_of_a_thousand_tokens_read() -> None:
    (row,) = summarise(
        [
            result("mine", 0, usage={"manager": SPENT}),
            result("mine", 1, usage={}),  # it asked its model nothing here
            result("mine", 2, usage={"manager": SPENT}, status="invalid"),
        ]
    )
    cost = row.costs["manager"]
    assert (cost.calls, cost.prompt_tokens, cost.reply_tokens, cost.seconds) == (2, 1000, 50, 1.5)
    assert (cost.calls_1k, cost.prompt_tokens_1k, cost.reply_tokens_1k) == (0.5, 250, 12.5)
    assert cost.seconds_1k == 0.375
    unknown = cost_of([{**SPENT, "seconds": None}], [None])
    assert unknown.cells() == ["4.0", "2000", "100", "-", "-", "-", "-", "-"]


def test_agents_without_a_model_show_none_and_runs_of_before_have_no_columns() -> None:
    results = [result("skip", 0), result("mine", 0, usage={"manager": SPENT})]
    for table in (
        render_table(summarise(results)),
        run_table(summarise(results), [*results, replace(results[0], budget="0.1")]),
    ):
        assert list(cells(table, "mine").values())[:4] == ["4.0", "2000", "100", "3.00"]
        assert [cells(table, "skip")[name] for name in HEADINGS] == ["-"] * 8
        assert cells(table, "skip")["heading"].split()[-9:] == " ".join(HEADINGS).split()
    before = [Result("skip", 0, 7, "e0", "AR"), Result("mine", 0, 7, "e0", "AR")]
    assert "calls" not in render_table(summarise(before))


def test_the_published_tables_have_the_columns() -> None:
    results = [
        result("a", 0, task="squad", usage={"manager": SPENT, "judge": SPENT}),
        result("a", 0, task="hotpotqa", usage={"manager": SPENT}),
        result("skip", 0, task="squad"),
    ]
    lines = fill(TABLES["memalpha"], "rebuilt", results)
    heading, _, first, second = markdown(TABLES["memalpha"], lines).splitlines()
    assert heading.endswith(f"| episodes | {' | '.join(HEADINGS)} |")
    assert first.endswith("| 2 | 4.0 | 2000 | 100 | 3.00 | 1.00 | 500 | 25 | 0.750 |")
    assert second.endswith("| 1 | - | - | - | - | - | - | - | - |")
    assert "calls" not in markdown(TABLES["memalpha"], [lines[1]])


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, list[int]]]:
    """A run of `llm` and `skip` whose reader is a model too, and how often the server was asked."""
    pytest.importorskip("openai", reason="needs the extra openai")
    folder = tmp_path_factory.mktemp("cost") / "run"
    asked = [0, 0]

    def answer(body: Any) -> str:  # noqa: ANN401
        manages = "<chunk" in body["messages"][-1]["content"]
        asked[not manages] += 1
        return '[{"op": "INSERT", "content": "A fact."}]' if manages else "Answer: no\nUsed: 1"

    with StubServer(answer) as server:
        model = {"name": "openai", "model": "stub", "base_url": server.url}
        keywords = {"split": "test", "num_chunks": 3, "chunk_questions": 0, "reader": model}
        agents = (AgentChoice("skip"), AgentChoice("llm", {"backend": model}))
        rows = run(RunConfig("FineMem-AR-v0", keywords, agents, episodes=1), folder)
        yield folder, render_table(rows), asked


def test_a_run_counts_what_the_server_was_asked(played: tuple[Path, str, list[int]]) -> None:
    folder, table, asked = played
    skip, llm = RunFolder(folder).results()
    label = llm.agent
    assert set(skip.usage) == {"reader"}
    assert set(llm.usage) == {"manager", "reader"}
    manager, reader = llm.usage["manager"], llm.usage["reader"]
    assert manager["calls"] == llm.steps == asked[0] == 3
    assert reader["calls"] + skip.usage["reader"]["calls"] == asked[1]  # type: ignore[operator]
    assert (manager["prompt_tokens"], manager["reply_tokens"]) == (33, 12)  # 11 and 4 a call
    assert 0 < manager["seconds"] <= llm.agent_seconds  # type: ignore[operator]
    assert llm.input_tokens
    row = cells(table, label)
    assert (row["calls"], row["prompt"], row["reply"]) == ("3.0", "33", "12")
    assert row["calls/1k"] == f"{3000 / llm.input_tokens:.2f}"
    below = table.split("\n\n")[1].splitlines()
    assert below[0].split()[:3] == ["agent", "model", "as"]
    assert below[2].split()[:3] == ["skip", "reader", f"{skip.usage['reader']['calls']:.1f}"]
    assert len(below) == 4
    summary = json.loads((folder / "summary.json").read_text())
    stored = {one["agent"]: one["costs"] for one in summary["agents"]}
    assert stored[label]["manager"]["calls"] == 3
    assert set(stored["skip"]) == {"reader"}


def test_the_report_shows_it(
    played: tuple[Path, str, list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report([str(played[0]), "--output", str(played[0] / "page.html")]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[-9:] == " ".join(HEADINGS).split()
    html = page(load([played[0]]))
    assert "<th>calls</th><th>prompt</th><th>reply</th><th>model s</th>" in html
    assert "<td>skip</td><td>reader</td>" in html


def test_readers_say_what_each_of_them_cost(
    played: tuple[Path, str, list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    from baselines.readers import main as readers

    folder, _, asked = played
    before = asked[1]
    config = json.loads((folder / "config.json").read_text())["env_args"]["reader"]
    given = [str(folder), "--reader", "local", "--reader", json.dumps(config), "--trust-settings"]
    assert readers(given) == 0
    out = capsys.readouterr().out
    local, model = json.loads((folder / "readers.json").read_text())
    assert local["cost"] is None
    assert model["cost"]["calls"] * 2 == asked[1] - before == model["calls"]  # two agents
    assert model["cost"]["prompt_tokens"] == 11 * model["cost"]["calls"]
    assert "model s" in out.splitlines()[-5]
    assert out.splitlines()[-3].split()[-8:] == ["-"] * 8


def test_a_damaged_cost_is_one_line(
    played: tuple[Path, str, list[int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in played[0].glob("*.json*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    damaged = json.dumps({**json.loads(lines[0]), "usage": {"reader": 3}})
    (tmp_path / "results.jsonl").write_text("\n".join([damaged, *lines[1:], ""]))
    assert report([str(tmp_path)]) == 2
    assert "results.jsonl, line 1: usage must be a mapping of names" in capsys.readouterr().err


def test_a_server_that_reports_nothing_is_counted_here() -> None:
    pytest.importorskip("openai", reason="needs the extra openai")
    from finemem_env.backends.registry import make_backend
    from tests.backends.servers import Response, chat_completion

    silent = json.loads(chat_completion("four words are here"))
    silent.pop("usage")
    ledger = Ledger()
    with StubServer(lambda _: Response(json.dumps(silent).encode())) as server, ledger.open():
        backend = make_backend({"name": "openai", "model": "stub", "base_url": server.url})
        backend.complete([ChatRequest((Message("user", "one two three"),))])
    (spent,) = ledger.spent().values()
    assert asdict(spent) | {"seconds": 0} == {
        "calls": 1, "prompt_tokens": backend.count_tokens("one two three"),
        "reply_tokens": backend.count_tokens("four words are here"), "seconds": 0,
    }  # fmt: skip
