"""The lock files agree with pyproject.toml and with what is installed here."""

from __future__ import annotations

import importlib.util
import os
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("packaging", reason="comes with the environment `tests`")
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {
    "demo": ("bench",),
    "wheel": (),
    "core": ("bench",),
    "tests": ("dev",),
    "oldest": (),
    "docs": ("docs",),
}


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"locks_{name}", ROOT / "locks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = _load("check")


def _required(extras: tuple[str, ...]) -> list[Requirement]:
    """What the project asks for, with its extras that name other extras resolved."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    found: list[Requirement] = []
    for requirement in map(Requirement, lines):
        if requirement.name == PROJECT["name"]:
            found += _required(tuple(sorted(requirement.extras)))
        else:
            found.append(requirement)
    return found


def _disagreements(lock: dict[str, str], required: list[Requirement]) -> list[str]:
    lines = []
    for requirement in required:
        version = lock.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(Version(version).public):
            lines.append(f"{requirement}: {version} in the lock")
    return lines


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_every_range_of_the_project_holds_its_locked_version(name: str) -> None:
    lock = check.read_lock(ROOT / "locks" / f"{name}.txt")
    assert _disagreements(lock, _required(EXTRAS[name])) == []


def test_a_range_that_a_lock_does_not_meet_is_found() -> None:
    lock = check.read_lock(ROOT / "locks" / "wheel.txt")
    assert len(_disagreements(lock, [Requirement("numpy<1"), Requirement("absent")])) == 2


@pytest.mark.parametrize("name", ["tox", "build", "oldest", "core"])
def test_locks_hold_what_their_sources_ask_for(name: str) -> None:
    lines = (ROOT / "locks" / f"{name}.in").read_text(encoding="utf-8").splitlines()
    required = [Requirement(line) for line in lines if not line.startswith("-e")]
    assert required
    assert _disagreements(check.read_lock(ROOT / "locks" / f"{name}.txt"), required) == []


def test_torch_is_the_cpu_build_and_nothing_comes_from_cuda() -> None:
    text = (ROOT / "locks" / "tests.txt").read_text(encoding="utf-8")
    assert 'torch==2.13.0+cpu ; sys_platform != "darwin"' in text
    assert not any(word in text for word in ("nvidia", "cuda", "triton"))


def test_compare_finds_versions_packages_and_absences() -> None:
    lock = {"numpy": "2.0", "tqdm": "4.0"}
    assert check.compare(lock, {"numpy": "2.0", "tqdm": "4.0", "pip": "1"}, exact=True) == []
    assert len(check.compare(lock, {"numpy": "2.1", "six": "1"}, exact=True)) == 3
    assert check.compare(lock, {"numpy": "2.1", "six": "1"}, exact=False) == [
        "numpy: 2.0 in the lock, 2.1 here"
    ]


@pytest.mark.skipif(os.environ.get("TOX_ENV_NAME") != "tests", reason="runs in `tox run -e tests`")
def test_this_environment_is_that_of_its_lock() -> None:
    lock = check.read_lock(ROOT / "locks" / "tests.txt")
    found = {canonicalize_name(one.metadata["Name"]): one.version for one in distributions()}
    exact = sys.version_info[:2] == check.MADE_FOR
    assert check.compare(lock, found, exact=exact) == []
