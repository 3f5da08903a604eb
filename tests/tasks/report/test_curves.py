"""Thinning, gaps, axes and path data against naive versions."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from tasks.ingest.recordings import read_recordings
from tasks.report.drawing import HEIGHT, WIDTH, bar_chart, gap_path, mean_chart, nice_ticks, rater_charts, time_ticks
from tasks.report.quality import face_gaps, read_quality
from tasks.report.summary import score_table
from tasks.report.traces import MAX_POINTS, MAX_POINTS_SMALL, Trace, bin_means, read_trace, to_line, value_range

from .conftest import ROWS, Build, FakeStore


def trace_of(fake: FakeStore, turn: int = 0) -> Trace:
    quality = read_quality(fake.store, read_recordings(fake.store)[turn])
    return read_trace(
        fake.store,
        quality,
        raters=fake.raters,
        model_id=ROWS[0].model_id,
        single_frame_id=ROWS[1].model_id,
        dimension="valence",
        ccc={},
    )


def test_bin_means_equal_a_loop() -> None:
    rng = np.random.default_rng(0)
    times, values = np.sort(rng.uniform(0, 20, 300)), rng.normal(size=300)
    means = bin_means(times, values, duration=20.0, num_bins=50)
    for number in range(50):
        inside = values[(times >= number * 0.4) & (times < (number + 1) * 0.4)]
        if len(inside):
            assert means[number] == pytest.approx(inside.mean(), abs=1e-12)
        else:
            assert np.isnan(means[number])


def test_a_time_past_the_end_falls_in_the_last_bin() -> None:
    means = bin_means(np.array([0.0, 10.0]), np.array([1.0, 3.0]), duration=10.0, num_bins=2)
    assert means.tolist() == [1.0, 3.0]


def test_a_line_breaks_at_two_empty_bins_not_at_one() -> None:
    nan = float("nan")
    pieces = to_line(np.array([1.0, nan, 2.0, nan, nan, 3.0, nan]), 7.0)
    assert [piece.tolist() for piece in pieces] == [[[0.5, 1.0], [2.5, 2.0]], [[5.5, 3.0]]]
    assert to_line(np.array([nan, nan]), 2.0) == ()
    assert to_line(None, 2.0) == ()


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


def test_traces_are_thinned_and_keep_their_mean(build: Build) -> None:
    fake = build(num_frames=5000)
    trace = trace_of(fake)
    assert len(trace.raters) == 6
    for line in (*trace.raters, trace.mean.rating, trace.mean.prediction, trace.mean.single_frame):
        assert sum(len(piece) for piece in line) <= MAX_POINTS
    for panel in trace.panels:
        assert 200 < sum(len(piece) for piece in panel.prediction) <= MAX_POINTS_SMALL
    stacked = np.mean([np.concatenate(line)[:, 1] for line in trace.raters], axis=0)
    np.testing.assert_allclose(np.concatenate(trace.mean.rating)[:, 1], stacked, atol=1e-12)
    low, high = value_range([trace])
    assert low < stacked.min() < stacked.max() < high


def test_a_recording_that_states_no_duration_is_drawn_as_far_as_it_goes(build: Build) -> None:
    fake = build()
    quality = read_quality(fake.store, replace(read_recordings(fake.store)[0], duration_seconds=0.0))
    trace = read_trace(
        fake.store,
        quality,
        raters=fake.raters,
        model_id=ROWS[0].model_id,
        single_frame_id=None,
        dimension="valence",
        ccc={},
    )
    assert trace.duration_seconds == pytest.approx(249 / 25)
    assert mean_chart(trace, value_range([trace])).gaps.startswith("M")
    assert gap_path([(0.0, 0.0)], 0.0) == f"M0.0 0H2.0V{HEIGHT}H0.0z"


def test_path_data_lands_on_the_points(build: Build) -> None:
    trace = trace_of(build())
    chart = mean_chart(trace, (-1.0, 1.0))
    assert [curve.kind for curve in chart.curves] == ["rater"] * 6 + ["single", "rating", "prediction"]
    points = np.concatenate(trace.mean.prediction)
    wanted = np.column_stack((points[:, 0] / trace.duration_seconds * WIDTH, (1 - points[:, 1]) / 2 * HEIGHT))
    np.testing.assert_allclose(_points(chart.curves[-1].path), wanted, atol=0.5 + 1e-9)
    assert len(rater_charts(trace, (-1.0, 1.0))) == 6


def _points(path: str) -> list[tuple[int, int]]:
    """The points of `Mx yl dx dy ...`, read by SVG's own rules."""
    found = []
    for piece in path.split("M")[1:]:
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
    table = score_table(fake.store, fake.rows, partition="test", pooling="concatenated", metric="ccc")
    chart = bar_chart(table)
    assert [group.name for group in chart.groups] == ["mean over raters", *fake.raters]
    last = chart.ticks[-1]
    unit = (last.percent - chart.zero) / float(last.label)
    for column, group in enumerate(chart.groups[1:]):
        for row, bar in zip(table.rows, group.bars, strict=True):
            value = row.values[column] or 0.0
            assert bar.width == pytest.approx(abs(value) * unit, abs=0.03)
            assert bar.left == pytest.approx(chart.zero + min(value, 0.0) * unit, abs=0.03)
    assert len({(key.colour, key.hollow) for key in chart.keys}) == len(ROWS)
