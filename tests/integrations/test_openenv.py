"""OpenEnv for real: server, client and the check of the package (tox run -e openenv)."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

pytest.importorskip("openenv")

from openenv.core.generic_client import GenericEnvClient

from finemem_env.errors import ConfigError
from finemem_env.integrations import step_info
from finemem_env.integrations.openenv import Edit, MemoryClient, MemoryEnvironment, make_app
from tests.integrations.replies import run_page
from tests.integrations.serving import served

PACKAGE = Path(__file__).resolve().parents[2] / "examples" / "finemem_openenv"
ARGS: dict[str, Any] = {"num_chunks": 3, "include_instructions": True}


def app(sessions: int, idle_seconds: float = 60.0) -> Any:  # noqa: ANN401
    return make_app("FineMem-AR-v0", ARGS, sessions=sessions, idle_seconds=idle_seconds)


def note(observation: str, rollout: int) -> str:
    """A reply that depends on what was read and on who read it."""
    words = observation.partition("<chunk")[2].split()
    return json.dumps([{"op": "INSERT", "content": " ".join(words[rollout : rollout + 40])}])


def played_here(seed: int, rollout: int) -> tuple[list[str], list[float], dict[str, Any]]:
    env = gym.make("FineMem-AR-v0", **ARGS)
    text, info = env.reset(seed=seed)
    texts, rewards, done = [text], [], False
    while not done:
        text, reward, done, _, info = env.step(note(text, rollout))
        texts.append(text)
        rewards.append(float(reward))
    return texts, rewards, step_info(info)


def test_eight_sessions_at_once_play_what_is_played_here() -> None:
    together = threading.Barrier(8)
    told: dict[int, Any] = {}

    def play(rollout: int) -> tuple[list[str], list[float], dict[str, Any]]:
        with MemoryClient(base_url=url).sync() as client:
            together.wait(30)
            result = client.reset(seed=rollout // 2, episode_id=f"mine-{rollout}")
            texts, rewards = [result.observation.text], []
            while not result.done:
                together.wait(30)
                result = client.step(Edit(text=note(texts[-1], rollout)))
                texts.append(result.observation.text)
                rewards.append(result.reward)
            told[rollout] = client.state()
            together.wait(30)
            return texts, rewards, result.metadata

    with served(app(sessions=8)) as url, ThreadPoolExecutor(8) as pool:
        played = list(pool.map(play, range(8)))
    for rollout, (texts, rewards, info) in enumerate(played):
        assert (texts, rewards, info) == played_here(rollout // 2, rollout)
        assert len(info["step_rewards"]) == 3
        assert sum(info["step_rewards"]) == pytest.approx(sum(rewards))
        assert (told[rollout].episode_id, told[rollout].step_count) == (f"mine-{rollout}", 3)


def test_a_client_that_knows_no_types_and_a_session_too_many() -> None:
    with (
        served(app(sessions=1)) as url,
        GenericEnvClient(base_url=url).sync() as client,
        GenericEnvClient(base_url=url).sync() as second,
    ):
        first = client.reset(seed=4)
        assert first.observation["text"] == played_here(4, 0)[0][0]
        assert not {"answers", "chunk_answers", "evidence"} & set(first.metadata)
        with pytest.raises(RuntimeError, match="capacity"):
            second.reset(seed=4)


def test_a_session_that_idles_gives_its_place_back() -> None:
    with (
        served(app(sessions=1, idle_seconds=0.5)) as url,
        MemoryClient(base_url=url).sync() as idle,
    ):
        idle.reset(seed=1)
        limit = time.monotonic() + 30
        while time.monotonic() < limit:
            time.sleep(0.5)
            with MemoryClient(base_url=url).sync() as other:
                try:
                    other.reset(seed=1)
                    break
                except RuntimeError as error:
                    assert "capacity" in str(error)  # noqa: PT017
        else:
            pytest.fail("the idle session kept its place")
        with pytest.raises(RuntimeError, match="closed after it idled"):
            idle.step(Edit(text="[]"))


def test_every_request_is_the_two_messages_of_training() -> None:
    env = MemoryEnvironment()
    seen = env.reset(seed=0)
    system, user = seen.messages()
    assert (system["role"], user["role"]) == ("system", "user")
    assert system["content"] == seen.metadata["instructions"]
    assert seen.text == f"{system['content']}\n\n{user['content']}"


def test_what_is_served_is_named_by_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINEMEM_ENV_ID", "FineMem-CR-v0")
    monkeypatch.setenv("FINEMEM_ENV_ARGS", '{"num_chunks": 2}')
    assert MemoryEnvironment().reset(seed=0).metadata["num_chunks"] == 2
    monkeypatch.setenv("FINEMEM_ENV_ARGS", "num_chunks=2")
    with pytest.raises(ConfigError, match="JSON object"):
        make_app()
    with pytest.raises(ConfigError, match="id of this suite"):
        make_app("CartPole-v1", {})


def test_the_package_passes_the_static_check() -> None:
    command = ["-m", "openenv.cli", "validate", str(PACKAGE), "--level", "static", "--skip-build"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS  static.manifest" in done.stdout
    assert "Verdict: PASS" in done.stdout


def test_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with served(app(sessions=1)) as url:
        told = run_page("OpenEnv", url)["result"].metadata
    assert capsys.readouterr().out == f"{told['step_rewards']} {told['score']}\n"
