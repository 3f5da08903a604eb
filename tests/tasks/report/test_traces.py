"""Thinning that keeps extremes, and what the script unpacks, against loops over the samples."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest

from models.metrics import mean_known
from tasks.ingest.recordings import read_ratings_wide, read_recordings
from tasks.report.quality import read_quality
from tasks.report.signals import Signals, read_signals
from tasks.report.summary import read_scores
from tasks.report.traces import (
    MEAN,
    Trace,
    bin_means,
    bins_budget,
    bins_for,
    extremes,
    make_trace,
    to_line,
    value_range,
)
from tasks.report.viewer import EMPTY, as_bytes, make_viewer
from tasks.store.cards import read_cards

from .conftest import ROWS, Build, FakeStore


def signals_of(fake: FakeStore, partition: str = "test") -> Signals:
    scores = read_scores(fake.store, fake.rows, dimension="valence", protocol="per-rater")
    qualities = [read_quality(fake.store, recording) for recording in read_recordings(fake.store)]
    return read_signals(fake.store, scores, fake.rows, qualities, read_cards(fake.store), partition=partition)


def trace_of(fake: FakeStore, turn: int = 0) -> Trace:
    return signals_of(fake).traces[turn]


def test_extremes_equal_a_loop() -> None:
    rng = np.random.default_rng(0)
    times, values = np.sort(rng.uniform(0, 20, 300)), rng.normal(size=300)
    values[rng.random(300) < 0.2] = np.nan
    found = extremes(times, values, duration=20.0, num_bins=50)
    for number in range(50):
        inside = values[(times >= number * 0.4) & (times < (number + 1) * 0.4)]
        inside = inside[~np.isnan(inside)]
        if len(inside):
            assert found[:, number].tolist() == [inside.min(), inside.max()]
        else:
            assert np.isnan(found[:, number]).all()


def test_the_peak_of_a_single_sample_survives() -> None:
    times = np.arange(7500) / 25
    values = np.zeros(7500)
    values[4321] = 0.9
    found = extremes(times, values, duration=300.0, num_bins=300)
    assert np.flatnonzero(found[1] > 0).tolist() == [4321 // 25]
    assert found[1].max() == 0.9
    assert found[0].max() == 0.0


def test_nothing_at_all_is_empty_bins() -> None:
    assert np.isnan(extremes(np.arange(3.0), np.full(3, np.nan), duration=3.0, num_bins=2)).all()
    assert np.isnan(extremes(np.empty(0), np.empty(0), duration=3.0, num_bins=2)).all()


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


@pytest.mark.parametrize("rate", [25.0, 30.0, 24000 / 1001])
def test_as_many_bins_as_samples_have_one_each(rate: float) -> None:
    times = np.arange(7500) / rate
    bins = bins_for(times, 7500 / rate, 10_000)
    found = extremes(times, times, duration=7500 / rate, num_bins=bins)
    assert bins == 7500
    np.testing.assert_array_equal(found[0], times)
    assert bins_for(times, 7500 / rate, 400) == 400


def test_the_page_stays_small_however_many_curves_there_are() -> None:
    assert bins_budget(3, 20) == 1500
    assert 2 * 100 * 28 * bins_budget(100, 28) <= 3_000_000
    assert bins_budget(1000, 132) == 150


def test_a_line_breaks_at_two_empty_bins_not_at_one() -> None:
    nan = float("nan")
    pieces = to_line(np.array([1.0, nan, 2.0, nan, nan, 3.0, nan]), 7.0)
    assert [piece.tolist() for piece in pieces] == [[[0.5, 1.0], [2.5, 2.0]], [[5.5, 3.0]]]
    assert to_line(np.array([nan, nan]), 2.0) == ()
    assert to_line(None, 2.0) == ()


def test_mean_of_what_is_known() -> None:
    rows = np.array([[1.0, np.nan, np.nan], [3.0, 2.0, np.nan]])
    np.testing.assert_array_equal(mean_known(rows, axis=0), [2.0, 2.0, np.nan])


def test_a_trace_holds_what_the_store_holds(build: Build) -> None:
    fake = build(num_frames=5000)
    trace = trace_of(fake)
    assert trace.shown == (MEAN, *fake.raters)
    wide = read_ratings_wide(fake.store, "P13", "valence")
    low, high = trace.series["rating/FM2"]
    given = wide.values[:, wide.raters.index("FM2")]
    assert (np.nanmin(low), np.nanmax(high)) == (given.min(), given.max())
    means = wide.values.mean(axis=1)
    assert np.nanmax(trace.series[f"rating/{MEAN}"][1]) == pytest.approx(means.max(), abs=1e-12)
    expected = [value for rater in fake.raters if (value := _ccc(fake, "P13", rater)) is not None]
    assert trace.ccc[MEAN] == pytest.approx(sum(expected) / len(expected), abs=1e-12)
    bottom, top = value_range([trace])
    assert bottom < given.min() < given.max() < top
    glance = trace.glance
    assert len(glance.at) == 120
    np.testing.assert_array_less(glance.low - 1e-9, glance.rating)
    np.testing.assert_array_less(glance.rating, glance.high + 1e-9)


def _ccc(fake: FakeStore, recording: str, rater: str) -> float | None:
    return fake.metrics[ROWS[0].model_id, "test", "per_recording", "ccc", recording, rater]


def test_a_recording_that_states_no_duration_is_drawn_as_far_as_it_goes(build: Build) -> None:
    fake = build()
    quality = read_quality(fake.store, replace(read_recordings(fake.store)[0], duration_seconds=0.0))
    scores = read_scores(fake.store, fake.rows, dimension="valence", protocol="per-rater")
    trace = read_signals(fake.store, scores, fake.rows, [quality], read_cards(fake.store), partition="test").traces[0]
    assert trace.duration_seconds == pytest.approx(249 / 25)


def test_a_recording_without_ratings_says_so(build: Build) -> None:
    store = build().store
    quality = read_quality(store, read_recordings(store)[0])
    trace = make_trace(None, quality, ccc={}, num_bins=10)
    assert (trace.series, trace.missing) == ({}, "nothing in the store that this recording is scored against")


def test_the_viewer_gets_every_curve_to_half_a_step(build: Build) -> None:
    signals = signals_of(build())
    viewer = make_viewer(signals)
    low, high = signals.value_range
    for meta, text, trace in zip(viewer.meta["recordings"], viewer.packed, signals.traces, strict=True):
        found = np.frombuffer(base64.b64decode(text), np.uint8).reshape(len(meta["series"]), 2, -1)
        assert "prediction/FM1" in meta["series"]
        for name, stored in zip(meta["series"], found, strict=True):
            wanted = trace.series[name]
            assert np.array_equal(stored == EMPTY, np.isnan(wanted))
            values = low + stored / 254 * (high - low)
            known = stored != EMPTY
            np.testing.assert_allclose(values[known], wanted[known], atol=0.51 * (high - low) / 254)


def test_bytes_keep_order_and_ends() -> None:
    values = np.array([-1.0, 0.0, 1.0, np.nan])
    assert as_bytes(values, -1.0, 1.0).tolist() == [0, 127, 254, EMPTY]
