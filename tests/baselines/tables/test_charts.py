"""Charts show every value where it belongs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from baselines.tables.charts import bar_chart, curve_chart, line_chart


def _points(chart: str) -> list[list[tuple[float, float]]]:
    lines = re.findall(r'<polyline [^>]*points="([^"]*)"', chart)
    return [
        [(float(x), float(y)) for x, y in (point.split(",") for point in line.split())]
        for line in lines
    ]


def test_lines_over_categories_leave_out_what_is_missing() -> None:
    chart = line_chart({"a<b": [0.0, None, 1.0]}, ["x", "y", "z"], "budget", "score")
    ElementTree.fromstring(chart)
    ((first, last),) = _points(chart)
    left, right, bottom, top = 60, 700, 332, 24
    assert first == (round(left + (right - left) / 6, 1), bottom)
    assert last == (round(left + (right - left) * 5 / 6, 1), top)
    assert "a&lt;b" in chart


def test_curves_stand_at_their_x() -> None:
    chart = curve_chart({"run": [(0, 0.0), (10, 0.5), (40, 1.0)]}, "update", "score")
    ElementTree.fromstring(chart)
    assert _points(chart) == [[(60.0, 332.0), (220.0, 178.0), (700.0, 24.0)]]
    assert ">40</text>" in chart
    assert ">update</text>" in chart
    ElementTree.fromstring(curve_chart({}, "update", "score"))


def test_bars_of_a_group_stand_side_by_side() -> None:
    chart = bar_chart({"a": [0.5], "b": [None], "c": [1.0]}, ["AR"], "score")
    ElementTree.fromstring(chart)
    titles = re.findall(r"<title>([^<]*)</title>", chart)
    assert titles == ["a: 0.500", "c: 1.000"]
