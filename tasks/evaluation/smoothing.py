"""The median filter of post-processing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def median_filtered(values: FloatArray, seconds: float, *, step_seconds: float) -> FloatArray:
    """Running median over a window centred on each sample; at the ends over the samples that there are.

    Args:
        values: `[sample]`, NaN where there is none; such samples enter no median and stay NaN.
        seconds: width of the window, made an odd number of samples.
        step_seconds: distance of two samples.

    Returns: `[sample]`.
    """
    import polars as pl

    reach = round(seconds / step_seconds / 2) if step_seconds > 0 else 0
    if reach < 1 or values.size == 0:
        return values
    known = pl.Series(values).fill_nan(None)
    smooth = known.rolling_median(window_size=2 * reach + 1, min_samples=1, center=True)
    return np.where(np.isnan(values), np.nan, smooth.to_numpy())
