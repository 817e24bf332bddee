"""Several training processes that draw from servers; two machines as two network namespaces."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the agents need torch")
pytest.importorskip("transformers", reason="the agents need transformers")
pytest.importorskip("tensorboard", reason="the agents need tensorboard")

import torch
from safetensors.torch import load_file

from agents.assets import tiny_folder
from tests.agents.engine_runs import GIVEN, assert_same_update, records, train
from tests.agents.engine_server import EngineServer
from tests.agents.forks import free_port, launch, updates_of, wait_for
from tests.installed import needs

needs("openai", "needs the extra openai")

ROOT = Path(__file__).resolve().parents[2]
ENDLESS = ("--updates", "4000")
HOSTS = {"finemem-a": "10.213.77.1", "finemem-b": "10.213.77.2"}

# Two CPU minutes: an environment of its own.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "FINEMEM_ENGINES" not in os.environ, reason="several processes: tox run -e engines"
    ),
]


@pytest.fixture
def servers() -> Iterator[tuple[EngineServer, EngineServer]]:
    with EngineServer(tiny_folder()) as first, EngineServer(tiny_folder()) as second:
        yield first, second


def test_two_processes_with_one_server_and_with_two_give_the_update_of_one(
    servers: tuple[EngineServer, EngineServer], tmp_path: Path
) -> None:
    urls = [one.url for one in servers]
    train(tmp_path / "one", urls[:1], "--updates", "1", size=1)
    for name, used, more in (
        ("a server", urls[:1], ()),
        ("servers", urls, ()),
        ("shards", urls, ("--shard",)),
    ):
        train(tmp_path / name, used, "--updates", "1", *more, size=2)
        assert_same_update(tmp_path / "one", tmp_path / name, gradient=1e-4)
    # Several optimizer steps need log-probabilities of before, of other rows in every process.
    train(tmp_path / "steps", urls, "--updates", "1", "--shard", "--optimizer-steps", "2", size=2)
    train(tmp_path / "one lora", urls[:1], "--updates", "1", "--lora-rank", "4", size=1)
    train(tmp_path / "lora", urls, "--updates", "1", "--lora-rank", "4", size=2)
    assert_same_update(tmp_path / "one lora", tmp_path / "lora", gradient=1e-4)


def test_a_server_a_process_and_the_whole_job_are_killed_and_nothing_is_lost(
    servers: tuple[EngineServer, EngineServer], tmp_path: Path
) -> None:
    folder, log = tmp_path / "run", tmp_path / "run.log"
    given = [*GIVEN, "--sampler", ",".join(one.url for one in servers)]

    def reach(update: int) -> None:
        wait_for(lambda: updates_of(folder) >= update, lambda: group.alive)

    group = launch(folder, *given, *ENDLESS)
    reach(1)
    servers[1].dead = True
    reach(updates_of(folder) + 3)
    servers[1].dead = False
    reach(updates_of(folder) + 2)
    said = log.read_text("utf-8")
    assert f"{servers[1].url} is left out" in said
    assert f"{servers[1].url} is back and has the present weights" in said
    number = group.processes[1].pid
    assert number is not None
    os.kill(number, signal.SIGKILL)
    assert 0 not in group.wait()
    reached = updates_of(folder)
    group = launch(folder, *given, *ENDLESS, "--resume")
    reach(reached + 2)
    group.send(signal.SIGKILL)
    group.wait()
    last = updates_of(folder) + 1
    train(folder, [one.url for one in servers], "--updates", str(last), "--resume", size=2)
    assert [one["update"] for one in records(folder)] == list(range(last + 1))


@pytest.fixture
def hosts() -> Iterator[list[str]]:
    """Two network namespaces that reach each other and nothing else."""
    script = "set -e; ip link add fm-a type veth peer name fm-b\n"
    for (name, address), link in zip(HOSTS.items(), ("fm-a", "fm-b"), strict=True):
        script += f"ip netns add {name}; ip link set {link} netns {name}\n"
        inside = f"ip netns exec {name} ip"
        script += f"{inside} addr add {address}/24 dev {link}; {inside} link set {link} up\n"
        script += f"{inside} link set lo up\n"
    gone = "ip link del fm-a; " + "; ".join(f"ip netns del {name}" for name in HOSTS)
    if shutil.which("ip") is None:
        pytest.skip("needs the program ip (iproute2)")
    subprocess.run(["bash", "-c", gone], capture_output=True, check=False)
    made = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    try:
        if made.returncode:
            pytest.skip(f"network namespaces are not allowed here: {made.stderr.strip()}")
        yield list(HOSTS)
    finally:
        subprocess.run(["bash", "-c", gone], capture_output=True, check=False)


def test_two_machines_train_as_one_with_two_processes(hosts: list[str], tmp_path: Path) -> None:
    train(tmp_path / "here", [], "--updates", "1", size=2)
    port = free_port()
    running = [
        subprocess.Popen(
            [
                *["ip", "netns", "exec", name, sys.executable, "-m", "torch.distributed.run"],
                *["--nnodes", "2", "--nproc_per_node", "1", "--node_rank", str(rank)],
                *["--master_addr", HOSTS[hosts[0]], "--master_port", str(port)],
                *["-m", "agents.grpo", *GIVEN, "--updates", "1"],
                *["--output-dir", str(tmp_path / "there")],
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "GLOO_SOCKET_IFNAME": f"fm-{'ab'[rank]}",
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, name in enumerate(hosts)
    ]
    printed = [process.communicate(timeout=600)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], printed
    place = "checkpoints/000001/weights.safetensors"
    one, two = (load_file(tmp_path / name / place) for name in ("here", "there"))
    assert all(torch.equal(one[key], two[key]) for key in one)
