"""The running trace against numbers computed apart from it."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.errors import StoreError
from tasks.overlay.trace import BIN_SECONDS, MOST_RATERS, PAGE_SECONDS, Plot, Trace, draw_page, read_trace
from tasks.report.ink import CURVE_COLOURS
from tasks.report.timeline import Timeline

from .conftest import Film, MakeFilm, write_predictions, write_ratings

PLOT = Plot(width=300, height=160, margin=40, head=40, foot=16, letter=11)


def trace_of(film: Film, model_id: str | None = "model-1") -> Trace | None:
    times = np.array(film.times)
    timeline = Timeline(times, np.zeros(len(times), np.int8))
    predictions = film.store.predictions(model_id, "film") if model_id else None
    return read_trace(
        predictions, film.store.ratings("film"), timeline, model_id=model_id, duration=film.recording.duration_seconds
    )


def test_values_and_band_are_those_of_the_tables(make_film: MakeFilm) -> None:
    film = make_film()
    rng = np.random.default_rng(2)
    values = {rater: rng.uniform(-0.6, 0.6, 60) for rater in ("B", "A", "C")}
    values["A"][7:12] = np.nan
    rated = {rater: rng.uniform(-0.9, 0.9, 50) for rater in ("A", "B")}
    write_predictions(film, values)
    write_ratings(film, rated, step=0.04)
    trace = trace_of(film)
    assert trace is not None
    assert trace.raters == ("B", "A", "C")
    np.testing.assert_allclose(trace.values, np.column_stack(list(values.values())), atol=1e-7)
    assert trace.band is not None
    for number in range(len(trace.band.low)):
        inside = [
            rating
            for column in rated.values()
            for at, rating in enumerate(column)
            if number * BIN_SECONDS - 1e-9 <= at * 0.04 < (number + 1) * BIN_SECONDS - 1e-9
        ]
        assert trace.band.low[number] == pytest.approx(min(inside))
        assert trace.band.high[number] == pytest.approx(max(inside))
        assert trace.band.mean[number] == pytest.approx(np.mean(inside))
    assert trace.value_range[0] < min(trace.band.low)
    assert trace.value_range[1] > max(trace.band.high)


def test_ratings_alone_are_drawn_and_nothing_is_nothing(make_film: MakeFilm) -> None:
    film = make_film()
    assert trace_of(film, None) is None
    write_ratings(film, {"A": np.zeros(10)}, step=0.2)
    trace = trace_of(film, None)
    assert trace is not None
    assert trace.raters == ()
    assert trace.titles == ("valence: no predictions", "gray: range and mean of 1 rater")


def test_predictions_of_other_frames_are_an_error(make_film: MakeFilm) -> None:
    film = make_film()
    write_predictions(film, {"A": np.zeros(60)})
    film.times = [seconds + 0.01 for seconds in film.times]
    with pytest.raises(StoreError, match="predictions of other frames"):
        trace_of(film)


def test_a_curve_runs_through_its_values_and_pauses_where_there_are_none() -> None:
    times = np.arange(1500, dtype=np.float64) * 0.1
    values = np.full((1500, 1), 0.5, np.float32)
    values[300:600] = np.nan
    trace = Trace(("x",), ("A",), times, values, None, (-1.0, 1.0), PAGE_SECONDS)
    colour = np.array([int(CURVE_COLOURS[0][at : at + 2], 16) for at in (1, 3, 5)])
    for page, spans in ((0, [(40, 169)]), (1, [(40, 299)]), (2, [(40, 169)])):
        pixels = np.asarray(draw_page(trace, PLOT, page)).astype(int)
        row = round(PLOT.y(trace, 0.5))
        near = np.abs(pixels[row - 1 : row + 2, PLOT.margin :] - colour).sum(axis=2).min(axis=0) < 90
        drawn = PLOT.margin + np.flatnonzero(near)
        assert (drawn[0], drawn[-1]) == pytest.approx(spans[0], abs=2)
    assert trace.page_of(59.99) == 0
    assert trace.page_of(60.0) == 1
    assert PLOT.x(trace, 90.0) == pytest.approx(40 + 0.5 * 259)


def test_many_raters_become_their_mean_and_range(make_film: MakeFilm) -> None:
    film = make_film()
    rng = np.random.default_rng(8)
    values = {f"R{number}": rng.uniform(-1, 1, 60) for number in range(MOST_RATERS + 1)}
    for number, column in enumerate(values.values()):
        column[: 5 + number] = np.nan  # the first five frames have no value at all
    write_predictions(film, values)
    trace = trace_of(film)
    assert trace is not None
    assert trace.raters == ("mean", "highest", "lowest")
    assert trace.titles == ("valence predicted by model-1: 9 raters",)
    assert np.isnan(trace.values[:5]).all()
    known = np.column_stack(list(values.values()))[5:]
    expected = np.column_stack([np.nanmean(known, axis=1), np.nanmax(known, axis=1), np.nanmin(known, axis=1)])
    np.testing.assert_allclose(trace.values[5:], expected, atol=1e-6)
