"""Agreement against scipy, models.metrics and textbook sums over the samples, one by one."""

from __future__ import annotations

import itertools
import math
import time
import tracemalloc
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from models.agreement import (
    CompleteMoments,
    complete_moments,
    cronbach_alpha,
    icc_2k,
    lag_moments,
    mean_of_others,
    pair_moments,
)
from models.metrics import Moments, agreement, merged, no_moments, placed, scores, stacked
from models.metrics import moments as moments_of

FloatArray = npt.NDArray[np.float64]


def ratings(samples: int = 400, raters: int = 5, *, missing: float = 0.2, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    curve = np.cumsum(rng.normal(0, 0.1, samples))
    values = curve[:, None] * rng.uniform(0.5, 1.5, raters) + rng.normal(0, 0.3, (samples, raters))
    values += rng.normal(size=raters)
    values[rng.random(values.shape) < missing] = np.nan
    return values


def both(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    known = ~(np.isnan(x) | np.isnan(y))
    return x[known], y[known]


def pearson(of: Moments) -> FloatArray:
    return scores(of)["cc"]


def ccc(of: Moments) -> FloatArray:
    return scores(of)["ccc"]


def series_moments(x: FloatArray, y: FloatArray) -> Moments:
    return moments_of(x.T, y.T)


def naive_ccc(x: FloatArray, y: FloatArray) -> float:
    """Lin 1989 with plain sums."""
    n = len(x)
    mean_x, mean_y = math.fsum(x) / n, math.fsum(y) / n
    cov = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / n
    var_x = math.fsum((a - mean_x) ** 2 for a in x) / n
    var_y = math.fsum((b - mean_y) ** 2 for b in y) / n
    return 2 * cov / (var_x + var_y + (mean_x - mean_y) ** 2)


def test_pairs_like_scipy_and_plain_sums() -> None:
    values = ratings()
    moments = pair_moments(values)
    for i, j in itertools.product(range(5), repeat=2):
        x, y = both(values[:, i], values[:, j])
        assert moments.n[i, j] == len(x)
        assert pearson(moments)[i, j] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
        assert ccc(moments)[i, j] == pytest.approx(naive_ccc(x, y), abs=1e-12)
        known = agreement(values[:, i], values[:, j])
        assert ccc(moments)[i, j] == pytest.approx(known.ccc, abs=1e-12)


def test_each_against_the_mean_of_the_others() -> None:
    values = ratings(seed=3)
    others = mean_of_others(values)
    moments = series_moments(values, others)
    for rater in range(5):
        rest = np.delete(values, rater, axis=1)
        expected = np.array([np.nan if np.isnan(row).all() else np.nanmean(row) for row in rest])
        np.testing.assert_allclose(others[:, rater], expected, rtol=1e-12)
        x, y = both(values[:, rater], expected)
        assert pearson(moments)[rater] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
        assert ccc(moments)[rater] == pytest.approx(naive_ccc(x, y), abs=1e-12)


@given(st.lists(st.integers(0, 60), max_size=4))
def test_parts_add_up_to_the_whole(cuts: list[int]) -> None:
    values = ratings(60, 3, seed=1)
    edges = [0, *sorted(cuts), 60]
    parts = [values[a:b] for a, b in itertools.pairwise(edges)]
    added = merged(stacked([no_moments((3, 3)), *(pair_moments(part) for part in parts)]))
    whole = pair_moments(values)
    for name in (field.name for field in fields(Moments)):
        np.testing.assert_allclose(getattr(added, name), getattr(whole, name), rtol=1e-10, atol=1e-12)
    complete = sum((complete_moments(part) for part in parts), CompleteMoments(0, np.zeros(3), np.zeros((3, 3))))
    np.testing.assert_allclose(complete.co, complete_moments(values).co, rtol=1e-10, atol=1e-12)


def anova_icc(x: FloatArray) -> float:
    """Shrout and Fleiss 1979, case 2, k raters: mean squares by loops."""
    n, k = x.shape
    grand = x.mean()
    rows = k * sum((x[i].mean() - grand) ** 2 for i in range(n)) / (n - 1)
    columns = n * sum((x[:, j].mean() - grand) ** 2 for j in range(k)) / (k - 1)
    error = sum((x[i, j] - x[i].mean() - x[:, j].mean() + grand) ** 2 for i in range(n) for j in range(k))
    error /= (n - 1) * (k - 1)
    return float((rows - error) / (rows + (columns - error) / n))


def test_alpha_and_icc() -> None:
    values = ratings(seed=2)
    complete = values[~np.isnan(values).any(axis=1)]
    moments = complete_moments(values)
    assert moments.n == len(complete) < 200
    variances = complete.var(axis=0, ddof=1).sum() / complete.sum(axis=1).var(ddof=1)
    assert cronbach_alpha(moments) == pytest.approx(5 / 4 * (1 - variances), abs=1e-12)
    assert icc_2k(moments) == pytest.approx(anova_icc(complete), abs=1e-10)


def test_shrout_and_fleiss_example() -> None:
    """Their table 2: six targets, four judges; ICC(2,4) = .62, and ICC(3,4), which is alpha, = .91."""
    table = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)
    moments = complete_moments(table)
    assert icc_2k(moments) == pytest.approx(0.62, abs=0.005)
    assert cronbach_alpha(moments) == pytest.approx(0.91, abs=0.005)


VALUES = arrays.arrays(np.float64, (12, 2), elements=st.floats(-1, 1).map(lambda v: round(v, 3)))


@given(VALUES, st.floats(0.1, 3), st.floats(-2, 2))
def test_properties(values: FloatArray, scale: float, shift: float) -> None:
    moments = pair_moments(values)
    found, cc = ccc(moments), pearson(moments)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    if not np.isnan(cc[0, 1]):
        assert abs(found[0, 1]) <= abs(cc[0, 1]) + 1e-12
        assert found[0, 0] == pytest.approx(1, abs=1e-12)
        both_changed = pair_moments(values * scale + shift)
        assert ccc(both_changed)[0, 1] == pytest.approx(found[0, 1], abs=1e-8)
        one_changed = pair_moments(values * [1, scale] + [0, shift])
        assert pearson(one_changed)[0, 1] == pytest.approx(cc[0, 1], abs=1e-6)
        away = np.array([0, math.copysign(1, values[:, 1].mean() - values[:, 0].mean())])
        farther = pair_moments(values + away)
        assert abs(ccc(farther)[0, 1]) <= abs(found[0, 1]) + 1e-12


@pytest.mark.parametrize("n", [2, 3, 5, 50])
def test_a_series_agrees_with_itself(n: int) -> None:
    x = np.random.default_rng(n).normal(size=n)
    np.testing.assert_allclose(ccc(pair_moments(np.column_stack([x, x]))), 1, rtol=1e-15)


def test_degenerate_raters() -> None:
    """Constant, equal and constant, of NaN, alone, five samples: one rule with predictions (docs/decisions/0001)."""
    values = np.array([[0.1, 0.1, 0.3, np.nan, 0.7]] * 4 + [[0.1, 0.1, 0.5, np.nan, 0.7]])
    found, cc = ccc(pair_moments(values)), pearson(pair_moments(values))
    assert np.isnan(found[0, 1])  # 0/0
    assert found[0, 4] == 0
    assert found[0, 2] == 0
    assert np.isnan(cc[0]).all()
    assert np.isnan(found[3]).all()
    assert cc[2, 2] == 1
    for i, j in itertools.product(range(5), repeat=2):
        single = agreement(values[:, i], values[:, j])
        assert found[i, j] == pytest.approx(
            np.nan if single.degenerate and single.ccc != 0 else single.ccc, nan_ok=True
        )
    alone = complete_moments(values[:, :1])
    assert (cronbach_alpha(alone), icc_2k(alone)) == (None, None)
    nothing = complete_moments(values)
    assert (nothing.n, cronbach_alpha(nothing), icc_2k(nothing)) == (0, None, None)
    constants = complete_moments(np.full((9, 3), 0.1))
    assert (cronbach_alpha(constants), icc_2k(constants)) == (None, None)


def test_a_mean_of_constants_is_a_constant() -> None:
    """Means of two and of three equal values differ by a rounding: a correlation with that would be of noise."""
    values = np.full((200, 4), 0.1)
    values[::3, 1] = np.nan
    values[:, 3] = np.random.default_rng(0).normal(size=200)
    others = mean_of_others(values[:, :3]).mean(axis=1)
    others[::2] = np.nextafter(others[::2], 1)
    assert np.ptp(others) > 0
    found = series_moments(values[:, 3:], others[:, None])
    assert np.isnan(pearson(found))
    assert ccc(found) == 0
    barely = series_moments(values[:, 3:], others[:, None] + 1e-9 * values[:, 3:])
    assert pearson(barely) == pytest.approx(1, abs=1e-6)


def test_raters_who_all_disagree() -> None:
    t = np.arange(2000.0) / 2000 * 2 * np.pi * 9
    values = np.column_stack([np.sin(t), -np.sin(t), np.cos(t), -np.cos(t)])
    moments = pair_moments(values)
    assert ccc(moments)[0, 1] == pytest.approx(-1)
    others = series_moments(values, mean_of_others(values))
    assert (pearson(others) < 0).all()
    alpha = cronbach_alpha(complete_moments(values))
    assert alpha is None or alpha < 0


def test_lags() -> None:
    rng = np.random.default_rng(0)
    times = np.asarray(np.arange(3000) * 0.04, dtype=np.float64)
    curve = np.convolve(rng.normal(size=3400), np.hanning(100), "same")
    late = [0, 0, 50, -30]  # samples
    values = np.column_stack([curve[200 - shift : 3200 - shift] for shift in late]) + rng.normal(0, 0.5, (3000, 4))
    moments = lag_moments(times, values, step_seconds=0.4, most_steps=10)
    best = (np.nanargmax(pearson(moments), axis=0) - 10) * 0.4
    assert best[2] == pytest.approx(2.0 - (0 + 0 - 1.2) / 3, abs=0.4)  # the others are late or early themselves
    assert best[3] == pytest.approx(-1.2 - (0 + 0 + 2.0) / 3, abs=0.4)
    blocks = values.reshape(300, 10, 4).mean(axis=1)
    others = blocks[:, [0, 2, 3]].mean(axis=1)
    assert pearson(moments)[13, 1] == pytest.approx(np.corrcoef(blocks[3:, 1], others[:-3])[0, 1], abs=1e-12)
    assert pearson(moments)[8, 1] == pytest.approx(np.corrcoef(blocks[:-2, 1], others[2:])[0, 1], abs=1e-12)
    sparse = lag_moments(times[::13], values[::13], step_seconds=0.4, most_steps=10)  # a label every .52 s
    assert (sparse.n[::2].min() > 0, sparse.n[1::2].max()) == (True, 0)


def test_ten_million_samples() -> None:
    values = np.zeros((10_000_000, 2))
    rng = np.random.default_rng(0)
    values[:, 0] = np.sin(np.arange(10_000_000) * 0.01)
    values[:, 1] = values[:, 0] * 0.5 + 0.2
    values[rng.integers(0, 10_000_000, 1000), 1] = np.nan
    started = time.perf_counter()
    moments = pair_moments(values)
    between = time.perf_counter()
    np.corrcoef(values.T)
    assert between - started < 10 * (time.perf_counter() - between)
    tracemalloc.start()
    pair_moments(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
    assert moments.n[0, 1] == (~np.isnan(values[:, 1])).sum()
    assert ccc(moments)[0, 1] == pytest.approx(agreement(values[:, 0], values[:, 1]).ccc, abs=1e-10)


def test_moments_find_their_place() -> None:
    small = pair_moments(ratings(50, 2))
    index: Any = np.ix_([2, 0], [2, 0])
    larger = placed(small, index, (3, 3))
    assert larger.sp_xy[2, 0] == small.sp_xy[0, 1]
    assert larger.n[1].sum() == 0
    assert np.isinf(larger.low_x[1]).all()
