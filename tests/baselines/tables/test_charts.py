"""Charts show every value where it belongs, with its interval, and do without colours."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest

from baselines.tables.charts import (
    GridRow,
    bar_chart,
    curve_chart,
    grid_chart,
    interval_chart,
    line_chart,
)
from baselines.tables.drawing import INK, Drawing, Label, Stroke, box, save, stacked
from baselines.tables.intervals import Estimate
from baselines.tables.scales import every, hatching, labels, style, ticks
from finemem_env.errors import ConfigError


def _lines(chart: Drawing) -> list[Stroke]:
    """The lines of series: those that are titled and not closed."""
    return [one for one in chart.shapes if isinstance(one, Stroke) and one.title and not one.closed]


def _titles(chart: Drawing) -> list[str]:
    return re.findall(r"<title>([^<]*)</title>", chart.svg())


def _texts(chart: Drawing) -> list[str]:
    return [one.text for one in chart.shapes if isinstance(one, Label)]


def test_lines_over_categories_leave_out_what_is_missing() -> None:
    values = [Estimate(0.0), None, Estimate(1.0, 0.5, 1.0)]
    chart = line_chart({"a<b\u202e": values}, ["x", "y", "z"], "budget", "score")
    ElementTree.fromstring(chart.svg())
    ((first, last),) = [one.points for one in _lines(chart)]
    left, right, bottom, top = 60, 700, 332, 24
    assert first == (left + (right - left) / 6, bottom)
    assert last == (left + (right - left) * 5 / 6, top)
    assert "a&lt;b\\u202e" in chart.svg()
    whiskers = [one.points for one in chart.shapes if isinstance(one, Stroke) and one.width == 1.2]
    assert whiskers[0] == ((last[0], (bottom + top) / 2), (last[0], top))


def test_curves_stand_at_their_x_with_their_bands() -> None:
    line = [(0, Estimate(0.0)), (10, Estimate(0.5, 0.25, 0.75)), (40, Estimate(1.0, 1.0, 1.0))]
    chart = curve_chart({"run": line}, "update", "score")
    ElementTree.fromstring(chart.svg())
    assert [one.points for one in _lines(chart)] == [[(60, 332), (220, 178), (700, 24)]]
    (band,) = [one for one in chart.shapes if isinstance(one, Stroke) and one.opacity == 0.18]
    assert band.points == [(220, 101), (700, 24), (700, 24), (220, 255)]
    assert {"0", "10", "20", "30", "40", "update"} <= set(_texts(chart))
    ElementTree.fromstring(curve_chart({}, "update", "score").svg())


def test_a_wide_interval_is_cut_at_the_edge_and_leaves_the_curve_its_room() -> None:
    line = [(0, Estimate(0.0)), (1, Estimate(0.5, -9.0, 9.0)), (2, Estimate(1.0, 1.0, 1.0))]
    chart = curve_chart({"two runs": line}, "update", "score", from_zero=False)
    assert {"-1", "2"} <= set(_texts(chart))
    assert not {"5", "-5"} & set(_texts(chart))
    (band,) = [one for one in chart.shapes if isinstance(one, Stroke) and one.opacity == 0.18]
    assert {y for _, y in band.points} >= {24, 332}
    assert all(24 <= y <= 332 for _, y in band.points)


def test_bars_of_a_group_stand_side_by_side_with_whiskers() -> None:
    series: dict[str, list[Estimate | None]] = {
        "a": [Estimate(0.5, 0.4, 0.6)],
        "b": [None],
        "c": [Estimate(1.0)],
    }
    chart = bar_chart(series, ["AR"], "score")
    ElementTree.fromstring(chart.svg())
    assert _titles(chart) == ["a: 0.500 (0.400-0.600)", "c: 1.000"]
    assert sum(isinstance(one, Stroke) and one.width == 1.2 for one in chart.shapes) == 3


def test_a_row_of_intervals_names_its_numbers() -> None:
    rows = {"fifo": Estimate(0.25, 0.0, 0.5), "none": None}
    chart = interval_chart(rows, "score")
    assert "0.250 (0.000-0.500)" in _texts(chart)
    assert {"fifo", "none"} <= set(_texts(chart))


def test_a_grid_is_as_dark_as_its_values() -> None:
    rows = [
        GridRow("q0", {0: 0.5, 2: 1.0}, frozenset({2}), crossed=1),
        GridRow("q1", {}),
    ]
    chart = grid_chart(rows, 3, "step", "credit")
    cells = [one for one in chart.shapes if isinstance(one, Stroke) and one.fill == "#0060c0"]
    assert [one.opacity for one in cells] == pytest.approx([0.575, 1.0])
    assert sum(isinstance(one, Stroke) and one.width == 1.5 for one in chart.shapes) == 1
    assert sum(isinstance(one, Stroke) and one.width == 2 for one in chart.shapes) == 2


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0, 0.1, ["0.00", "0.02", "0.04", "0.06", "0.08", "0.10"]),
        (-0.13, 2.41, ["-1", "0", "1", "2", "3"]),
        (0.93, 0.98, ["0.93", "0.94", "0.95", "0.96", "0.97", "0.98"]),
        (0, 137, ["0", "50", "100", "150"]),
        (3, 3, ["3", "4"]),
    ],
)
def test_ticks_are_round_and_hold_what_they_span(low: float, high: float, shown: list[str]) -> None:
    found = ticks(low, high)
    assert labels(found) == shown
    assert found[0] <= low
    assert found[-1] >= high


def test_labels_leave_room_for_each_other() -> None:
    assert [every(n, 20, 640) for n in (1, 32, 33, 219, 647)] == [1, 1, 2, 10, 50]


def test_series_differ_without_their_colours() -> None:
    looks = [style(n) for n in range(20)]
    assert len({(one.dash, one.marker) for one in looks}) == 20
    assert all(a.hatch != b.hatch for a, b in pairwise(looks))
    left, top, width, height = 10.0, 20.0, 8.0, 50.0
    for kind in range(1, 6):
        lines = hatching(kind, left, top, width, height)
        assert lines
        for x, y in (point for line in lines for point in line):
            assert left <= x <= left + width
            assert top <= y <= top + height


def test_the_file_has_the_format_of_its_ending(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="a PNG needs Pillow")
    shapes = (
        Stroke(box(0, 0, 10, 20), fill="#ff0000", closed=True),
        Stroke(((10, 10), (20, 10)), INK, width=2, dash=(2, 3)),
        Label(1, 19, "text\u202e", "middle"),
    )
    drawing = Drawing(20, 20, shapes)
    save(stacked([drawing, drawing]), tmp_path / "a.png")
    with image.open(tmp_path / "a.png") as shown:
        assert shown.size == (40, 80)
        assert shown.getpixel((10, 10)) == shown.getpixel((10, 50)) == (255, 0, 0)
        dark = [shown.getpixel((x, 20)) != (255, 255, 255) for x in (22, 27, 32, 37)]
        assert dark == [True, False, True, False]
    save(drawing, tmp_path / "a.svg")
    assert ElementTree.parse(tmp_path / "a.svg").getroot().get("viewBox") == "0 0 20 20"
    with pytest.raises(ConfigError, match=r"ends in \.svg or \.png, got .*a\.pdf"):
        save(drawing, tmp_path / "a.pdf")
