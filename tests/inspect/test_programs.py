from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from baselines.inspect import main
from baselines.runs.run import AgentChoice, RunConfig, run
from finemem_env.console import visible
from finemem_env.trace import read_traces, write_traces

OLD = Path(__file__).parents[1] / "trace" / "first_version.jsonl"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three agents, two episodes each."""
    path = tmp_path_factory.mktemp("run")
    agents = tuple(map(AgentChoice, ("skip", "fifo", "oracle")))
    env_args = {"num_chunks": 4, "split": "test"}
    run(RunConfig(env_args=env_args, agents=agents, episodes=2), path)
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(list(map(str, arguments))) == 0
    return capsys.readouterr().out


def rows(text: str) -> dict[str, list[str]]:
    table = text[text.index("agent ") :].splitlines()
    return {line.split()[0]: line.split()[1:] for line in table[2:] if line.strip()}


def test_every_question_has_a_line_and_every_agent_a_row(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, folder)
    questions = sum(len(trace.answers) for trace in read_traces(folder / "traces.jsonl"))
    assert len(re.findall(r"^  (answered|lost)", text, re.MULTILINE)) == questions
    table = rows(text)
    each = str(questions // 3)
    assert table["skip"][:3] == [each, "0", each]
    assert table["oracle"][:2] == [each, each]
    assert table["fifo"][0] == each
    assert int(table["fifo"][5]) > 0  # deleted
    assert all(sum(map(int, row[1:])) == int(row[0]) for row in table.values())
    assert re.search(
        r"lost .*deleted at step \d+ \(item \d+\); evidence \d+; .* -> .*, gold ", text
    )
    assert re.search(r"answered 1.00 .*; credit \d+:0\.\d+; ", text)


def test_agents_episodes_and_the_worst_are_chosen(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(rows(said(capsys, folder, "--agent", "fifo"))) == ["fifo"]
    assert said(capsys, folder, "--episode", 1).count("episode 1 (") == 3
    name = next(read_traces(folder / "traces.jsonl")).episode_id
    assert said(capsys, folder, "--episode", name).count("episode 0 (") == 3
    worst = said(capsys, folder, "--worst", 1)
    assert worst.count("score") == 3
    scores = {
        trace.episode: sum(one.score for one in trace.answers)
        for trace in read_traces(folder / "traces.jsonl")
        if trace.agent == "fifo"
    }
    assert f"fifo, episode {min(scores, key=scores.__getitem__)} (" in worst
    assert rows(worst)["fifo"] == rows(said(capsys, folder))["fifo"]


def test_a_file_of_traces_and_a_training_run(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    traces = list(read_traces(folder / "traces.jsonl"))
    file = tmp_path / "samples" / "update-000010.jsonl"
    file.parent.mkdir()
    write_traces(file, [dataclasses.replace(traces[2], agent="update 10")])
    assert "update 10, episode 0" in said(capsys, file)
    assert "update 10, episode 0" in said(capsys, tmp_path)
    with file.open("a") as growing:
        growing.write('{"schema": "finemem-tr')
    assert "update 10, episode 0" in said(capsys, tmp_path)


def test_an_old_trace_says_what_cannot_be_told(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, OLD)
    assert "1 of 1 traces are of finemem-trace/1, which holds no evidence, no credit" in text
    assert "deleted at step" in text
    assert "credit 0" not in text


def test_paths_without_traces_are_one_line(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        ([tmp_path], "expected a trace file (.jsonl), the folder of a benchmark run"),
        ([tmp_path / "nowhere"], "found nothing there"),
        ([folder / "config.json"], "line 1: expected JSON"),
        ([folder, "--agent", "me"], "no trace fits these options; there are agent fifo; agent"),
    ):
        assert main(list(map(str, arguments))) == 2
        assert message in capsys.readouterr().err


def test_what_a_trace_holds_cannot_move_the_cursor(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[2J\u202egnp.exe\u2066 \x9b31m\r\n<script>\ud800"
    trace = next(read_traces(folder / "traces.jsonl"))
    answer = dataclasses.replace(
        trace.answers[0], id=evil, question=evil, prediction=evil, golds=(evil,)
    )
    trace = dataclasses.replace(trace, agent=evil, episode_id=evil, answers=(answer,))
    write_traces(tmp_path / "evil.jsonl", [trace])
    text = said(capsys, tmp_path / "evil.jsonl")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800]", text)
    assert "\\u001b[2J\\u202egnp.exe\\u2066" in text


def test_long_texts_are_cut_and_joiners_stay() -> None:
    assert visible("a " * 5_000_000, 9) == "a a a a …"
    assert visible("می\u200cخواهم") == "می\u200cخواهم"
    assert visible("a\tb\n c\u2028d") == "a b c\\u2028d"
