"""The README says what is: its loop runs and prints what stands there; linked files exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from finemem_env.data.registry import SOURCES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_loop_prints_what_the_readme_shows() -> None:
    loop = next(block for block in _blocks("python") if "gym.make" in block)
    shown = next(block for block in _blocks("text") if block.lstrip().startswith("1  reward"))
    done = subprocess.run(
        [sys.executable, "-c", loop], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip("\n") == shown.strip("\n")


def test_two_commands_that_tox_knows() -> None:
    commands = [block for block in _blocks("bash") if "tox run" in block]
    assert len(commands) == 2
    assert all(command.startswith("python3 -m venv .venv && ") for command in commands)
    tox = (ROOT / "tox.ini").read_text("utf-8")
    assert "[testenv:demo]" in tox
    assert commands[1].strip() in (ROOT / ".ci" / "run").read_text("utf-8")


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_file_tree_names_what_exists() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    blocks = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    tree = next(block for block in blocks if block.startswith("finemem_env/"))
    for line in tree.splitlines():
        folder = "finemem_env/" if line.startswith("  ") else ""
        for name in line.split()[:2]:
            if name.endswith((".py", "/")):
                assert (ROOT / folder / name).exists(), line


def test_data_page_names_every_source() -> None:
    page = (ROOT / "docs" / "data.md").read_text("utf-8")
    for spec in SOURCES.values():
        assert f"`{spec.name}`" in page, spec.name
        assert all(f"`{file}`" in page for file in spec.files), spec.name
