"""Processes of one group, forked from a process that has torch and transformers imported already.

Nothing else is shared: each is as fresh as one that a launcher starts, some seconds sooner.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["agents.grpo", "transformers.models.qwen3.modeling_qwen3"])
_PATIENCE = 1200.0  # seconds


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def run_group(target: Callable[..., object], arguments: Sequence[tuple[object, ...]]) -> list[int]:
    """Exit codes of processes that call `target` at the same time, one for each of `arguments`."""
    group = [_CONTEXT.Process(target=target, args=given) for given in arguments]
    for process in group:
        process.start()
    for process in group:
        process.join(_PATIENCE)
        process.kill()
        process.join()
    return [process.exitcode or 0 for process in group]


def train(folder: Path, *arguments: str, size: int = 2) -> str:
    """What `agents.grpo` with these arguments prints, in `size` processes as torchrun starts."""
    log = folder.with_suffix(".log")
    more, port = [*arguments, "--output-dir", str(folder)], free_port()
    codes = run_group(_train, [(rank, size, port, log, more) for rank in range(size)])
    output = log.read_text("utf-8")
    assert codes == [0] * size, output
    return output


def _train(rank: int, size: int, port: int, log: Path, arguments: list[str]) -> None:
    group = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in group.items()}
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    with log.open("ab") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    from agents.grpo import main

    sys.exit(main(arguments))
