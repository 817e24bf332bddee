"""A file of a run that is cut, empty or something else: one line that names it, no traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baselines import benchmark, inspect, report, rescore, submit
from baselines.runs.choice import AgentChoice
from baselines.runs.run import RunConfig, run
from finemem_env.__main__ import main as programs
from finemem_env.errors import DataError
from finemem_env.fields import read_object, whole_lines

DAMAGED: dict[str, bytes] = {
    "empty": b"\n",
    "a brace": b"{\n",
    "a list": b"[]\n",
    "null": b"null\n",
    "an object": b"{}\n",
    "no text": b"\xff\xfe\x00\n",
    "deep": b"[" * 3000 + b"\n",
}
every_damage = pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
SMALL = {"num_chunks": 2}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged") / "run"
    run(RunConfig(env_args=SMALL, agents=(AgentChoice("fifo"),), episodes=1), folder)
    return folder


@every_damage
@pytest.mark.parametrize("name", ["config.json", "results.jsonl", "traces.jsonl"])
def test_programs_say_what_is_wrong_with_a_run(
    played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for path in played.glob("*.json*"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / name).write_bytes(content)
    go_on = ["--episodes", "1", "--agent", "fifo", "--no-reference", "--time-limit", "0"]
    go_on += ["--env-args", json.dumps(SMALL), "--resume", "--output-dir", str(folder)]
    for main, arguments in (
        (report.main, [str(folder)]),
        (inspect.main, [str(folder)]),
        (rescore.main, [str(folder)]),
        (submit.main, [str(folder), str(tmp_path / "submission.json")]),
        (programs, ["view", str(folder), "--no-open"]),
        (benchmark.main, go_on),
    ):
        status = main(arguments)
        errors = capsys.readouterr().err
        assert "Traceback" not in errors
        assert status in (0, 2)
        if status == 2:
            assert errors.count("error: ") == 1
            assert str(folder) in errors


@every_damage
def test_an_object_is_read_or_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    if content == DAMAGED["an object"]:
        assert read_object(path).mapping_of_all() == {}
    else:
        with pytest.raises(DataError, match=r"a\.json: expected"):
            read_object(path)


def test_a_line_without_its_end_was_never_finished(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}\n{"a": 3}')
    assert [(line, record.count("a")) for line, record in whole_lines(path)] == [
        ('{"a": 1}\n', 1),
        ('{"a": 2}\n', 2),
    ]
    path.write_text('{"a": 1}\n{"a"\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: expected JSON"):
        list(whole_lines(path))
    assert list(whole_lines(tmp_path / "none")) == []
