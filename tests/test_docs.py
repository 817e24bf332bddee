"""Links between the pages lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_map_of_the_house_names_what_exists() -> None:
    whole = (DOCS.parent / "CONTRIBUTING.md").read_text("utf-8")
    text = whole.split("## Where do I")[1].split("\n## ")[0]
    rows = re.findall(r"^\| [^|]+ \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) == 13  # the header and twelve questions
    for row in rows:
        for place in re.findall(r"`((?:finemem_env|baselines)/[^`]+)`", row):
            assert (DOCS.parent / place).exists(), place


def test_the_map_of_the_house_is_drawn_from_the_imports(tmp_path: Path) -> None:
    drawn = tmp_path / "map.svg"
    command = [sys.executable, "-m", "benchmarks.structure", "--svg", str(drawn)]
    subprocess.run(command, cwd=DOCS.parent, check=True, capture_output=True)
    assert drawn.read_text("utf-8") == (DOCS / "map.svg").read_text("utf-8")
