"""What stands under a package's name in docs/integrations.md runs where the package is."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import PAGES, blocks

ROOT = Path(__file__).resolve().parents[2]
PAGE = PAGES["docs/integrations.md"]
SECTIONS = {
    title: blocks(text)
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}
RUN = ["TRL", "RLlib", "TorchRL", "stable-baselines3", "tianshou"]


def packages(code: str) -> set[str]:
    """What `code` imports."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {one.name.partition(".")[0] for one in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("title", RUN)
def test_a_section_runs(title: str, tmp_path: Path) -> None:
    (code,) = [block.text for block in SECTIONS[title] if block.language == "py"]
    for package in packages(code):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (docs/integrations.md)")
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
