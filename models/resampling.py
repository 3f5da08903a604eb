"""Irregular ratings onto a regular grid: the mean of each bin, PCHIP where a bin is empty, nothing beyond the ends."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_NEAR = 0.2  # a step within a fifth of the median counts as that step
_SHARE = 0.9  # of the steps that must be near the median for times to count as regular
_FEWEST = 10  # samples by which that can be told


def is_regular(times: FloatArray) -> bool:
    """True if at least nine steps in ten lie within a fifth of the median step: a grid, at most with gaps.

    Args:
        times: `[sample]` seconds, increasing; fewer than ten count as regular.
    """
    if times.size < _FEWEST:
        return True
    steps = np.diff(times)
    return bool((np.abs(steps / np.median(steps) - 1) <= _NEAR).mean() >= _SHARE)


def grid_times(first: float, last: float, step_seconds: float) -> FloatArray:
    """Multiples of the step whose bins cover first to last, seconds, `[sample]`.

    Bin k is half-open, `[(k - 1/2) step, (k + 1/2) step)`.

    >>> grid_times(0.9, 2.1, 0.5).tolist()
    [1.0, 1.5, 2.0]
    """
    low, high = _bins(np.array([first, last]), step_seconds)
    return np.arange(low, high + 1) * step_seconds


def on_grid(
    times: FloatArray, values: FloatArray, grid: FloatArray, step_seconds: float
) -> tuple[FloatArray, FloatArray]:
    """One series on a grid.

    Args:
        times: `[sample]` seconds, not decreasing, at least one.
        values: `[sample]`, without NaN.
        grid: of `grid_times`, covering `times`.
        step_seconds: the grid's step.

    Returns: `[grid]` twice: the mean of the samples in each bin, NaN where there are none; and the same with empty bins
        between the first and the last filled one interpolated by `pchip` (NaN outside).
    """
    bins = _bins(times, step_seconds) - _bins(grid[:1], step_seconds)[0]
    counts = np.bincount(bins, minlength=grid.size)
    sums = np.bincount(bins, weights=values, minlength=grid.size)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    known = np.flatnonzero(counts)
    filled = means.copy()
    inside = np.arange(known[0], known[-1] + 1)
    filled[inside] = pchip(grid[known], means[known], grid[inside])
    filled[known] = means[known]
    return means, filled


def _bins(times: FloatArray, step_seconds: float) -> npt.NDArray[np.int64]:
    # a time that is decimal on paper may miss the edge of its bin in binary by an ulp
    return np.floor(np.round(times / step_seconds + 0.5, 6)).astype(np.int64)


def pchip(x: FloatArray, y: FloatArray, at: FloatArray) -> FloatArray:
    """Piecewise cubic Hermite interpolation that keeps monotone stretches monotone and never overshoots.

    Args:
        x: `[point]`, strictly increasing, at least one.
        y: `[point]`.
        at: `[query]` within `x[0]` to `x[-1]`.

    Returns: `[query]`.

    Source: Fritsch and Butland 1984: slopes are weighted harmonic means of the neighbouring secants; the ends as in
        Moler 2004, section 3.6.
    """
    if x.size == 1:
        return np.full(at.shape, y[0])
    steps, secants = np.diff(x), np.diff(y) / np.diff(x)
    if x.size == 2:
        return np.asarray(y[0] + secants[0] * (at - x[0]), dtype=np.float64)
    slopes = np.zeros_like(y)
    left, right = secants[:-1], secants[1:]
    same = left * right > 0
    weight_left, weight_right = 2 * steps[1:] + steps[:-1], steps[1:] + 2 * steps[:-1]
    inner = np.zeros_like(left)
    inner[same] = (weight_left + weight_right)[same] / (
        weight_left[same] / left[same] + weight_right[same] / right[same]
    )
    slopes[1:-1] = inner
    slopes[0] = _end_slope(steps[0], steps[1], secants[0], secants[1])
    slopes[-1] = _end_slope(steps[-1], steps[-2], secants[-1], secants[-2])
    piece = np.clip(np.searchsorted(x, at, side="right") - 1, 0, x.size - 2)
    width, offset = steps[piece], at - x[piece]
    square = (3 * secants[piece] - 2 * slopes[piece] - slopes[piece + 1]) / width
    cube = (slopes[piece] - 2 * secants[piece] + slopes[piece + 1]) / width**2
    return np.asarray(y[piece] + offset * (slopes[piece] + offset * (square + offset * cube)), dtype=np.float64)


def _end_slope(near: float, far: float, near_secant: float, far_secant: float) -> float:
    slope = ((2 * near + far) * near_secant - near * far_secant) / (near + far)
    if np.sign(slope) != np.sign(near_secant):
        return 0.0
    if np.sign(near_secant) != np.sign(far_secant) and abs(slope) > 3 * abs(near_secant):
        return float(3 * near_secant)
    return float(slope)
