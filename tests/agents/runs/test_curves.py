"""Curves of several runs: which of them are one line, and how wide it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agents import plot
from agents.runs.curves import mean_curve, same_but_seed


def _run(folder: Path, name: str, values: list[float], **settings: Any) -> Path:  # noqa: ANN401
    (folder / name).mkdir()
    lines = [
        json.dumps({"update": update, "rollout/score": value, "eval/score": value / 2})
        for update, value in enumerate(values)
    ]
    (folder / name / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    if settings:
        (folder / name / "config.json").write_text(json.dumps(settings))
    return folder / name


def test_runs_that_differ_by_the_seed_are_one_line(tmp_path: Path) -> None:
    runs = [
        _run(tmp_path, "fine-0", [0.1], lr=1e-4, seed=0),
        _run(tmp_path, "fine-1", [0.2], lr=1e-4, seed=1),
        _run(tmp_path, "hot", [0.0], lr=1e-2, seed=0),
        _run(tmp_path, "bare", [0.0]),
    ]
    assert same_but_seed(runs) == {"fine (2 runs)": runs[:2], "hot": runs[2:3], "bare": runs[3:]}


def test_a_run_that_is_given_again_makes_no_mean_more_certain(tmp_path: Path) -> None:
    runs = [
        _run(tmp_path, "fine-0", [0.1], lr=1e-4, seed=0),
        _run(tmp_path, "fine-again", [0.1], lr=1e-4, seed=0, threads=2),
        _run(tmp_path, "bare", [0.0]),
    ]
    assert same_but_seed([*runs, *runs]) == {"fine-0": runs[:1], "bare": runs[2:]}


def test_a_mean_has_students_interval_over_the_runs_that_have_the_update() -> None:
    curve = dict(mean_curve([[(0, 0.0), (1, 1.0)], [(0, 1.0)]]))
    assert curve[0].value == 0.5
    half = 12.706 * 0.5  # t with one degree of freedom, times the standard error
    assert (curve[0].low, curve[0].high) == pytest.approx((0.5 - half, 0.5 + half))
    assert (curve[1].value, curve[1].low) == (1.0, None)


def test_plot_draws_means_with_bands_and_a_panel_for_every_key(tmp_path: Path) -> None:
    runs = [
        str(_run(tmp_path, f"a-{seed}", [0.1 * seed, 0.5, 1.0], lr=1e-4, seed=seed))
        for seed in range(3)
    ]
    out = tmp_path / "curves.svg"
    keys = ["--key", "rollout/score", "--key", "eval/score"]
    assert plot.main([*runs, *keys, "-o", str(out)]) == 0
    text = out.read_text()
    assert text.count("<title>a (3 runs)</title>") == 2
    assert len(re.findall(r'<polygon fill="#0072b2" opacity="0.18"', text)) == 2
    assert ">rollout/score</text>" in text
    assert ">eval/score</text>" in text
    assert plot.main([*runs, "--each", "-o", str(out)]) == 0
    assert [f"<title>a-{seed}</title>" in out.read_text() for seed in range(3)] == [True] * 3


def test_plot_writes_a_png_by_its_ending(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="a PNG needs Pillow")
    run, out = _run(tmp_path, "a", [0.0, 1.0]), tmp_path / "curves.PNG"
    assert plot.main([str(run), "-o", str(out)]) == 0
    with image.open(out) as shown:
        assert (shown.format, shown.size) == ("PNG", (1800, 760))
        assert len(shown.getcolors(1 << 20)) > 20
