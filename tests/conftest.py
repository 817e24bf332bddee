"""Fixtures for every test: no network beyond this machine, real data where it is set."""

from __future__ import annotations

import gc
import os
import socket
from pathlib import Path
from typing import Any

# Before NumPy and torch are imported: test processes run side by side, and threads that wait for
# one another burn a core each.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A name that is nowhere on this machine is asked of no hub, for half a minute.
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from hypothesis import settings

from finemem_env.types import Chunk, Episode, Evidence, Question

# New examples on every developer's run, the same ones in CI; a busy machine is not a failure.
settings.register_profile("local", deadline=None, max_examples=30)
settings.register_profile("ci", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

DATA = os.environ.get("FINEMEM_DATA")
LOOPBACK = ("127.", "localhost", "::1")


# What is made while tests are collected stays: to look for garbage in it only takes time, and every
# later look at all there is would go through torch and 5,000 tests again.
gc.disable()


def pytest_collection_finish() -> None:
    gc.enable()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first: processes that share the others then end together."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to other machines: a test that needs one is a defect."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: tuple[Any, ...]) -> None:
        host = address[0] if isinstance(address, tuple) else "127.0.0.1"
        if not str(host).startswith(LOOPBACK):
            raise RuntimeError(f"a test tried to reach {address!r}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def data_dir() -> Path:
    """The publishers' files, or a skip that says how to get them."""
    if not DATA or not Path(DATA).is_dir():
        pytest.skip("set FINEMEM_DATA to the folder that holds the data sets (docs/data.md)")
    return Path(DATA)


@pytest.fixture
def tiny_episode() -> Episode:
    """Three chunks, one chunk question each, two final questions; every answer in one sentence."""
    facts = (
        "The red key opens the cellar.",
        "Mara lives in Osta.",
        "The code of the gate is 4711.",
    )
    asked = (
        "What does the red key open?",
        "Where does Mara live?",
        "What is the code of the gate?",
    )
    golds = ("the cellar", "Osta", "4711")
    chunks = tuple(
        Chunk(
            id=f"c{t}",
            text=f"It rained all day. {facts[t]} Nobody came by.",
            time=f"2024-01-0{t + 1}",
            questions=(
                Question(
                    id=f"k{t}",
                    question=asked[t] + " (now)",
                    answers=(golds[t],),
                    evidence=(Evidence(t, facts[t]),),
                ),
            ),
        )
        for t in range(3)
    )
    finals = tuple(
        Question(
            id=f"q{t}", question=asked[t], answers=(golds[t],), evidence=(Evidence(t, facts[t]),)
        )
        for t in (0, 2)
    )
    return Episode("tiny", "AR", "tiny", chunks, finals)
