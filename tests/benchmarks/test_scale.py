"""The table of long episodes, on short ones."""

from __future__ import annotations

import pytest

from benchmarks import scale


@pytest.mark.parametrize("name", scale.SETTINGS)
@pytest.mark.parametrize("stored", scale.STORED)
def test_every_row_can_be_measured(name: str, stored: str) -> None:
    found = scale.measure(name, stored, chunks=3, questions=4, seed=0)
    assert found.items == 3 * (1 if stored == "chunks" else 10)
    assert 3 * 1_400 < found.tokens < 3 * 2_900
    assert len(found.steps) == len(found.renders) == 3
    row = scale.row(name, stored, 3, found)
    assert row.count("|") == 13
