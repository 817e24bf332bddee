"""Processes of one group, forked from a process that has imported everything (`warmed`).

Nothing else is shared: each is as fresh as one that a launcher starts, some seconds sooner.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.agents.warmed"])
_PATIENCE = 1200.0  # seconds


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@dataclass(frozen=True)
class Group:
    """Processes that were started together."""

    processes: list[ForkServerProcess]

    @classmethod
    def start(cls, target: Callable[..., object], arguments: Sequence[tuple[object, ...]]) -> Group:
        """Call `target` at the same time with each of `arguments`."""
        group = cls([_CONTEXT.Process(target=target, args=given) for given in arguments])
        for process in group.processes:
            process.start()
        return group

    @property
    def alive(self) -> bool:
        return all(process.is_alive() for process in self.processes)

    def send(self, number: signal.Signals) -> None:
        for process in self.processes:
            assert process.pid is not None
            os.kill(process.pid, number)

    def wait(self) -> list[int]:
        """Their exit codes."""
        for process in self.processes:
            process.join(_PATIENCE)
            process.kill()
            process.join()
        return [process.exitcode or 0 for process in self.processes]


def launch(
    folder: Path, *arguments: str, size: int = 2, places: Sequence[Mapping[str, str]] = ()
) -> Group:
    """`agents.grpo` with these arguments in `size` processes, as torchrun starts them.

    What they print is in `folder`.log. `places`: the environment variables of each, if a launcher
    gave them other ones.
    """
    more, port = [*arguments, "--output-dir", str(folder)], free_port()
    log = folder.with_suffix(".log")
    given = places or [_place(rank, size) for rank in range(size)]
    return Group.start(
        _train, [({**place, "MASTER_PORT": str(port)}, log, more) for place in given]
    )


def accelerated(folder: Path, config: Path, script: Path) -> str:
    """What `accelerate launch --config_file CONFIG SCRIPT FOLDER` prints that ends well."""
    words = ["--config_file", str(config), "--main_process_port", str(free_port())]
    log = folder / "accelerate.log"
    codes = Group.start(_accelerate, [(log, [*words, str(script), str(folder)])]).wait()
    output = log.read_text("utf-8")
    assert codes == [0], output
    return output


def torchrun(folder: Path, *arguments: str, size: int = 2) -> Group:
    """`torchrun --nproc_per_node SIZE` of `agents.grpo`: its agent, which forks its processes.

    What they print is in `folder`.log.
    """
    words = ["--nproc_per_node", str(size), "--master_port", str(free_port())]
    given = [*arguments, "--output-dir", str(folder)]
    return Group.start(_torchrun, [(folder.with_suffix(".log"), words, given)])


def _place(rank: int, size: int) -> dict[str, str]:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1"}
    return {name: str(value) for name, value in place.items()}


def train(folder: Path, *arguments: str, places: Sequence[Mapping[str, str]] = ()) -> str:
    """What two processes print that end well."""
    codes = launch(folder, *arguments, places=places).wait()
    output = folder.with_suffix(".log").read_text("utf-8")
    assert codes == [0, 0], output
    return output


def wait_for(there: Callable[[], bool], alive: Callable[[], bool]) -> None:
    """Until something is there, while what makes it is alive."""
    end = time.monotonic() + _PATIENCE
    while not there():
        assert alive(), "it ended"
        assert time.monotonic() < end, f"nothing in {_PATIENCE} s"
        time.sleep(0.05)


def updates_of(folder: Path) -> int:
    """Updates that a run has logged, -1 before the line of its start."""
    metrics = folder / "metrics.jsonl"
    return metrics.read_text("utf-8").count("\n") - 1 if metrics.exists() else -1


def _train(place: Mapping[str, str], log: Path, arguments: list[str]) -> None:
    os.environ.update(place)
    _print_to(log)
    _grpo(*arguments)


def _grpo(*arguments: str) -> None:
    from agents.grpo import main

    sys.exit(main([*arguments]))


def _accelerate(log: Path, words: list[str]) -> None:
    launch = importlib.import_module("accelerate.commands.launch")  # without types
    _print_to(log)
    launch.launch_command(launch.launch_command_parser().parse_args(words))


def _torchrun(log: Path, words: list[str], arguments: list[str]) -> None:
    from torch.distributed.launcher.api import elastic_launch

    run = importlib.import_module("torch.distributed.run")
    _print_to(log)
    given = run.parse_args([*words, "--start_method", "fork", "agents.grpo"])
    elastic_launch(run.config_from_args(given)[0], _grpo)(*arguments)


def _print_to(log: Path) -> None:
    with log.open("ab") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
