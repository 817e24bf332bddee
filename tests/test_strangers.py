"""What a stranger wrote is data: no program calls, imports, loads or writes what a file names."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from baselines import benchmark, inspect, published, report, rescore, watch
from baselines.runs.choice import AgentChoice
from baselines.runs.run import RunConfig, run
from finemem_env.__main__ import main as programs
from finemem_env.errors import DataError

SMALL: dict[str, Any] = {"split": "test", "num_chunks": 2}
ENDPOINT = {"name": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
ENDPOINT |= {"api_key_env": "CANARY_KEY", "cache": "canary.sqlite"}
# Settings of an environment that reach further than text.
FORGED: tuple[tuple[str, object], ...] = (
    ("reader", ENDPOINT),
    ("judge", ENDPOINT),
    ("reader", {"name": "canary:Canary"}),
    ("retriever", "canary:Canary"),
    ("retriever", {"name": "dense", "model": "canary"}),
    ("source", "canary:Canary"),
    ("source", "canary.jsonl"),
    ("id", "canary:Env-v0"),
    ("tokenizer", "hf:canary"),
    ("exclude", "canary.txt"),
    ("data_dir", "canary"),
    ("difficulty", {"exclude": "canary.txt"}),
    ("difficulty", {"file": "../canary"}),
)
every_setting = pytest.mark.parametrize(
    ("setting", "value"), FORGED, ids=lambda part: json.dumps(part)[:40]
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with canaries: a module, a key, and files that must stay as they are."""
    (tmp_path / "canary.py").write_text("raise AssertionError('imported')\n")
    (tmp_path / "canary.txt").write_text("canary\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CANARY_KEY", "canary-secret")
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it was called"))
    return tmp_path


@pytest.fixture
def untouched(place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[int, str], None]:
    """Checks that a program refused in one line that names the setting, and touched nothing."""

    def check(status: int, setting: str) -> None:
        shown = capsys.readouterr()
        assert status == 2
        assert shown.err.startswith("error: ")
        assert shown.err.count("\n") == 1
        assert setting in shown.err
        assert "--trust-settings" in shown.err
        assert "canary-secret" not in shown.out + shown.err
        assert "canary" not in sys.modules
        assert (place / "canary.txt").read_text() == "canary\n"
        assert not list(place.glob("**/*.sqlite"))

    return check


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strangers") / "run"
    run(RunConfig(env_args=SMALL, agents=(AgentChoice("fifo"),), episodes=1), folder)
    return folder


def copied(played: Path, to: Path) -> Path:
    to.mkdir()
    for path in played.glob("*.json*"):
        (to / path.name).write_bytes(path.read_bytes())
    return to


@every_setting
def test_rescore(
    place: Path, played: Path, untouched: Callable[[int, str], None], setting: str, value: object
) -> None:
    folder = copied(played, place / "theirs")
    trace = json.loads((folder / "traces.jsonl").read_text())
    trace["env"][setting] = value
    (folder / "traces.jsonl").write_text(json.dumps(trace) + "\n")
    untouched(rescore.main([str(folder)]), setting)
    assert not (folder / "rescored").exists()


@every_setting
def test_inspect_reads_and_makes_nothing(
    place: Path, played: Path, setting: str, value: object
) -> None:
    folder = copied(played, place / "theirs")
    trace = json.loads((folder / "traces.jsonl").read_text())
    trace["env"][setting] = trace["settings"][setting] = value
    (folder / "traces.jsonl").write_text(json.dumps(trace) + "\n")
    assert inspect.main([str(folder)]) == 0
    assert "canary" not in sys.modules
    assert (place / "canary.txt").read_text() == "canary\n"
    assert not list(place.glob("**/*.sqlite"))


def test_rescore_of_a_run_of_ours_and_with_trust(place: Path, played: Path) -> None:
    folder = copied(played, place / "ours")
    assert rescore.main([str(folder)]) == 0
    trace = json.loads((folder / "traces.jsonl").read_text())
    trace["env"]["data_dir"] = str(place)
    (folder / "traces.jsonl").write_text(json.dumps(trace) + "\n")
    assert rescore.main([str(folder), "--trust-settings"]) == 0


@pytest.mark.parametrize("name", ["results.jsonl", "traces.jsonl", "rescored"])
def test_nothing_is_written_through_a_link(
    place: Path, played: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = copied(played, place / "theirs")
    target = place / ("elsewhere" if name == "rescored" else "canary.txt")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target)
    arguments = ["--episodes", "1", "--no-reference", "--time-limit", "0", "--resume"]
    arguments += ["--env-args", json.dumps({"num_chunks": 2}), "--agent", "fifo"]
    if name == "rescored":
        target.mkdir()
        assert rescore.main([str(folder)]) == 2
        assert not list(target.iterdir())
    else:
        target.write_text("")
        assert benchmark.main([*arguments, "--output-dir", str(folder)]) in (0, 2)
        assert target.read_text() == ""


def test_a_report_shows_markup_as_text(place: Path, played: Path) -> None:
    folder, script = copied(played, place / "theirs"), "<script>alert(1)</script>"
    for name in ("results.jsonl", "traces.jsonl"):
        text = (folder / name).read_text().replace('"fifo"', json.dumps(script))
        (folder / name).write_text(text)
    config = json.loads((folder / "config.json").read_text())
    config |= {"env": script, "seed": script, "data_hash": script[:16], "git_commit": script}
    config["versions"] |= {script: script}
    (folder / "config.json").write_text(json.dumps(config))
    assert report.main([str(folder)]) == 0
    assert "<script" not in (folder / "report.html").read_text()


def test_a_run_goes_on_with_what_was_typed(
    place: Path, played: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(played, place / "theirs")
    config = json.loads((folder / "config.json").read_text())
    config |= {"env": "canary:Env-v0", "agents": ["canary:Canary"]}
    (folder / "config.json").write_text(json.dumps(config))
    typed = ["--agent", "fifo", "--no-reference", "--episodes", "1", "--time-limit", "0"]
    typed += ["--env-args", '{"num_chunks": 2}', "--resume", "--output-dir", str(folder)]
    assert benchmark.main(typed) == 2
    assert "holds a run with another agents" in capsys.readouterr().err
    assert "canary" not in sys.modules


def test_a_published_table_goes_on_with_what_was_typed(
    place: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["memalpha", "--data", "rebuilt", "--data-dir", str(data_dir), "--agent", "skip"]
    typed += ["--episodes", "1", "--resume", "--output-dir", str(place / "theirs")]
    (place / "theirs").mkdir()
    config = {"schema": "finemem-run/1", "env": "canary:Env-v0", "agents": ["canary:Canary"]}
    (place / "theirs" / "config.json").write_text(json.dumps(config))
    assert published.main(typed) == 2
    assert "holds a run with another agents" in capsys.readouterr().err
    assert "canary" not in sys.modules


def test_what_an_episode_says_commands_no_terminal(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads(json.dumps(RECORD))
    record["chunks"][0]["text"] = "Mara\x1b]0;canary\x07 keeps \u202egoats."
    (place / "theirs.jsonl").write_text(json.dumps(record) + "\n")
    arguments = ["--source", "theirs.jsonl", "--env", "FineMem-AR-v0", "--agent", "store_chunks"]
    assert watch.main(arguments) == 0
    shown = capsys.readouterr().out
    assert "keeps" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


RECORD: dict[str, Any] = {
    "schema": "finemem-episode/1",
    "episode_id": "e",
    "competency": "AR",
    "source": "theirs",
    "chunks": [{"id": "c", "text": "Mara keeps goats."}],
    "questions": [{"id": "q", "question": "Who?", "answers": ["Mara"], "metric": "f1"}],
}


def test_an_episode_file_names_no_code(place: Path) -> None:
    record = json.loads(json.dumps(RECORD))
    record["questions"][0]["metric"] = "canary:Canary"
    (place / "theirs.jsonl").write_text(json.dumps(record) + "\n")
    with pytest.raises(DataError, match="metric"):
        gym.make("FineMem-AR-v0", disable_env_checker=True, source="theirs.jsonl")
    assert programs(["play", "--source", "theirs.jsonl"]) == 2
    assert watch.main(["--source", "theirs.jsonl"]) == 2
    assert "canary" not in sys.modules


def test_a_table_is_text(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "theirs.csv").write_text(
        "document,question,answer,metric,source\nMara keeps goats.,Who?,Mara,canary:C,canary:C\n"
    )
    assert programs(["convert", "theirs.csv", "--out", "made.jsonl"]) == 0
    assert "canary" not in sys.modules
    made = json.loads((place / "made.jsonl").read_text())
    assert made["questions"][0]["metric"] != "canary:C"
