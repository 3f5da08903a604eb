"""How far raters agree: sums that can be merged recording by recording, and what follows from them.

Everything is computed from moments (counts, means, centred sums), so that ten million samples take no more memory than
a block of them, and a thousand recordings no more than one. A missing value drops its sample, never its rater.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

_BLOCK = 65_536  # samples that are in memory several times over
_ROUNDING = 1e-14  # a variance this small beside the squares it came from is rounding


@dataclass(frozen=True)
class PairMoments:
    """Moments of pairs of series (x, y), an element each; every array has one shape, whatever it is.

    `n` samples that both have; means and centred sums (of squares, of products) over these alone.
    """

    n: FloatArray
    mean_x: FloatArray
    mean_y: FloatArray
    m2_x: FloatArray
    m2_y: FloatArray
    co: FloatArray

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> PairMoments:
        """Moments of no samples."""
        return cls(*(np.zeros(shape) for _ in fields(cls)))

    def placed(self, index: tuple[npt.NDArray[np.int64] | slice, ...], shape: tuple[int, ...]) -> PairMoments:
        """The same moments at `index` of a larger shape, no samples elsewhere."""
        larger = PairMoments.empty(shape)
        for name in (field.name for field in fields(self)):
            getattr(larger, name)[index] = getattr(self, name)
        return larger

    def __add__(self, other: PairMoments) -> PairMoments:
        """Of the samples of both together (Chan, Golub and LeVeque 1983)."""
        n = self.n + other.n
        share = np.divide(other.n, n, out=np.zeros_like(n), where=n > 0)
        step_x, step_y = other.mean_x - self.mean_x, other.mean_y - self.mean_y
        weight = self.n * share
        return PairMoments(
            n,
            np.where(self.n == 0, other.mean_x, self.mean_x + step_x * share),
            np.where(self.n == 0, other.mean_y, self.mean_y + step_y * share),
            self.m2_x + other.m2_x + step_x**2 * weight,
            self.m2_y + other.m2_y + step_y**2 * weight,
            self.co + other.co + step_x * step_y * weight,
        )


def _moments(n: FloatArray, sums: tuple[FloatArray, ...], shift_x: FloatArray, shift_y: FloatArray) -> PairMoments:
    """From sums of x, y, x^2, y^2, xy, x and y counted from their shifts."""
    sum_x, sum_y, sum_xx, sum_yy, sum_xy = sums
    count = np.maximum(n, 1)
    mean_x, mean_y = sum_x / count, sum_y / count
    return PairMoments(
        n,
        np.where(n > 0, mean_x + shift_x, 0.0),
        np.where(n > 0, mean_y + shift_y, 0.0),
        np.maximum(sum_xx - sum_x * mean_x, 0.0),
        np.maximum(sum_yy - sum_y * mean_y, 0.0),
        sum_xy - sum_x * mean_y,
    )


def _shift(values: FloatArray) -> FloatArray:
    """A value of each column, 0 where it has none: counted from it, a constant column is exactly 0."""
    given = ~np.isnan(values)
    first = values[given.argmax(axis=0), np.arange(values.shape[1])]
    return np.where(given.any(axis=0), first, 0.0)


def pair_moments(values: FloatArray) -> PairMoments:
    """Every rater (x) against every rater (y).

    Args:
        values: `[sample, rater]`, NaN where missing.

    Returns: moments `[rater, rater]`, x along the first axis.
    """
    raters = values.shape[1]
    total = PairMoments.empty((raters, raters))
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        shift = _shift(block)
        given = (~np.isnan(block)).astype(np.float64)
        x = np.where(given > 0, block - shift, 0.0)
        sum_x, sum_xx = x.T @ given, (x**2).T @ given
        sums = (sum_x, sum_x.T, sum_xx, sum_xx.T, x.T @ x)
        total = total + _moments(given.T @ given, sums, shift[:, None], shift[None, :])
    return total


def series_moments(x: FloatArray, y: FloatArray) -> PairMoments:
    """Column by column: x against y.

    Args:
        x: `[sample, column]`, NaN where missing.
        y: `[sample, column]`, NaN where missing.

    Returns: moments `[column]`.
    """
    total = PairMoments.empty((x.shape[1],))
    for start in range(0, len(x), _BLOCK):
        one, other = x[start : start + _BLOCK], y[start : start + _BLOCK]
        both = ~(np.isnan(one) | np.isnan(other))
        one, other = np.where(both, one, np.nan), np.where(both, other, np.nan)
        shift_x, shift_y = _shift(one), _shift(other)
        a, b = np.where(both, one - shift_x, 0.0), np.where(both, other - shift_y, 0.0)
        sums = (a.sum(axis=0), b.sum(axis=0), (a**2).sum(axis=0), (b**2).sum(axis=0), (a * b).sum(axis=0))
        total = total + _moments(both.sum(axis=0).astype(np.float64), sums, shift_x, shift_y)
    return total


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


def pearson(moments: PairMoments) -> FloatArray:
    """Pearson's correlation of each element, in [-1, 1]; NaN where a series is constant or there are no samples."""
    constant_x, constant_y = _constant(moments)
    scale = np.sqrt(moments.m2_x) * np.sqrt(moments.m2_y)
    known = ~constant_x & ~constant_y & (scale > 0)
    found = np.divide(moments.co, scale, out=np.full_like(scale, np.nan), where=known)
    clipped: FloatArray = np.clip(found, -1.0, 1.0)
    return clipped


def ccc(moments: PairMoments) -> FloatArray:
    """Lin's CCC of each element, population variance; NaN without samples.

    One series constant: 0. Both constant: 1 if they are equal, else 0 (docs/decisions/0001-ccc.md).
    """
    constant_x, constant_y = _constant(moments)
    gap = moments.mean_x - moments.mean_y
    below = moments.m2_x + moments.m2_y + moments.n * gap**2
    regular = ~constant_x & ~constant_y & (below > 0)
    found = np.divide(2 * moments.co, below, out=np.zeros_like(below), where=regular)
    found = np.where(constant_x & constant_y & (gap == 0), 1.0, found)
    return np.where(moments.n > 0, found, np.nan)


def _constant(moments: PairMoments) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    return (
        moments.m2_x <= _ROUNDING * moments.n * moments.mean_x**2,
        moments.m2_y <= _ROUNDING * moments.n * moments.mean_y**2,
    )


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


def lag_moments(times: FloatArray, values: FloatArray, *, step_seconds: float, most_steps: int) -> PairMoments:
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
    raters = values.shape[1]
    total = PairMoments.empty((lags.size, raters))
    if times.size < 2:
        return total
    stride = max(1, int(np.ceil(round(float(np.median(np.diff(times))) / step_seconds, 6))))
    binned = _binned(times, values, step_seconds * stride)
    others = mean_of_others(binned)
    for place in np.flatnonzero(lags % stride == 0):
        shift = int(lags[place]) // stride
        if abs(shift) >= len(binned):
            continue
        late = binned[shift:] if shift >= 0 else binned[:shift]
        early = others[: len(others) - shift] if shift >= 0 else others[-shift:]
        found = series_moments(late, early)
        for name in (field.name for field in fields(found)):
            getattr(total, name)[place] = getattr(found, name)
    return total


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
