"""Watching an episode: every chunk, every operation and the score are there to be seen."""

from __future__ import annotations

import pytest

from baselines.watch import main, watch


def test_shows_chunks_operations_questions_and_score() -> None:
    blocks = list(watch("FineMem-AR-v0", {"num_chunks": 2}, "selective", 0))
    assert len(blocks) == 1 + 2 + 2
    assert "> INSERT 1 " in blocks[1]
    assert "reward " in blocks[1]
    assert "final questions" in blocks[3]
    assert blocks[4].strip() == "score 1.000"


def test_shows_rejections_and_what_they_cost() -> None:
    blocks = list(watch("FineMem-AR-v0", {"num_chunks": 1, "memory_budget": 5}, "store_chunks", 0))
    assert "rejected: memory full" in blocks[1]
    assert "refused at step 0 (memory full); evidence 0; " in blocks[2]


def test_the_end_of_another_agent_stands_beside_it() -> None:
    blocks = list(watch("FineMem-AR-v0", {"num_chunks": 4}, "fifo", 0, beside="oracle"))
    assert "lost " in blocks[5]
    assert blocks[7].startswith("beside it, oracle: final questions\n")
    assert "lost " not in blocks[7]
    assert blocks[8].strip() == "score 1.000"
    alone = list(watch("FineMem-AR-v0", {"num_chunks": 4}, "fifo", 0))
    assert alone == blocks[:7]


def test_an_agent_is_told_what_the_benchmark_tells_it() -> None:
    agent = "tests.baselines.broken_agents:Curious"
    assert len(list(watch("FineMem-AR-v0", {"num_chunks": 2}, agent, 0))) == 5


def test_unknown_agent_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--agent", "orcle"]) == 2
    assert "Did you mean 'oracle'?" in capsys.readouterr().err
