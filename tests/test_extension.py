"""Parts of one's own: registered, named, listed, refused; docs/extending.md runs as it stands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import finemem_env
from finemem_env import Question
from finemem_env.cli.list import main as list_main
from finemem_env.errors import ConfigError
from finemem_env.extension import unregister
from finemem_env.registry import Registry
from finemem_env.scoring import score
from finemem_env.settings import markdown

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"## ([^\n]+)\n(?:(?!\n## ).)*?```python\n(.*?)```", PAGE, re.DOTALL)
PLAY = """
if "env" in globals():
    observation, info = env.reset(seed=0)
    over = False
    while not over:
        text = observation.split("\\n")[1]
        action = '[{"op": "INSERT", "content": "%s"}]' % text.replace('"', "'")
        observation, reward, over, _, info = env.step(action)
    print(info["reward_terms"]["global"], sum(info["step_rewards"]))
"""
SKIP = '[{"op": "SKIP"}]'


def test_the_page_has_a_program_for_every_kind() -> None:
    assert len(PROGRAMS) == 7
    assert all(len(code.strip().splitlines()) <= 21 for _, code in PROGRAMS)


@pytest.mark.parametrize("title, code", PROGRAMS, ids=[title for title, _ in PROGRAMS])
def test_every_program_of_the_page_runs(title: str, code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code + PLAY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert bool(done.stdout) == ("env =" in code)


def test_the_page_of_environments_holds_the_table_of_settings() -> None:
    assert markdown() in (ROOT / "docs" / "environments.md").read_text(encoding="utf-8")


class Constant:
    """Always the same answer."""

    def __init__(self, text: str = "nothing") -> None:
        self.text = text
        self.version = f"constant/1:{text}"

    def answer(self, requests: Any) -> list[finemem_env.Answer]:  # noqa: ANN401
        return [finemem_env.Answer(self.text) for _ in requests]


class Nameless:
    """No reader: it has no version."""

    def answer(self, requests: Any) -> list[finemem_env.Answer]:  # noqa: ANN401
        return []


@pytest.fixture
def registered() -> Iterator[None]:
    parts: dict[str, Any] = {
        "metric": lambda prediction, question: 0.25,
        "reader": Constant,
        "attribution": lambda final: [(1.0, (0,))],
        "reward": {"beta": 1.0, "attribution": "mine"},
        "protocol": {"reward": "mine", "top_k": 3},
    }
    order = ("metric", "reader", "attribution", "reward", "protocol")
    for kind in order:
        finemem_env.register(kind, "mine", parts[kind], description=f"my {kind}")
    yield
    for kind in order:
        unregister(kind, "mine")


def test_registered_parts_are_used(registered: None) -> None:
    env: Any = gym.make("FineMem-AR-v0", protocol="mine", reader="Mine", num_chunks=2)
    _, info = env.reset(seed=1)
    assert env.unwrapped.session.settings.top_k == 3
    assert info["versions"]["reader"] == "constant/1:nothing"
    assert "mine" in info["versions"]["reward"]
    assert "mine" in env.spec.to_json()
    question = Question(id="q", question="?", answers=("a",), metric="mine")
    assert score("whatever", question) == 0.25


def test_an_attribution_of_ones_own_decides_who_is_paid(registered: None) -> None:
    env: Any = gym.make("FineMem-AR-v0", protocol="mine", memory_budget="unlimited")
    env.reset(seed=1)
    chunks = env.unwrapped.session.episode.chunks
    for chunk in chunks:
        action = json.dumps([{"op": "INSERT", "content": chunk.text}])
        *_, info = env.step(action)
    assert info["reward_terms"]["global"] > 0
    assert info["evidence_credit"][0] == pytest.approx(sum(info["evidence_credit"]))


def test_registered_parts_are_listed_and_suggested(
    registered: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list_main(["metrics", "readers", "attributions", "rewards", "protocols"]) == 0
    printed = capsys.readouterr().out
    for text in ("my metric", "my reader", "my attribution"):
        assert text in printed
    assert printed.count("  mine ") == 5
    with pytest.raises(ConfigError, match="Did you mean 'mine'"):
        gym.make("FineMem-AR-v0", reader="minne")


def test_module_and_class_work_where_a_name_does() -> None:
    config = {"name": "tests.test_extension:Constant", "text": "Osta"}
    env: Any = gym.make("FineMem-AR-v0", reader=config, num_chunks=2)
    assert env.reset(seed=0)[1]["versions"]["reader"] == "constant/1:Osta"
    env.step(SKIP)


@pytest.mark.parametrize(
    "kind, name, value, message",
    [
        ("metrik", "x", len, "Did you mean 'metric'"),
        ("metric", "f1", len, "'f1' is registered already"),
        ("metric", "F-1", len, "'f1' is registered already"),
        ("metric", "a:b", len, "without spaces, slashes and colons"),
        ("metric", "x", 3, "expected a class or function, got 3"),
        ("source", "x", Constant, "expected a subclass of BaseSource"),
        ("protocol", "x", {"top_q": 1}, "Did you mean 'top_k'"),
        ("protocol", "x", {"top_k": 0}, "top_k: expected an integer"),
        ("protocol", "x", 3, "expected a mapping"),
        ("reward", "x", {"beta": 2.0}, "beta: expected a number in"),
        ("reward", "x", {"betta": 1.0}, "betta"),
    ],
)
def test_what_cannot_be_registered(kind: str, name: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        finemem_env.register(kind, name, value)
    with pytest.raises(ConfigError):
        unregister(kind, "x")


@pytest.mark.parametrize(
    "keywords, message",
    [
        ({"reader": "tests.test_extension:Absent"}, "has no 'Absent'"),
        ({"reader": "absent_module:Reader"}, "No module named 'absent_module'"),
        ({"reader": {"name": "tests.test_extension:Constant", "txt": 1}}, "unexpected keyword"),
        ({"reader": "tests.test_extension:Nameless"}, "`version`"),
        ({"reader": Nameless()}, "`version`"),
        ({"retriever": "tests.test_extension:Constant"}, "`update"),
        ({"source": "tests.test_extension:Constant"}, "expected a subclass of BaseSource"),
    ],
)
def test_what_is_no_such_part(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        gym.make("FineMem-AR-v0", **keywords)


def test_what_an_extra_brings_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "raise ModuleNotFoundError(\"No module named 'openai'\", name='openai.types')\n"
    (tmp_path / "lacking_one.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"reader 'lacking_one:Reader' needs openai.*\[openai\]"):
        gym.make("FineMem-AR-v0", reader="lacking_one:Reader")


def test_an_unknown_keyword_is_a_type_error_too() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'frameskip'"):
        gym.make("FineMem-AR-v0", frameskip=4)


def test_a_registry_forgives_spelling_only() -> None:
    registry = Registry("thing", {"one_more": 1})
    assert registry.find("One-More") == 1
    with pytest.raises(ConfigError, match="Did you mean 'one_more'"):
        registry.find("one_mor")
    with pytest.raises(KeyError):
        registry["One-More"]


@pytest.mark.parametrize(
    "program",
    [
        ["baselines.watch", "--protocol", "narrow", "--agent", "skip"],
        ["baselines.benchmark", "--protocol", "narrow", "--episodes", "1", "--agent", "skip"],
    ],
    ids=["watch", "benchmark"],
)
def test_programs_import_the_module_before_the_id(program: list[str], tmp_path: Path) -> None:
    parts = 'import finemem_env\nfinemem_env.register("protocol", "narrow", {"top_k": 1})\n'
    (tmp_path / "my_parts.py").write_text(parts, encoding="utf-8")
    command = [sys.executable, "-m", *program, "--env", "my_parts:FineMem-AR-v0"]
    if "benchmark" in program[0]:
        command += ["--output-dir", str(tmp_path / "run")]
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
