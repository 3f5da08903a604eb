"""Agreement of a prediction with a rating: RMSE, MAE, CC, CCC and sign agreement (SAGR), in float64.

CCC is Lin's (1989) with population variance throughout, so that CCC(x, x) = 1 exactly at every n >= 2
(docs/decisions/0001-ccc.md). Everything is computed from moments that merge: a recording is read once, and a
partition, a bootstrap replicate or a rescaled prediction is scored without its samples.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

Metric = Literal["rmse", "mae", "cc", "ccc", "sagr"]
METRICS: tuple[Metric, ...] = ("rmse", "mae", "cc", "ccc", "sagr")

_CHUNK = 8192  # samples at a time: they stay in the cache, and BLAS takes one thread, so that no core count shows
_NO_SAMPLE = (*[0.0] * 9, np.inf, -np.inf, np.inf, -np.inf)

FINE, NO_SAMPLE, BOTH_THE_SAME, PREDICTION_CONSTANT, RATING_CONSTANT, BOTH_CONSTANT = range(6)
"""What `degeneracy` tells apart. `BOTH_THE_SAME`: one constant, in both; CCC is 0/0."""

ROUNDING = 1e-13
"""A series is constant if no two of its values differ by more than this share of the largest of them: a mean of equal
values rounds, and correlations of what is left say nothing."""


@dataclass(frozen=True)
class Moments:
    """What all metrics need of the samples where both series have a value. Every field has the same shape, any.

    Means, sums of squares and products about the means (`ss_*`, `sp_xy`), sums of squared and absolute errors, the
    number of samples of equal sign, and the extremes; x is the prediction, y the rating. Where `n` is 0 the means are
    0 and the extremes infinite.
    """

    n: FloatArray
    mean_x: FloatArray
    mean_y: FloatArray
    ss_x: FloatArray
    ss_y: FloatArray
    sp_xy: FloatArray
    squared_error: FloatArray
    absolute_error: FloatArray
    same_sign: FloatArray
    low_x: FloatArray
    high_x: FloatArray
    low_y: FloatArray
    high_y: FloatArray

    def __getitem__(self, at: object) -> Moments:
        """The moments at an index of the shared shape."""
        return Moments(*(np.asarray(getattr(self, field.name)[at]) for field in fields(self)))


def stacked(parts: list[Moments]) -> Moments:
    """Moments of one shape along a new first axis."""
    return Moments(*(np.stack([getattr(part, field.name) for part in parts]) for field in fields(Moments)))


def no_moments(shape: tuple[int, ...]) -> Moments:
    """Moments of no sample at all."""
    zero, low, high = np.zeros(shape), np.full(shape, np.inf), np.full(shape, -np.inf)
    return Moments(*(zero.copy() for _ in range(9)), *(each.copy() for each in (low, high, low, high)))


def moments(prediction: FloatArray, rating: FloatArray) -> Moments:
    """Moments over the last axis, of the samples where both series have a value.

    Args:
        prediction: `[series, sample]`, NaN where there is none.
        rating: the same.

    Returns: of shape `[series]`.

    Raises:
        ValueError: the shapes differ or are not `[series, sample]`.
    """
    if prediction.shape != rating.shape or prediction.ndim != 2:
        raise ValueError(f"expected two arrays [series, sample] of one shape, got {prediction.shape}, {rating.shape}")
    rows = [_series(x, y) for x, y in zip(prediction, rating, strict=True)]
    return _as_moments(rows) if rows else no_moments((0,))


def _series(x: FloatArray, y: FloatArray) -> tuple[float, ...]:
    """The moments of one series, in the order of the fields."""
    if np.isnan(x.sum() + y.sum()):
        known = ~(np.isnan(x) | np.isnan(y))
        x, y = x[known], y[known]
    if not x.size:
        return _NO_SAMPLE
    parts = [_chunk(x[at : at + _CHUNK], y[at : at + _CHUNK]) for at in range(0, x.size, _CHUNK)]
    if len(parts) == 1:
        return parts[0]
    whole = merged(_as_moments(parts))
    return tuple(float(getattr(whole, field.name)) for field in fields(Moments))


def _chunk(x: FloatArray, y: FloatArray) -> tuple[float, ...]:
    x, y = x.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
    mean_x, mean_y = x.mean(), y.mean()
    dx, dy, error = x - mean_x, y - mean_y, np.abs(x - y)
    return (
        float(x.size),
        mean_x,
        mean_y,
        np.dot(dx, dx),
        np.dot(dy, dy),
        np.dot(dx, dy),
        np.dot(error, error),
        error.sum(),
        float(np.count_nonzero(((x > 0) == (y > 0)) & ((x < 0) == (y < 0)))),
        x.min(),
        x.max(),
        y.min(),
        y.max(),
    )


def _as_moments(rows: list[tuple[float, ...]]) -> Moments:
    return Moments(*np.array(rows).T)


def placed(of: Moments, index: tuple[Any, ...], shape: tuple[int, ...]) -> Moments:
    """The same moments at `index` of a larger shape, no samples elsewhere."""
    larger = no_moments(shape)
    for field in fields(Moments):
        getattr(larger, field.name)[index] = getattr(of, field.name)
    return larger


def mean_known(values: FloatArray, *, axis: int) -> FloatArray:
    """Mean over an axis of what is not NaN; NaN where everything is."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    mean: FloatArray = np.where(count > 0, np.where(known, values, 0.0).sum(axis=axis) / np.maximum(count, 1), np.nan)
    return mean


def or_none(value: float | None) -> float | None:
    """A number for tables: None where it is not finite."""
    return float(value) if value is not None and np.isfinite(value) else None


def merged(parts: Moments) -> Moments:
    """Moments of everything along the first axis joined, as if its samples had been concatenated (Chan et al. 1979)."""
    n = parts.n.sum(axis=0)
    weight = parts.n / np.maximum(n, 1)
    mean_x, mean_y = (weight * parts.mean_x).sum(axis=0), (weight * parts.mean_y).sum(axis=0)
    dx, dy = parts.mean_x - mean_x, parts.mean_y - mean_y
    return Moments(
        n,
        mean_x,
        mean_y,
        (parts.ss_x + parts.n * dx * dx).sum(axis=0),
        (parts.ss_y + parts.n * dy * dy).sum(axis=0),
        (parts.sp_xy + parts.n * dx * dy).sum(axis=0),
        parts.squared_error.sum(axis=0),
        parts.absolute_error.sum(axis=0),
        parts.same_sign.sum(axis=0),
        parts.low_x.min(axis=0),
        parts.high_x.max(axis=0),
        parts.low_y.min(axis=0),
        parts.high_y.max(axis=0),
    )


def degeneracy(of: Moments) -> npt.NDArray[np.int_]:
    """Why a formula alone would get it wrong: one of `FINE`, `NO_SAMPLE`, ... for each entry.

    The one rule for constants, of predictions, raters and gold standards alike (docs/decisions/0001-ccc.md).
    """
    # by variance too, for squares of tiny differences vanish
    x_constant = is_constant(of.low_x, of.high_x) | (of.ss_x == 0)
    y_constant = is_constant(of.low_y, of.high_y) | (of.ss_y == 0)
    both = x_constant & y_constant
    same = is_constant(np.minimum(of.low_x, of.low_y), np.maximum(of.high_x, of.high_y))
    return np.select(
        [of.n == 0, both & same, both, x_constant, y_constant],
        [NO_SAMPLE, BOTH_THE_SAME, BOTH_CONSTANT, PREDICTION_CONSTANT, RATING_CONSTANT],
        FINE,
    )


def is_constant(low: FloatArray, high: FloatArray) -> BoolArray:
    """True where a series from `low` to `high` varies by rounding alone."""
    return np.asarray(high - low <= ROUNDING * np.maximum(np.abs(low), np.abs(high)))


def scores(of: Moments) -> dict[Metric, FloatArray]:
    """Every metric, NaN where it is not defined: all without a sample, CC with a constant, CCC where both are the same.

    CCC = 2 cov(x, y) / (var(x) + var(y) + (mean x - mean y)^2)
    SAGR = share of samples where sign(x) = sign(y); 0 has a sign of its own (Nicolaou et al. 2011)
    """
    state, n = degeneracy(of), np.where(of.n == 0, np.nan, of.n)
    with np.errstate(invalid="ignore", divide="ignore"):
        cc = of.sp_xy / (np.sqrt(of.ss_x) * np.sqrt(of.ss_y))
        ccc = 2 * of.sp_xy / (of.ss_x + of.ss_y + of.n * (of.mean_x - of.mean_y) ** 2)
    return {
        "rmse": np.sqrt(of.squared_error / n),
        "mae": of.absolute_error / n,
        "cc": np.where(state == FINE, np.clip(cc, -1, 1), np.nan),
        "ccc": np.select(
            [state == FINE, (state == NO_SAMPLE) | (state == BOTH_THE_SAME)], [np.clip(ccc, -1, 1), np.nan], 0.0
        ),
        "sagr": of.same_sign / n,
    }


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Scores of one series against another.

    `degenerate` marks what a formula alone would get wrong: no samples (all scores None), or a constant series (CC is
    None; CCC is 0, or 1 where both are the same constant). That 1 is a definition and no agreement: `scores`, from
    which tables and means are made, has no value there.
    """

    rmse: float | None
    mae: float | None
    cc: float | None
    ccc: float | None
    sagr: float | None
    n: int
    degenerate: bool


def agreement(prediction: FloatArray, rating: FloatArray) -> Agreement:
    """Every metric over the samples where both series have a value.

    Args:
        prediction: `[sample]`, NaN where there is none.
        rating: `[sample]`, NaN where there is none.

    Returns: RMSE and MAE in the ratings' unit, CC and CCC in [-1, 1], SAGR in [0, 1], and `n`, the samples used.

    Raises:
        ValueError: the shapes differ or are not one-dimensional.

    >>> agreement(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])).ccc
    1.0
    """
    if prediction.shape != rating.shape or prediction.ndim != 1:
        raise ValueError(f"expected two series [sample] of one length, got {prediction.shape} and {rating.shape}")
    found = moments(prediction[None], rating[None])
    values = {name: None if np.isnan(value[0]) else float(value[0]) for name, value in scores(found).items()}
    state = degeneracy(found)[0]
    if state == BOTH_THE_SAME:
        values["ccc"] = 1.0
    return Agreement(n=int(found.n[0]), degenerate=bool(state != FINE), **values)


def mean_ccc(predictions: FloatArray, ratings: FloatArray) -> float:
    """Mean over raters of CCC; raters without one are left out: no sample, or the same constant as the prediction's.

    Args:
        predictions: `[sample, rater]`, NaN where there is none.
        ratings: `[sample, rater]`, NaN where there is none.

    Returns: in [-1, 1]; NaN if no rater has a CCC.
    """
    each = scores(moments(predictions.T, ratings.T))["ccc"]
    known = each[np.isfinite(each)]
    return float(known.mean()) if known.size else float("nan")
