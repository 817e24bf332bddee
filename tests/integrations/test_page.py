"""What stands under a package's name in docs/integrations.md runs where the package is."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import runpy
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
@pytest.mark.filterwarnings("default")  # packages warn of what they do themselves
@pytest.mark.parametrize("title", RUN)
def test_a_section_runs(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block.text for block in SECTIONS[title] if block.language == "py"]
    for package in packages(code):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (docs/integrations.md)")
    file = tmp_path / "section.py"
    file.write_text(code, "utf-8")
    if title == "RLlib":  # its workers would outlive it
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = os.environ | {"PYTHONPATH": paths}
        subprocess.run([sys.executable, file], cwd=tmp_path, env=environment, check=True)
    else:
        monkeypatch.chdir(tmp_path)
        runpy.run_path(str(file), run_name="__main__")
