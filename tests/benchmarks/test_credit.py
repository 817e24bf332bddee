"""The credit study: kinds, learning, resuming, and the numbers of its table by hand."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import credit
from benchmarks.credit_report import (
    final_score,
    findings,
    paired,
    summarise,
    table,
    updates_to,
)
from benchmarks.credit_run import CREDITS, STUDIED, Adam, Budget, CreditCell, Form, reward_of, train
from benchmarks.credit_tasks import KINDS, TASKS, kind_of
from benchmarks.dark_room import ESTIMATORS, dark_groups, mean_advantage
from finemem_env.data.registry import load_source
from finemem_env.data.synthetic.kinds import is_asked_kind
from finemem_env.rewards.formulas import compression_total
from finemem_env.text import split_sentences

TINY = Budget(updates=2, every=1, chunks=10)
LATE = [(0, 0.2), (10, 0.5), (20, 0.8), (30, 0.8)]
FAST = [(0, 0.2), (10, 0.9), (20, 1.0), (30, 1.0)]


def record(cell: CreditCell, points: list[tuple[int, float]], gold: float = 0.5) -> dict[str, Any]:
    curve = [
        {"update": u, "score": s, "memory": 0.3, "gold": gold, "accepted": 1.0} for u, s in points
    ]
    return {"cell": asdict(cell), "budget": asdict(TINY), "curve": curve}


def test_every_generated_sentence_has_a_kind() -> None:
    seen = set()
    for source in ("synthetic_ar", "synthetic_cr", "synthetic_lru"):
        for chunk in load_source(source).episode(3).chunks:
            for sentence in split_sentences(chunk.text):
                kind = kind_of(0, sentence)
                assert (kind == "asked") == is_asked_kind(sentence)
                seen.add(kind)
    assert seen == set(KINDS)


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("Date: 2024-01-03.", "date"),
        ("The home town of Mara Velmor is Tasin.", "asked"),
        ("Mara Velmor fed the goat at dawn.", "asked"),
        ("Rumour has it that the home town of Mara Velmor is Osta.", "rumour"),
        ("Visitor Mara Velmar rents a workshop in Osta.", "visitor"),
        ("The home town of visitor Mara Velmar is Osta.", "visitor"),
        ("Ilse Toran wondered aloud: what is the home town of Mara Velmor?", "wonder"),
        ("It rained in Osta until the old bells of Dumat rang.", "talk"),
    ],
)
def test_kinds(sentence: str, kind: str) -> None:
    assert kind_of(0, sentence) == kind


def test_compression_is_worth_half_at_every_length() -> None:
    for name in STUDIED:
        for steps in (10, 40):
            assert compression_total(reward_of(name), steps) == pytest.approx(0.5)


def test_adam_first_step_is_the_learning_rate() -> None:
    assert Adam(2, 0.4).step(np.array([3.0, -0.01])) == pytest.approx([0.4, -0.4], rel=1e-4)


def test_a_cell_is_a_function_of_its_seed() -> None:
    cell = CreditCell("changing facts", "evidence-cited", "to-go", 1)
    first, second = train(cell, TINY), train(cell, TINY)
    del first["seconds"], second["seconds"]
    assert first == second
    assert [point["update"] for point in first["curve"]] == [0, 1, 2]
    assert first["logits"].keys() == {*KINDS, "update"}
    json.dumps(first)


def test_return_credit_is_blind_to_the_attribution() -> None:
    """What is streamed is one and the same, so these cells of the study are run once."""
    logits = [
        train(CreditCell("reference", reward, "return", 0), TINY)["logits"]
        for reward in ("outcome", "evidence", "evidence-cited")
    ]
    assert logits[0] == logits[1] == logits[2]


def test_local_re_rollouts_cost_as_many_samples() -> None:
    """2 updates x 8 x 10 actions; 5 questions a step, and at every end those that can be asked."""
    forms: list[Form] = ["to-go", "to-go, local 5", "to-go, local 1"]
    found = [train(CreditCell("reference", "fine-mem-cited", form, 0), TINY) for form in forms]
    assert [one["samples"] for one in found] == [160] * 3
    once = 160 * 5 + 2 * 8 * 2
    assert found[0]["reads"] == once < found[1]["reads"] < found[2]["reads"] < once + 2 * 8 * 9 * 2


def test_local_learning_finds_the_facts_too() -> None:
    cell = CreditCell("reference", "fine-mem-cited", "to-go, local 2", 0)
    curve = train(cell, Budget(updates=6, every=6))["curve"]
    assert curve[-1]["score"] > curve[0]["score"] + 0.1


def test_a_dark_room_teaches_little() -> None:
    """Groups that answer nothing and differ in what they store: see docs/credit.md."""
    groups = dark_groups(3, 0)
    assert len(groups) == 3
    paper, same_credit, ours = ESTIMATORS.values()
    assert 0.7 < mean_advantage(groups, "fine-mem", paper) < 0.85
    assert mean_advantage(groups, "fine-mem", same_credit) < 0.2
    assert mean_advantage(groups, "fine-mem", ours) < 0.7
    for estimator in ESTIMATORS.values():
        assert mean_advantage(groups, "fine-mem-earned", estimator) == 0.0


def test_learning_finds_the_facts() -> None:
    curve = train(CreditCell("many questions", "outcome", "return", 0), Budget(updates=8))["curve"]
    assert curve[-1]["score"] > curve[0]["score"] + 0.1


def test_updates_to() -> None:
    curve = record(CreditCell("reference", "outcome", "step", 0), LATE)["curve"]
    assert updates_to(curve, 0.5) == 10
    assert updates_to(curve, 0.81) == math.inf


def test_summary_by_hand() -> None:
    """Best: chunk, (.9+1+1)/3. Threshold .87: outcome's runs need 10 and ∞, median ∞."""
    runs = [
        record(CreditCell("reference", "chunk", "step", 0), FAST, gold=-1),
        record(CreditCell("reference", "outcome", "step", 0), LATE),
        record(CreditCell("reference", "outcome", "step", 1), FAST, gold=0.7),
        record(CreditCell("long", "outcome", "step", 0), LATE),
    ]
    assert final_score(runs[1]) == pytest.approx(0.7)
    found = summarise(runs)
    assert found["reference", "chunk", "step"]["updates"] == 10
    assert math.isnan(found["reference", "chunk", "step"]["gold"])
    assert found["reference", "outcome", "step"]["updates"] == math.inf
    assert found["reference", "outcome", "step"]["score"] == pytest.approx((0.7 + 2.9 / 3) / 2)
    assert found["reference", "outcome", "step"]["gold"] == pytest.approx(0.6)
    assert found["long", "outcome", "step"]["updates"] == 20  # its own best is .7
    text = table(runs)
    assert "10 (0.97)" in text
    assert "- (0.83)" in text
    assert findings(runs)[0] == (
        "reference: updates needed: chunk/step 10; not there, score: outcome/step 0.83"
    )


def test_local_re_rollouts_are_compared_seed_by_seed() -> None:
    """FAST is there after 10 updates, LATE never: its end is .7, and .9 of the best mean .82."""
    scores: dict[tuple[Form, int], list[tuple[int, float]]]
    scores = {("return", 0): LATE, ("return, local 2", 0): FAST}
    scores |= {("return", 1): FAST, ("return, local 2", 1): FAST}
    scores |= {("return", 2): FAST, ("return, local 2", 2): LATE, ("return, local 2", 3): FAST}
    scores |= {("return", 4): LATE, ("return, local 2", 4): FAST}
    cells = {CreditCell("reference", "outcome", *key): curve for key, curve in scores.items()}
    text = paired([record(cell, curve) for cell, curve in cells.items()])
    assert "| outcome, return, local 2 |" in text
    assert "| reference | 2 / 1 of 4               |" in text
    assert not paired([record(CreditCell("reference", "outcome", "return", 0), FAST)])


def test_cells_come_seed_by_seed() -> None:
    wanted = credit.cells(["reference", "long"], 2)
    per_seed = sum(map(len, CREDITS.values())) * 2
    assert [cell.seed for cell in wanted] == [0] * per_seed + [1] * per_seed
    assert len(set(wanted)) == len(wanted)


def test_a_run_continues_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[CreditCell] = []

    def fake(cell: CreditCell, budget: Budget) -> dict[str, Any]:
        trained.append(cell)
        return record(cell, FAST)

    monkeypatch.setattr(credit, "train", fake)
    path = tmp_path / "runs" / "credit.jsonl"
    wanted = credit.cells(["reference"], 1)
    assert len(credit.run(wanted[:3], TINY, path, jobs=1)) == 3
    with path.open("a") as file:
        file.write('{"budget": {}}\n{"budget": 1, "cell": {}}\n[]\n')  # of somebody else
        file.write('{"cell": {"task": "refer')  # killed while it wrote
    records = credit.run(wanted, TINY, path, jobs=1)
    assert trained == wanted
    assert len(records) == len(wanted)
    assert len(credit.run(wanted, TINY, path, jobs=1)) == len(trained) == len(wanted)
    credit.run(wanted, Budget(updates=3), path, jobs=1)
    assert len(trained) == 2 * len(wanted)  # another budget is another study


def test_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(credit, "train", lambda cell, budget: record(cell, FAST))
    path = str(tmp_path / "credit.jsonl")
    arguments = ["--task", "long", "--seeds", "1", "--jobs", "1", "--output", path]
    assert credit.main(arguments) == 0
    out = capsys.readouterr().out
    assert "fine-mem-cited, to-go" in out
    assert "- long: updates needed: " in out
    column = ["--column", "outcome/return, local 2"]
    assert credit.main(["--output", path, "--jobs", "1", "--seeds", "2", *column]) == 0
    printed = capsys.readouterr()
    assert "20 trainings of 20" in printed.err
    assert "| outcome, return, local 2 |" in printed.out
    assert "chunk, return" not in printed.out
    assert credit.main(["--task", "short"]) == 2
    assert "unknown task" in capsys.readouterr().err
    assert credit.main(["--column", "outcome/returns"]) == 2
    assert "Did you mean 'outcome/return'" in capsys.readouterr().err


def test_shards_of_the_study_are_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fake(cell: CreditCell, budget: Budget) -> dict[str, Any]:
        return {**record(cell, FAST, cell.seed / 9), "budget": asdict(budget)}

    monkeypatch.setattr(credit, "train", fake)

    def study(output: Path | str, *more: str) -> int:
        given = ["--task", "long", "--seeds", "2", "--jobs", "1", "--updates", "2"]
        return credit.main([*given, "--output", str(output), *more])

    assert study(tmp_path / "whole") == 0
    printed = capsys.readouterr().out
    parts = [str(tmp_path / part) for part in "123"]
    for number, part in enumerate(parts, 1):
        assert study(part, "--shard", f"{number}/3") == 0
    assert "shard 3/3 is done: 11 cells" in capsys.readouterr().out
    with open(parts[0], "a", encoding="utf-8") as file:  # of a version without budgets, and torn
        file.write(json.dumps({"cell": asdict(credit.cells(["long"], 1)[0])}) + '\n{"cell": {"ta')
    assert study(tmp_path / "merged", "--merge", *parts) == 0
    assert (tmp_path / "merged").read_bytes() == (tmp_path / "whole").read_bytes()
    assert capsys.readouterr().out == printed
    new = tmp_path / "new"
    again = shutil.copy(parts[2], str(tmp_path / "again"))
    for output, more, said in (
        (parts[0], parts, "is there already: choose another file"),
        (new, parts[:2], "11 of 34 cells are missing, the first long/"),
        (new, [*parts, again], f"is there twice, in {parts[2]} and {again}: give it once"),
        (new, [*parts, "--updates", "3"], "cells of other settings"),
        (new, [*parts, "nowhere.jsonl"], "nowhere.jsonl: expected what a shard gave"),
    ):
        assert study(output, "--merge", *more) == 2
        assert said in capsys.readouterr().err
        assert not new.exists()


def test_tasks_differ_from_the_reference() -> None:
    reference = TASKS["reference"]
    for name, task in TASKS.items():
        assert (
            (task.keywords(0), task.start, task.env_id)
            != (
                reference.keywords(0),
                reference.start,
                reference.env_id,
            )
            or task.questions != reference.questions
            or name == "reference"
        )
