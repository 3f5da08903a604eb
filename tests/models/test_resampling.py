"""Resampling against scipy's PCHIP and a bin-by-bin loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from models.resampling import grid_times, is_regular, on_grid, pchip


@given(st.lists(st.tuples(st.floats(0.01, 2), st.floats(-1, 1)), min_size=2, max_size=40))
def test_pchip_like_scipy(points: list[tuple[float, float]]) -> None:
    x = np.cumsum([step for step, _ in points])
    y = np.round([value for _, value in points], 6)
    at = np.linspace(x[0], x[-1], 101)
    np.testing.assert_allclose(pchip(x, y, at), PchipInterpolator(x, y)(at), rtol=1e-9, atol=1e-12)


def test_bins_like_a_loop() -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.exponential(0.07, 500)) + 3
    values = rng.normal(size=500)
    grid = grid_times(times[0], times[-1], 0.04)
    means, filled = on_grid(times, values, grid, 0.04)
    for position, centre in enumerate(grid):
        inside = [v for t, v in zip(times, values, strict=True) if centre - 0.02 <= t < centre + 0.02]
        assert means[position] == pytest.approx(np.mean(inside)) if inside else math.isnan(means[position])
    known = ~np.isnan(means)
    assert 0.2 < known.mean() < 0.8
    np.testing.assert_allclose(filled, PchipInterpolator(grid[known], means[known])(grid), rtol=1e-9, atol=1e-12)


def test_nothing_beyond_the_ends() -> None:
    grid = grid_times(0.0, 1.0, 0.25)
    means, filled = on_grid(np.array([0.25, 0.75]), np.array([1.0, 2.0]), grid, 0.25)
    np.testing.assert_array_equal(means, [np.nan, 1, np.nan, 2, np.nan])
    np.testing.assert_array_equal(filled, [np.nan, 1, 1.5, 2, np.nan])
    np.testing.assert_array_equal(
        on_grid(np.array([0.5]), np.array([3.0]), grid, 0.25)[1], [np.nan] * 2 + [3] + [np.nan] * 2
    )


@pytest.mark.parametrize(
    ("times", "regular"),
    [
        ([0.0], True),
        ([0, 0.04, 0.08], True),
        ([0, 0.033, 0.067, 0.1, 0.133], True),  # 30 Hz in whole milliseconds
        ([*range(30), *range(40, 70)], True),  # a gap
        ([0, 1, 1.5, 4, 4.2, 9, 9.1, 9.5, 12, 20], False),
    ],
)
def test_what_is_regular(times: list[float], regular: bool) -> None:
    assert is_regular(np.array(times, dtype=np.float64)) == regular
