"""Numbers on a command line have a range, and a wrong one is a line that says which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from finemem_env.cli.options import above_zero, at_least_zero, positive

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("agents", "baselines", "benchmarks", "finemem_env")


def test_every_number_of_a_program_has_a_range() -> None:
    bare = re.compile(r"\btype=(int|float)\b")
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    found = [str(path) for path in paths if bare.search(path.read_text("utf-8"))]
    assert not found, "use positive, at_least, at_least_zero or above_zero of finemem_env.cli"


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "a", ""])
def test_numbers(text: str) -> None:
    for read in (at_least_zero, above_zero, positive):
        with pytest.raises(Exception, match="expected"):
            read(text)


def test_zero() -> None:
    assert at_least_zero("0") == 0
    with pytest.raises(Exception, match="above 0"):
        above_zero("0")
