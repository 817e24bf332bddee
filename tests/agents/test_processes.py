"""Training in two gloo processes under torchrun: DDP and FSDP2, resuming, signals, accelerate."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
pytest.importorskip("tensorboard", reason="the agents need tensorboard")

import torch
from safetensors.torch import load_file
from torch import Tensor

from agents.assets import accelerate_config
from agents.learn import checkpoint
from agents.learn.distributed import World
from agents.runs.load import load_run
from finemem_env.disk import claimed
from finemem_env.errors import ConfigError
from tests.agents.forks import accelerated, launch, torchrun, train, updates_of, wait_for

RUN = {
    "contexts": 2,
    "group-size": 2,
    "max-new-tokens": 40,
    "env-args": json.dumps({"num_chunks": 2}),
    "eval-every": 2,
    "eval-episodes": 2,
    "final-episodes": 0,
    "save-every": 1,
    "updates": 2,
    "threads": 1,
}
GIVEN = [word for key, value in RUN.items() for word in (f"--{key}", str(value))]
ENDLESS = ("--updates", "4000", "--save-every", "4000", "--eval-every", "0")
FILES = ("weights.safetensors", "optimizer.safetensors")

pytestmark = pytest.mark.slow


def stored(folder: Path, update: int, file: str) -> dict[str, Tensor]:
    return load_file(folder / "checkpoints" / f"{update:06d}" / file)


# A script that tells what environment a launcher gives it.
TELLING = """
import json, os, pathlib, sys
place = json.dumps({**os.environ})
pathlib.Path(sys.argv[1], os.environ["RANK"] + ".json").write_text(place)
"""


def accelerate(name: str, folder: Path) -> list[dict[str, str]]:
    """The environments of the two processes that `accelerate launch` starts."""
    script = folder / "telling.py"
    script.write_text(TELLING)
    accelerated(folder, accelerate_config(name), script)
    places = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]
    for place in places:
        del place["TORCHELASTIC_USE_AGENT_STORE"]  # the launcher is gone
    return places


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two updates, with and without shards; the second one again, as accelerate starts it."""
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    found = {}
    for name, config, options in (("ddp", "ddp", []), ("fsdp", "fsdp2", ["--shard"])):
        folder = tmp_path_factory.mktemp(name)
        found[f"{name} whole"], found[f"{name} halves"] = folder / "whole", folder / "halves"
        train(folder / "whole", *GIVEN, *options)
        shutil.copytree(folder / "whole", folder / "halves")
        shutil.rmtree(folder / "halves" / "checkpoints" / "000002")
        places = accelerate(config, folder)
        output = train(folder / "halves", *GIVEN, "--resume", places=places)
        assert "2/2" in output
    return found


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_two_updates_are_one_and_one_that_accelerate_resumes(
    runs: dict[str, Path], name: str
) -> None:
    for file in FILES:
        one, two = (stored(runs[f"{name} {kind}"], 2, file) for kind in ("whole", "halves"))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)
    lines = (runs[f"{name} halves"] / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["update"] for line in lines] == [0, 1, 2]


def test_shards_train_as_whole_copies_do(runs: dict[str, Path]) -> None:
    for file in FILES:
        one, two = (stored(runs[f"{name} whole"], 2, file) for name in ("ddp", "fsdp"))
        before = stored(runs["ddp whole"], 1, file)
        assert one.keys() == two.keys()
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, atol=1e-4, rtol=1e-2)
        assert any(not torch.equal(before[key], one[key]) for key in one)


def test_a_sharded_run_leaves_whole_weights(runs: dict[str, Path]) -> None:
    _, policy = load_run(runs["fsdp whole"], "last")
    last = stored(runs["fsdp whole"], 2, "weights.safetensors")
    assert all(torch.equal(checkpoint.trained(policy.model)[key], last[key]) for key in last)
    load_run(runs["fsdp whole"], "best")


def test_sigterm_to_torchrun_writes_a_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    group = torchrun(folder, *GIVEN, *ENDLESS)
    wait_for(lambda: updates_of(folder) > 0, lambda: group.alive)
    group.send(signal.SIGTERM)
    (code,) = group.wait()
    output = folder.with_suffix(".log").read_text("utf-8")
    assert code == 1, output
    assert "SignalException" in output
    assert_saved(folder, output)


def test_sigterm_to_every_process_writes_a_checkpoint_of_all_shards(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    group = launch(folder, *GIVEN, *ENDLESS, "--shard")
    wait_for(lambda: updates_of(folder) > 0, lambda: group.alive)
    group.send(signal.SIGTERM)
    codes = group.wait()
    output = folder.with_suffix(".log").read_text("utf-8")
    assert codes == [130, 130], output
    assert_saved(folder, output)


def test_a_folder_that_another_run_has_ends_all_with_the_same_line(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with claimed(folder):
        codes = launch(folder, *GIVEN).wait()
    output = folder.with_suffix(".log").read_text("utf-8")
    assert codes == [2, 2], output
    assert "Traceback" not in output
    assert output.count("another process writes there now") == 2


def assert_saved(folder: Path, output: str) -> None:
    last = checkpoint.latest(folder / "checkpoints")
    assert last is not None, output
    assert int(last.name) >= 1, output
    assert "--resume" in output
    assert not list((folder / "checkpoints").glob(".*"))


def test_shards_need_several_processes() -> None:
    with pytest.raises(ConfigError, match="torchrun"):
        World().wrap(torch.nn.Linear(2, 2), shard=True)


def test_there_is_no_other_config() -> None:
    with pytest.raises(ConfigError, match="ddp"):
        accelerate_config("dpp")
