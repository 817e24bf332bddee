from __future__ import annotations

import base64
import dataclasses
import json
import pickle
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from baselines.agents import make_agent
from baselines.benchmark import main as benchmark
from baselines.runs.runner import run_episode
from baselines.sb3 import ALGORITHMS, Sb3Config, _read_settings, blank, choices, main, train
from baselines.sb3_weights import restore
from finemem_env.errors import ConfigError, DataError
from finemem_env.testing import check_agent
from tests.installed import needs

needs("stable_baselines3", "the extra sb3 is not installed")

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
    assert list((tmp_path / "run").glob("events.*"))
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["algo"] == algo
    assert settings["environment"]["protocol"] == "managed"
    env = gym.make("FineMem-AR-v0", disable_env_checker=True, **SMALL)
    agent = make_agent("sb3", {"checkpoint": str(tmp_path / "run")})
    result, trace = run_episode(env, "sb3", agent, 0, 0, {})
    assert result.status == "ok"
    assert not result.rejected
    assert trace is not None
    with pytest.raises(ConfigError, match="already holds a run"):
        train(config, tmp_path / "run", log=False)


class Stop:
    """Ctrl-C after so many choices."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, base: type, progress: object) -> Any:  # noqa: ANN401
        after = self.after

        class Callback(base):  # type: ignore[misc]
            def _on_step(self) -> bool:
                if self.num_timesteps >= after:
                    raise KeyboardInterrupt
                return True

        return Callback()


ARGUMENTS = ["--env", "FineMem-CR-v0", "--env-args", json.dumps(SMALL), "--steps", "256"]
ARGUMENTS += ["--envs", "2", "--options", json.dumps(PPO)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_ctrl_c_stops_is_kept_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    arguments = [*ARGUMENTS, "--output-dir", str(folder)]
    monkeypatch.setattr("baselines.sb3._score_callback", Stop(140))
    assert main(arguments) == 130
    error = capsys.readouterr().err.splitlines()
    hint = "The model is kept: the same command with --resume goes on."
    assert error[-1] == f"interrupted: {hint}"
    begin = error.index("runs:   256 choices: ppo on FineMem-CR-v0")
    assert error[begin + 1] == f"writes: {folder}"
    assert "Traceback" not in error
    assert _choices(folder) == 140
    monkeypatch.undo()
    assert main(arguments) == 2
    assert "--resume goes on with it" in capsys.readouterr().err
    assert main([*arguments, "--slots", "3", "--resume"]) == 2
    assert "holds a run with another slots: 2, not 3." in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert _choices(folder) >= 256
    assert len(list(folder.glob("progress*.csv"))) == 2
    assert main([*arguments, "--resume"]) == 0  # nothing is left to do
    with pytest.raises(DataError, match="settings of a training run"):
        train(Sb3Config(), tmp_path / "none", resume=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_printed_command_scores_it_as_it_was_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a run"
    assert main([*ARGUMENTS[:5], "64", *ARGUMENTS[6:], "--output-dir", str(folder)]) == 0
    line = capsys.readouterr().out.splitlines()[-1].removeprefix("score it: ")
    assert line.startswith("python -m baselines.benchmark ")
    assert benchmark([*shlex.split(line)[3:], "--episodes", "1", "--time-limit", "0"]) == 0
    record = json.loads((folder / "benchmark" / "config.json").read_text())
    assert record["env"] == "FineMem-CR-v0"
    assert record["env_args"] == {"split": "test", **SMALL}
    trained = json.loads((folder / "settings.json").read_text())["environment"]
    assert record["settings"] == trained


def _choices(folder: Path) -> int:
    import stable_baselines3 as library

    return int(library.PPO.load(folder / "model.zip", device="cpu").num_timesteps)


def test_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="settings of a training run"):
        make_agent("sb3", {"checkpoint": str(tmp_path)})
    with pytest.raises(ConfigError, match="ppo"):
        train(Sb3Config(algo="pp0"), tmp_path / "x")
    assert main(["--env", "FineMem-XX-v0", "--output-dir", str(tmp_path / "y")]) == 2


class Canary:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.fixture(params=["ppo", "dqn"])
def forged(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a run of somebody else, with code where an object of the library is kept."""
    config = Sb3Config(algo=request.param)
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps(dataclasses.asdict(config)))
    blank(config).save(tmp_path / "honest.zip")
    code = base64.b64encode(pickle.dumps(Canary(tmp_path / "canary"))).decode()
    with (
        zipfile.ZipFile(tmp_path / "honest.zip") as honest,
        zipfile.ZipFile(folder / "model.zip", "w") as archive,
    ):
        for name in honest.namelist():
            content = honest.read(name)
            if name == "data":
                data = json.loads(content)
                data["policy_class"] = {":type:": "x", ":serialized:": code}
                data["num_timesteps"] = 7
                content = json.dumps(data).encode()
            archive.writestr(name, content)
    return folder


@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_of_somebody_else_runs_no_code(forged: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    agent = make_agent("sb3", {"checkpoint": str(forged)})
    check_agent(lambda: agent)
    config = _read_settings(forged / "settings.json")
    model = blank(config)
    restore(model, forged / "model.zip")
    assert model.num_timesteps == 7
    assert not canary.exists()
    with pytest.raises(Exception, match=r"."):
        type(model).load(forged / "model.zip", device="cpu")
    assert canary.exists()  # what the library's own way does


@pytest.mark.filterwarnings("ignore")
def test_weights_that_are_no_tensors_are_refused(forged: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(forged / "model.zip", "w") as archive:
        archive.writestr("policy.pth", pickle.dumps(Canary(tmp_path / "canary")))
    with pytest.raises(DataError, match="tensors alone"):
        make_agent("sb3", {"checkpoint": str(forged)})
    assert not (tmp_path / "canary").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("algo", "steps", "taken"), [("ppo", 64, 1024), ("ppo", 1025, 2048), ("dqn", 64, 64)]
)
def test_ppo_takes_whole_rollouts(algo: str, steps: int, taken: int) -> None:
    assert choices(Sb3Config(algo=algo, steps=steps, envs=2)) == taken


def test_the_agent_keeps_the_contract(tmp_path: Path) -> None:
    config = Sb3Config(env_args=SMALL, steps=64, envs=1, options=PPO)
    train(config, tmp_path, log=False)
    check_agent(lambda: make_agent("sb3", {"checkpoint": str(tmp_path)}))
