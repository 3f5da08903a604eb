"""Intervals by resampling recordings: frames of one recording are not independent, so whole recordings are drawn.

Nothing is scored twice: a replicate of a partition is the recordings' moments, each as often as it was drawn.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.metrics import Metric, Moments, is_constant, merged

FloatArray = npt.NDArray[np.float64]

LEVEL = 0.95
_FLAT = 1e-12  # a replicate's variance below this share of the whole partition's is rounding, not variance
_FEWEST_DEFINED = 0.5  # share of the replicates that must have a value for an interval of it


def resamples(num_recordings: int, *, replicates: int, seed: int) -> FloatArray:
    """How often each recording is drawn: `[replicate, recording]`, whole numbers, each row's sum `num_recordings`."""
    rng = np.random.default_rng(seed)
    share = np.full(num_recordings, 1 / num_recordings)
    return rng.multinomial(num_recordings, share, size=replicates).astype(np.float64)


def concatenated_replicates(of: Moments, draws: FloatArray) -> dict[Metric, FloatArray]:
    """Every metric of each replicate's recordings joined.

    Args:
        of: `[recording, ...]`.
        draws: `[replicate, recording]`, of `resamples`.

    Returns: `[replicate, ...]`, NaN where a metric is not defined.
    """
    whole = merged(of)
    x, y = of.mean_x - whole.mean_x, of.mean_y - whole.mean_y  # about a common centre: no cancellation
    sums = [of.n, of.n * x, of.n * y, of.ss_x + of.n * x * x, of.ss_y + of.n * y * y, of.sp_xy + of.n * x * y]
    sums += [of.squared_error, of.absolute_error, of.same_sign]
    drawn = np.tensordot(draws, np.stack(sums, axis=-1), axes=1)  # one product: many small ones cost more
    n, sum_x, sum_y, square_x, square_y, product, squared, absolute, same = np.moveaxis(drawn, -1, 0)
    n = np.where(n == 0, np.nan, n)
    mean_x, mean_y = sum_x / n, sum_y / n
    var_x, var_y, cov = square_x / n - mean_x**2, square_y / n - mean_y**2, product / n - mean_x * mean_y
    gap = (mean_x + whole.mean_x) - (mean_y + whole.mean_y)
    size = np.maximum(whole.n, 1)
    flat_x = is_constant(whole.low_x, whole.high_x) | (var_x <= _FLAT * whole.ss_x / size)
    flat_y = is_constant(whole.low_y, whole.high_y) | (var_y <= _FLAT * whole.ss_y / size)
    with np.errstate(invalid="ignore", divide="ignore"):
        cc = np.clip(cov / np.sqrt(var_x * var_y), -1, 1)
        ccc = 2 * cov / (var_x + var_y + gap**2)
    ccc = np.where(flat_x | flat_y, np.where(flat_x & flat_y & (gap == 0), np.nan, 0.0), ccc)
    return {
        "rmse": np.sqrt(squared / n),
        "mae": absolute / n,
        "cc": np.where(flat_x | flat_y, np.nan, cc),
        "ccc": np.where(np.isnan(n), np.nan, ccc),
        "sagr": same / n,
    }


def mean_replicates(values: FloatArray, draws: FloatArray) -> FloatArray:
    """Mean over each replicate's recordings of a value for each; undefined ones are left out.

    Args:
        values: `[recording, ...]`, NaN where not defined.
        draws: `[replicate, recording]`.

    Returns: `[replicate, ...]`, NaN where no recording has a value.
    """
    known = np.isfinite(values)
    both = np.stack([np.where(known, values, 0.0), known.astype(np.float64)], axis=-1)
    total, count = np.moveaxis(np.tensordot(draws, both, axes=1), -1, 0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def interval(replicates: FloatArray, *, level: float = LEVEL) -> tuple[FloatArray, FloatArray]:
    """Percentile interval over the first axis.

    Args:
        replicates: `[replicate, ...]`, NaN where a replicate has no value.
        level: share of the replicates inside.

    Returns: low and high, `[...]`; NaN where fewer than half of the replicates have a value.
    """
    ordered = np.sort(replicates, axis=0)  # NaN comes last
    count = np.isfinite(ordered).sum(axis=0)
    found = []
    for share in ((1 - level) / 2, (1 + level) / 2):
        place = share * np.maximum(count - 1, 0)
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(count - 1, 0))
        low, high = (np.take_along_axis(ordered, at[None], axis=0)[0] for at in (below, above))
        value = low + (place - below) * (high - low)
        found.append(np.where(count >= _FEWEST_DEFINED * len(replicates), value, np.nan))
    return found[0], found[1]
