"""Reader, judge and agent against a real server: `transformers serve` with a tiny random model.

At temperature 0 the server must give what the same model gives in this process, so a run that went
through kills and faults can be compared answer by answer with one that met none.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finemem_env.backends import Sampling
from finemem_env.backends.policy import ModelPolicy
from finemem_env.backends.registry import make_backend
from finemem_env.data.schema import write_episodes
from finemem_env.env import MemoryEnv
from finemem_env.errors import BackendError
from finemem_env.operations import render
from finemem_env.prompts import parse_observation
from finemem_env.readers.models import make_model_judge, make_model_reader
from finemem_env.types import Answer, Episode, JudgeRequest, Op, Operation, Reader, ReadRequest
from tests.agents.forks import Group, free_port
from tests.backends.servers import FaultProxy
from tests.installed import needs

needs("openai", "needs the extra openai")
needs("fastapi", "needs transformers[serving]")
needs("uvicorn", "needs transformers[serving]")

pytest.importorskip("torch", reason="needs the extra train")

pytestmark = pytest.mark.slow


def _serve(log: Path, *words: str) -> None:
    """`transformers serve`, in a process that is forked with transformers imported already."""
    with log.open("ab") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    from transformers.cli.transformers import app

    app(["serve", *words])


class _Server:
    """A `transformers serve` process that can be killed and started again on its port."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.model, self.log = str(model), folder / "serve.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        words = [self.model, "--device", "cpu", "--port", str(self.port)]
        self.group = Group.start(_serve, [(self.log, *words)])

    def wait(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(self.log.read_text()[-2000:])

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        self.group.send(how)
        self.group.wait()


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Server]:
    made = _Server(tiny_model, tmp_path_factory.mktemp("serve"))
    made.start()
    made.wait()
    yield made
    made.kill(signal.SIGTERM)


@pytest.fixture
def reader_config(server: _Server) -> dict[str, object]:
    return {
        "name": "openai",
        "model": server.model,
        "base_url": server.url,
        "temperature": 0.0,
        "max_tokens": 5,
        "concurrency": 4,
        "timeout": 20.0,
        "deadline": 60.0,
    }


@pytest.fixture(scope="module")
def local_reader(tiny_model: Path) -> Reader:
    config = {"name": "transformers", "model": str(tiny_model), "temperature": 0.0, "max_tokens": 5}
    return make_model_reader(config | {"device": "cpu"})


@pytest.fixture
def source(tiny_episode: Episode, tmp_path: Path) -> str:
    path = tmp_path / "episode.jsonl"
    write_episodes(path, [tiny_episode])
    return str(path)


def _store(observation: str) -> str:
    return render([Operation(Op.INSERT, content=parse_observation(observation).chunk)])


def _play(reader: Reader, source: str, act: Callable[[str], str] = _store) -> list[dict[str, Any]]:
    """Every answer of an episode, as `info` reports it."""
    env = MemoryEnv(source=source, reader=reader, protocol="fine-mem")
    observation, info = env.reset(seed=0)
    answers: list[dict[str, Any]] = []
    over = False
    while not over:
        observation, _, over, _, info = env.step(act(observation))
        answers += [*info["chunk_answers"], *info["answers"]]
    assert all(info["step_reward_valid"])
    return answers


def test_reader_equals_the_model_in_process_and_the_cache_makes_a_second_run_free(
    reader_config: dict[str, object],
    server: _Server,
    local_reader: Reader,
    source: str,
    tmp_path: Path,
) -> None:
    with FaultProxy(server.url) as proxy:
        config = reader_config | {"base_url": proxy.url, "cache": str(tmp_path / "cache.sqlite")}
        runs, calls = [], []
        for _ in range(2):
            runs.append(_play(make_model_reader(config), source))
            calls.append(len(proxy.seen))
    assert calls[0] == calls[1] == len(runs[0]) == 5
    assert runs[0] == runs[1] == _play(local_reader, source)
    assert not any(one["failed"] for one in runs[0])


def test_judge_and_agent(server: _Server, source: str, local_reader: Reader) -> None:
    address = {"name": "openai", "model": server.model, "base_url": server.url}
    judge = make_model_judge(address | {"seed": 0})
    request = JudgeRequest("Is Osta in the answer 'Osta'? yes or no", "judge/1", max_tokens=4)
    (verdict,) = judge.judge([request])
    assert verdict.text
    assert verdict.failed  # cut at four tokens: its text is there, but it is no verdict
    policy = ModelPolicy(make_backend(address), sampling=Sampling(0.0, max_tokens=6), tools=True)
    said: list[str] = []

    def act(observation: str) -> str:
        said.append(policy.act(observation, {}))
        return said[-1]

    answers = _play(local_reader, source, act)
    assert len(said) == 3
    assert all(said)
    assert len(answers) == 5


def test_a_kill_mid_run_loses_nothing_and_scores_nothing_wrong(
    reader_config: dict[str, object], server: _Server, local_reader: Reader
) -> None:
    requests = [
        ReadRequest(f"What is the code of gate {i}?", (f"The code of gate {i} is {i * 7}.",))
        for i in range(16)
    ]
    expected = [dataclasses.replace(one, tokens=0) for one in local_reader.answer(requests)]
    found: list[Answer] = []
    with FaultProxy(server.url) as proxy:
        reader = make_model_reader(reader_config | {"base_url": proxy.url})
        worker = threading.Thread(target=lambda: found.extend(reader.answer(requests)))
        worker.start()
        while len(proxy.seen) < 6:
            time.sleep(0.01)
        server.kill()
        assert worker.is_alive()
        time.sleep(0.5)
        server.start()
        worker.join(90)
    assert not worker.is_alive()
    assert [dataclasses.replace(one, tokens=0) for one in found] == expected
    assert not any(answer.failed for answer in found)


def test_a_server_that_stays_away_gives_failed_answers_and_an_invalid_episode(
    reader_config: dict[str, object], source: str
) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    reader = make_model_reader(reader_config | {"base_url": url, "deadline": 0.3})
    env = MemoryEnv(source=source, reader=reader)
    observation, info = env.reset(seed=0)
    over = False
    while not over:
        observation, _, over, _, info = env.step(_store(observation))
    assert all(one["failed"] for one in info["answers"])
    assert not any(info["step_reward_valid"])


def test_faults_in_front_of_the_real_server_change_no_answer(
    reader_config: dict[str, object],
    server: _Server,
    local_reader: Reader,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("finemem_env.backends.retry._FIRST_WAIT", 0.02)
    server.wait()
    with FaultProxy(server.url) as proxy:
        for number, fault in enumerate(FaultProxy.FAULTS, start=1):
            proxy.faults.append(fault)
            if number % 3 == 0:
                proxy.faults.append(None)
        reader = make_model_reader(reader_config | {"base_url": proxy.url, "timeout": 2.0})
        answers = _play(reader, source)
        assert len(proxy.seen) == len(FaultProxy.FAULTS) + 5
    assert answers == _play(local_reader, source)


def test_a_wrong_model_name_is_one_clear_error(
    reader_config: dict[str, object], server: _Server, source: str
) -> None:
    reader = make_model_reader(reader_config | {"model": "Qwen/Qwen3-32B"})
    with pytest.raises(BackendError, match="does not serve the model 'Qwen/Qwen3-32B'"):
        _play(reader, source)
