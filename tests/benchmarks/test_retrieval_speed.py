from __future__ import annotations

from benchmarks.retrieval import final_row, make_task, step_row


def test_ours_finds_what_rank_bm25_finds_and_every_cell_is_filled() -> None:
    task = make_task(items=30, length=40, questions=12, seed=3)
    cells = final_row(task)
    assert cells[0] == "30"
    assert len(cells) == 9
    assert len(step_row(task, repeats=2)) == 6
