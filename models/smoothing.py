"""Smoothing of a finished recording's curves: symmetric in time, so that nothing arrives late."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def centred_mean(times: FloatArray, values: FloatArray, *, seconds: float) -> FloatArray:
    """Mean of what lies at most `seconds` / 2 before or after each time: a moving average with no delay (zero phase).

    It looks ahead, so it is for recordings and not for live pictures. At the ends, and beside missing values, the mean
    is of the values that there are.

    Args:
        times: `[sample]` in seconds, ascending, at any rate.
        values: `[sample]`, NaN where there is none.
        seconds: width of the window.

    Returns: `[sample]`, NaN where `values` is.

    Raises:
        ValueError: the window is not wider than nothing.

    >>> centred_mean(np.arange(4.0), np.array([0.0, 3.0, 6.0, np.nan]), seconds=2.0).tolist()
    [1.5, 3.0, 4.5, nan]
    """
    if seconds <= 0:
        raise ValueError(f"seconds: expected more than 0, found {seconds}")
    known = np.isfinite(values)
    at, seen = times[known], values[known]
    reach = seconds / 2 + 1e-9  # samples on the window's edge count, whatever the last digit of their times
    first, last = np.searchsorted(at, at - reach, side="left"), np.searchsorted(at, at + reach, side="right")
    sums = np.concatenate(([0.0], np.cumsum(seen)))
    smooth = np.full(len(values), np.nan)
    smooth[known] = (sums[last] - sums[first]) / (last - first)
    return smooth
