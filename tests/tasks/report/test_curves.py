"""Gaps, axes, path data and bars against naive versions."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tasks.report.drawing import (
    HEIGHT,
    WIDTH,
    bar_chart,
    density_paths,
    gap_path,
    glance_chart,
    line_chart,
    nice_ticks,
    path,
    time_ticks,
)
from tasks.report.quality import face_gaps
from tasks.report.scatter import Scatter
from tasks.report.summary import score_table

from .conftest import ROWS, Build
from .test_traces import trace_of


def test_face_gaps_equal_a_loop() -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.01, 0.1, 400))
    for valid in (rng.random(400) < 0.7, np.ones(400, bool), np.zeros(400, bool)):
        expected, start = [], None
        for at, has_face in zip(times, valid, strict=True):
            if not has_face and start is None:
                start = at
            elif has_face and start is not None:
                expected.append((start, at))
                start = None
        if start is not None:
            expected.append((start, 100.0))
        assert list(face_gaps(times, valid, duration_seconds=100.0)) == expected


def test_path_data_lands_on_the_points() -> None:
    rng = np.random.default_rng(3)
    points = [(float(x), float(y)) for x, y in zip(np.linspace(0, 9, 40), rng.uniform(-1, 1, 40), strict=True)]
    wanted = [((x / 9) * WIDTH, (1 - y) / 2 * HEIGHT) for x, y in points]
    np.testing.assert_allclose(_points(path(points, (0.0, 9.0), (-1.0, 1.0))), wanted, atol=0.5 + 1e-9)
    broken = [*points[:5], (4.0, float("nan")), *points[6:]]
    assert path(broken, (0.0, 9.0), (-1.0, 1.0)).count("M") == 2
    assert path([], (0.0, 9.0), (-1.0, 1.0)) == ""


def test_a_thumbnail_has_band_rating_and_prediction(build: Build) -> None:
    chart = glance_chart(trace_of(build()), (-1.0, 1.0))
    assert [curve.kind for curve in chart.curves] == ["band", "rating", "prediction"]
    assert chart.curves[0].path.endswith("z")
    assert chart.gaps.startswith("M")
    assert "P13" in chart.alt


def test_a_line_chart_marks_its_place() -> None:
    chart = line_chart(
        "t", [("prediction", [(0.0, 0.0), (10.0, 1.0)])], x_range=(0, 10), y_range=(0, 1), alt="a", mark=4.0
    )
    assert [curve.path for curve in chart.curves] == ["M400 0V240", "M0 240l1000-240"]


def test_density_is_drawn_cell_by_cell() -> None:
    scatter = Scatter("A", -1.0, 1.0, ((0, 2, 2), (1, 0, 0), (0, 0, 5)), 9, 0)
    assert density_paths(scatter) == [(1, "M0 1h1v1h-1z"), (2, "M1 2h2v1h-2z"), (5, "M2 0h1v1h-1z")]


def _points(drawn: str) -> list[tuple[int, int]]:
    """The points of `Mx yl dx dy ...`, read by SVG's own rules."""
    found = []
    for piece in drawn.split("M")[1:]:
        start, _, rest = piece.partition("l")
        x, y = (int(text) for text in start.split())
        found.append((x, y))
        steps = [int(text) for text in re.findall(r"-?\d+", rest)]
        for dx, dy in zip(steps[::2], steps[1::2], strict=True):
            x, y = x + dx, y + dy
            found.append((x, y))
    return found


def test_gaps_that_touch_are_one_rectangle() -> None:
    assert gap_path([(0.0, 1.0), (1.0, 2.0), (5.0, 5.001)], 10.0, 10) == (
        "M0.0 0H200.0V10H0.0zM500.0 0H502.0V10H500.0z"
    )


def test_ticks_are_round() -> None:
    assert nice_ticks(-0.63, 0.58, 3) == pytest.approx([-0.5, 0.0, 0.5])
    assert nice_ticks(0.0, 1.0, 5) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert [tick.label for tick in time_ticks(300.0)] == ["0:00", "1:00", "2:00", "3:00", "4:00", "5:00"]
    assert [tick.percent for tick in time_ticks(2.5)] == [0.0, 40.0, 80.0]


def test_bars_are_as_long_as_their_scores(build: Build) -> None:
    fake = build()
    table = score_table(
        fake.store, fake.rows, partition="test", pooling="concatenated", metric="ccc", protocol="per-rater"
    )
    chart = bar_chart(table)
    assert [group.name for group in chart.groups] == ["mean over raters", *fake.raters]
    rows = [row for row in table.rows if row.role != "human"]
    last = chart.ticks[-1]
    unit = (last.percent - chart.zero) / float(last.label)
    for column, group in enumerate(chart.groups[1:]):
        for row, bar in zip(rows, group.bars, strict=True):
            value = row.values[column] or 0.0
            assert bar.width == pytest.approx(abs(value) * unit, abs=0.03)
            assert bar.left == pytest.approx(chart.zero + min(value, 0.0) * unit, abs=0.03)
            score = row.scores[column]
            assert score.low is not None
            assert bar.low == pytest.approx(chart.zero + score.low * unit, abs=0.03)
        people = [row.values[column] for row in table.rows if row.role == "human"]
        assert [line.percent for line in group.humans] == [
            pytest.approx(chart.zero + (value or 0.0) * unit, abs=0.03) for value in people
        ]
    assert len({(key.colour, key.hollow) for key in chart.keys}) == len(rows) == len(ROWS) - 2
