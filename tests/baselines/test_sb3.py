from __future__ import annotations

import json
from pathlib import Path

import gymnasium as gym
import pytest

pytest.importorskip("stable_baselines3", reason="the extra sb3 is not installed")

from baselines.agents import make_agent
from baselines.runs.runner import Entry, run_episode
from baselines.sb3 import ALGORITHMS, Sb3Config, main, train
from finemem_env.errors import ConfigError, DataError
from finemem_env.testing import check_agent

SMALL = {"num_chunks": 2}
PPO = {"n_steps": 64, "batch_size": 64, "n_epochs": 1}
DQN = {"learning_starts": 20, "buffer_size": 200}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("algo", list(ALGORITHMS))
def test_a_training_run_leaves_logs_and_a_checkpoint_that_plays(tmp_path: Path, algo: str) -> None:
    options = DQN if algo == "dqn" else PPO
    config = Sb3Config(env_args=SMALL, algo=algo, steps=256, envs=2, options=options)
    path = train(config, tmp_path / "run", log=False)
    assert path.is_file()
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["algo"] == algo
    assert settings["environment"]["protocol"] == "managed"
    env = gym.make("FineMem-AR-v0", disable_env_checker=True, **SMALL)
    agent = make_agent("sb3", {"checkpoint": str(tmp_path / "run")})
    result, trace = run_episode(env, Entry("sb3", agent), 0, 0, {})
    assert result.status == "ok"
    assert not result.rejected
    assert trace is not None
    with pytest.raises(ConfigError, match="already holds a run"):
        train(config, tmp_path / "run", log=False)


def test_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="settings of a training run"):
        make_agent("sb3", {"checkpoint": str(tmp_path)})
    with pytest.raises(ConfigError, match="ppo"):
        train(Sb3Config(algo="pp0"), tmp_path / "x")
    assert main(["--env", "FineMem-XX-v0", "--output-dir", str(tmp_path / "y")]) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_agent_keeps_the_contract(tmp_path: Path) -> None:
    config = Sb3Config(env_args=SMALL, steps=64, envs=1, options=PPO)
    train(config, tmp_path, log=False)
    check_agent(lambda: make_agent("sb3", {"checkpoint": str(tmp_path)}))
