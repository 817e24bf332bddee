"""Strict types, beside the other tests: mypy has one process, so it would keep a core idle."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = all(map(find_spec, ("mypy", "trl", "stable_baselines3")))  # not imported: they are slow


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="mypy reads the types of every extra (dev installs them)")
def test_mypy_finds_nothing() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
