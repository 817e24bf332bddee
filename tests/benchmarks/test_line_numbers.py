"""The table of replies that name sentences, on one short episode."""

from __future__ import annotations

import pytest

from baselines.agents import AGENTS
from benchmarks import line_numbers


def test_naming_is_cheaper_and_scores_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    some = {name: AGENTS[name] for name in ("store_sentences", "salience", "oracle")}
    monkeypatch.setattr(line_numbers, "AGENTS", some)
    assert line_numbers.main(["--episodes", "1", "--seed", "2"]) == 0
    _, _, *rows = capsys.readouterr().out.splitlines()
    cells = {row.split()[1]: [float(one) for one in row.split()[3::2]] for row in rows}
    assert all(named <= copied for copied, named, *_ in cells.values())
    assert all(before == after for *_, before, after in cells.values())
    copied, named, *_ = cells["store_sentences"]
    assert named < copied / 20
