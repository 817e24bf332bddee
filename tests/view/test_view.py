"""The page as a file, and the server that follows a run; in a browser: test_in_browser.py."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import http.client
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from finemem_env.__main__ import main
from finemem_env.inspect import Choice, Recorded
from finemem_env.trace import read_traces, trace_line, write_traces
from finemem_env.view import Collection, collect, data_json, make_server, page
from finemem_env.view.record import PARTS, record

OLD = Path(__file__).parents[1] / "trace" / "first_version.jsonl"


def data_of(html: str) -> Any:  # noqa: ANN401
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_command_writes_one_page_beside_the_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view", str(folder), "--no-open"]) == 0
    assert capsys.readouterr().out == f"written to {folder / 'view.html'}\n"
    data = data_of((folder / "view.html").read_text(encoding="utf-8"))
    names = [(one["agent"], one["episode"]) for one in data["episodes"]]
    agents = ("store_chunks", "oracle")
    assert names == [(agent, n) for n in (0, 1) for agent in agents]


def test_the_browser_is_opened_unless_it_should_not(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    out = tmp_path / "a page.html"
    assert main(["view", str(folder / "traces.jsonl"), "--output", str(out), "--no-open"]) == 0
    assert main(["view", str(folder / "traces.jsonl"), "--output", str(out)]) == 0
    assert opened == [out.as_uri()]


def test_the_page_asks_for_nothing_and_runs_nothing_but_its_script(evil: Path) -> None:
    html = page("evil", collect(evil, Choice(), 9))
    assert not re.search(r"\b(?:src|href)\s*=", html.split('id="data"')[0])
    assert html.count("<script") == 2  # the data and the script: none from the data
    assert html.count("</script>") == 2
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    assert policy
    assert policy[1].startswith("default-src 'none'; ")
    assert "unsafe" not in policy[1]
    assert "connect-src" not in policy[1]
    for tag in ("style", "script"):
        text = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert len(text) == 1
        digest = base64.b64encode(hashlib.sha256(text[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]
        assert "innerHTML" not in text[0]
        assert "http" not in text[0].replace("http://www.w3.org/2000/svg", "")


def test_what_the_page_holds_of_an_episode(folder: Path) -> None:
    trace = next(read_traces(folder / "traces.jsonl"))
    found = record(Recorded("squad", "0.4", trace))
    assert (found["agent"], found["task"], found["budget"]) == ("store_chunks", "squad", "0.4")
    assert len(found["questions"]) == len(trace.answers)
    for t, step in enumerate(found["steps"]):
        assert sum(step["parts"]) == pytest.approx(trace.step_rewards[t])
        assert len(step["parts"]) == len(PARTS)
        assert step["chunk"] == trace.steps[t].chunk
        assert [op[0] for op in step["ops"]] == [op.name for op in trace.steps[t].operations]
    assert sum(part for step in found["steps"] for part in step["parts"]) == pytest.approx(
        trace.episode_return
    )
    shown = [entry for one in found["questions"] for entry in one["shown"]]
    assert shown
    assert all(found["items"][place][0] == item for item, place, _ in shown)
    lost = next(one for one in found["questions"] if one["where"] == "refused")
    assert lost["text"].endswith("(memory full)")
    assert lost["lost"] is not None


def test_an_old_trace_is_shown_with_what_is_missing() -> None:
    found = record(Recorded("", "", next(read_traces(OLD))))
    assert "finemem-trace/1" in found["notes"][0]
    assert found["steps"][0]["chunk"] is None
    assert found["steps"][0]["tokens"] is None
    assert found["items"]


def test_a_trace_without_weights_keeps_its_rewards(folder: Path) -> None:
    trace = next(read_traces(folder / "traces.jsonl"))
    for settings in ({}, {"reward": 7}, {"reward": {"weights": {"chunk_qa": "x"}}}):
        found = record(Recorded("", "", dataclasses.replace(trace, settings=settings)))
        assert [sum(step["parts"]) for step in found["steps"]] == list(trace.step_rewards)


def test_what_is_left_out_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", str(folder), "--no-open", "--most", "3"]) == 0
    assert "3 of 4 episodes; choose others with --agent" in capsys.readouterr().out
    chosen = collect(folder, Choice(agent="oracle", episode="1"), 9)
    assert [json.loads(one)["episode"] for one in chosen.episodes] == [1]
    assert not chosen.note
    newest = [json.loads(one) for one in collect(folder, Choice(), 3, newest=True).episodes]
    last = [(trace.agent, trace.episode) for trace in read_traces(folder / "traces.jsonl")][-3:]
    assert [(one["agent"], one["episode"]) for one in newest] == last
    assert main(["view", str(folder), "--agent", "nobody"]) == 2
    assert "no trace fits these options" in capsys.readouterr().err
    assert main(["view", str(folder / "nowhere")]) == 2
    assert "expected a trace file (.jsonl), the folder of a bench" in capsys.readouterr().err


def test_a_page_that_would_be_too_large_is_cut(folder: Path) -> None:
    cut = collect(folder, Choice(), 4, most_chars=10)
    assert (len(cut.episodes), cut.total) == (1, 4)
    assert cut.note.startswith("1 of 4 episodes")


def ask(port: int, path: str, **headers: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(
        "GET", path, headers={name.replace("_", "-"): v for name, v in headers.items()}
    )
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body, answer.getheader("ETag") or ""


def test_the_server_gives_the_page_to_this_machine_and_data_when_they_change() -> None:
    states = ["1"]
    shown = Collection((), 0)
    server = make_server(
        lambda: page("run", shown, follow=True),
        lambda: data_json("run", shown, follow=True),
        lambda: states[-1],
    )
    port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        status, body, _ = ask(port, "/")
        assert status == 200
        assert "connect-src 'self'" in body
        status, body, tag = ask(port, "/data")
        assert (status, json.loads(body)["follow"]) == (200, True)
        assert ask(port, "/data", If_None_Match=tag)[0] == 304
        states.append("2")
        assert ask(port, "/data", If_None_Match=tag)[0] == 200
        # A stranger's page whose name was made to lead here.
        assert ask(port, "/", Host=f"evil.example:{port}")[0] == 404
        assert ask(port, "/../etc/passwd")[0] == 404
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_lines_that_are_being_written_are_left_out(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    trace = next(read_traces(folder / "traces.jsonl"))
    write_traces(path, [trace])
    with path.open("a") as file:
        file.write(trace_line(trace)[:500])
    assert collect(tmp_path, Choice(), 9).total == 1
