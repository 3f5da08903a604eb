"""How far raters agree: moments that can be merged recording by recording, and what follows from them.

Built on `models.metrics.Moments`, so that a rater is scored against a rater as a prediction is, constants included.
Ten million samples take no more memory than a block of them, and a thousand recordings no more than one. A missing
value drops its sample, never its rater.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.labels import median_step
from models.metrics import Moments, merged, moments, no_moments, placed, stacked

FloatArray = npt.NDArray[np.float64]

_BLOCK = 65_536  # samples that are in memory several times over
_PAIR_BLOCK = 1 << 19  # of all pairs together
_ROUNDING = 1e-14  # a variance this small beside the squares it came from is rounding


def pair_moments(values: FloatArray) -> Moments:
    """Every rater (x) against every rater (y).

    Args:
        values: `[sample, rater]`, NaN where missing.

    Returns: moments `[rater, rater]`, x along the first axis.
    """
    raters = values.shape[1]
    one, other = np.triu_indices(raters)
    step = max(1, _PAIR_BLOCK // max(1, one.size))
    total = no_moments((one.size,))
    for start in range(0, len(values), step):
        block = values[start : start + step].T
        total = merged(stacked([total, moments(block[one], block[other])]))
    pair = np.empty((raters, raters), dtype=np.int64)
    pair[one, other] = pair[other, one] = np.arange(one.size)
    return stacked([total, _swapped(total)])[np.tri(raters, k=-1, dtype=np.int64), pair]


def _swapped(of: Moments) -> Moments:
    """Of y against x."""
    return replace(
        of,
        mean_x=of.mean_y,
        mean_y=of.mean_x,
        ss_x=of.ss_y,
        ss_y=of.ss_x,
        low_x=of.low_y,
        high_x=of.high_y,
        low_y=of.low_x,
        high_y=of.high_x,
    )


def mean_of_others(values: FloatArray) -> FloatArray:
    """For each rater the mean of those others who rated the sample, `[sample, rater]`; NaN where nobody else did.

    Args:
        values: `[sample, rater]`, NaN where missing.
    """
    given = ~np.isnan(values)
    filled = np.where(given, values, 0.0)
    count = given.sum(axis=1, keepdims=True) - given
    total = np.stack([np.delete(filled, rater, axis=1).sum(axis=1) for rater in range(values.shape[1])], axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@dataclass(frozen=True)
class CompleteMoments:
    """Moments of the samples that every rater rated: `n`, `mean` `[rater]`, `co` `[rater, rater]` centred products."""

    n: int
    mean: FloatArray
    co: FloatArray

    def __add__(self, other: CompleteMoments) -> CompleteMoments:
        """Of the samples of both together, the raters in one order."""
        n = self.n + other.n
        if n == 0:
            return self
        step = other.mean - self.mean
        mean = self.mean + step * (other.n / n)
        return CompleteMoments(n, mean, self.co + other.co + np.outer(step, step) * (self.n * other.n / n))


def complete_moments(values: FloatArray) -> CompleteMoments:
    """Of the samples without a missing value.

    Args:
        values: `[sample, rater]`, NaN where missing.
    """
    raters = values.shape[1]
    total = CompleteMoments(0, np.zeros(raters), np.zeros((raters, raters)))
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        block = block[~np.isnan(block).any(axis=1)]
        if len(block):
            mean = block[0] + (block - block[0]).mean(axis=0)
            centred = block - mean
            total = total + CompleteMoments(len(block), mean, centred.T @ centred)
    return total


def cronbach_alpha(moments: CompleteMoments) -> float | None:
    """Cronbach's alpha: k / (k - 1) (1 - sum of the raters' variances / variance of their sum), at most 1.

    None with fewer than two raters or samples, or where the raters' sum is constant.
    """
    raters = len(moments.mean)
    total = float(moments.co.sum())
    if raters < 2 or moments.n < 2 or total <= _floor(moments):
        return None
    return raters / (raters - 1) * (1 - float(np.trace(moments.co)) / total)


def icc_2k(moments: CompleteMoments) -> float | None:
    """ICC(2,k): absolute agreement of the mean of k raters, both samples and raters drawn at random.

        (MSR - MSE) / (MSR + (MSC - MSE) / n)

    with the mean squares of samples (rows), raters (columns) and error of a two-way analysis of variance. None with
    fewer than two raters or samples, or where nothing varies.

    Source: Shrout and Fleiss 1979.
    """
    raters, n = len(moments.mean), moments.n
    if raters < 2 or n < 2:
        return None
    between = float(moments.co.sum()) / raters
    columns = n * float(((moments.mean - moments.mean.mean()) ** 2).sum())
    error = max(float(np.trace(moments.co)) - between, 0.0)
    mean_rows, mean_columns, mean_error = between / (n - 1), columns / (raters - 1), error / ((n - 1) * (raters - 1))
    below = mean_rows + (mean_columns - mean_error) / n
    return None if below <= _floor(moments) / n else (mean_rows - mean_error) / below


def _floor(moments: CompleteMoments) -> float:
    return _ROUNDING * moments.n * float((moments.mean**2).sum())


def lag_moments(times: FloatArray, values: FloatArray, *, step_seconds: float, most_steps: int) -> Moments:
    """Every rater against the mean of the others, shifted by whole steps.

    Args:
        times: `[sample]` seconds, increasing.
        values: `[sample, rater]`, NaN where missing.
        step_seconds: of the lags; values are averaged over steps first. Labels that are farther apart than a step are
            compared at the multiples that they allow, and the other lags have no samples.
        most_steps: lags go from minus this to plus this.

    Returns: moments `[lag, rater]`; at a positive lag the rater is held against what the others said that much earlier.
    """
    lags = np.arange(-most_steps, most_steps + 1)
    shape = lags.size, values.shape[1]
    if times.size < 2:
        return no_moments(shape)
    stride = max(1, int(np.ceil(round(median_step(times) / step_seconds, 6))))
    binned = _binned(times, values, step_seconds * stride)
    others = mean_of_others(binned)
    found: list[Moments] = []
    places: list[int] = []
    for place in np.flatnonzero(lags % stride == 0).tolist():
        shift = int(lags[place]) // stride
        if abs(shift) >= len(binned):
            continue
        late = binned[shift:] if shift >= 0 else binned[:shift]
        early = others[: len(others) - shift] if shift >= 0 else others[-shift:]
        found.append(moments(late.T, early.T))
        places.append(place)
    return placed(stacked(found), (places,), shape) if found else no_moments(shape)


def _binned(times: FloatArray, values: FloatArray, step: float) -> FloatArray:
    """Means over bins of a step, `[bin, rater]`, NaN in empty ones."""
    place = np.floor(np.round((times - times[0]) / step, 6)).astype(np.int64)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    given = ~np.isnan(values)
    count = np.add.reduceat(given, starts, axis=0, dtype=np.int64)
    total = np.add.reduceat(np.where(given, values, 0.0), starts, axis=0)
    binned = np.full((int(place[-1]) + 1, values.shape[1]), np.nan)
    binned[place[starts]] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return binned
