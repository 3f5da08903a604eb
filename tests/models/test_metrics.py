"""CCC beside exact fractions, CC beside scipy, and what must hold for any two series."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from models.metrics import Agreement, agreement, mean_ccc, moments, scores

FloatArray = npt.NDArray[np.float64]

RATINGS = st.integers(-100, 100).map(lambda value: value / 100)
SERIES = st.integers(2, 60).flatmap(lambda n: st.tuples(*[arrays(np.float64, n, elements=RATINGS)] * 2))
REALS = st.integers(2, 40).flatmap(
    lambda n: st.tuples(*[arrays(np.float64, n, elements=st.floats(-1e3, 1e3, allow_subnormal=False))] * 2)
)


def exact_ccc(x: FloatArray, y: FloatArray) -> Fraction:
    """Lin 1989 with population variances, without rounding."""
    a, b = [Fraction(float(v)) for v in x], [Fraction(float(v)) for v in y]
    n = len(a)
    mean_a, mean_b = sum(a, Fraction(0)) / n, sum(b, Fraction(0)) / n
    var_a, var_b = sum((v - mean_a) ** 2 for v in a) / n, sum((v - mean_b) ** 2 for v in b) / n
    covariance = sum((v - mean_a) * (w - mean_b) for v, w in zip(a, b, strict=True)) / n
    return Fraction(2 * covariance) / Fraction(var_a + var_b + (mean_a - mean_b) ** 2)


def scored(x: FloatArray, y: FloatArray) -> tuple[float, float, float]:
    found = agreement(x, y)
    assert found.rmse is not None
    assert found.cc is not None
    assert found.ccc is not None
    return found.rmse, found.cc, found.ccc


def varies(*series: FloatArray) -> bool:
    return all(float(np.ptp(one)) > 1e-3 for one in series)


def test_a_published_shape() -> None:
    """By hand: x = 1 2 3 4, y = 2 2 4 5: means 2.5, 3.25; variances 1.25, 1.6875; covariance 1.375."""
    rmse, cc, ccc = scored(np.array([1.0, 2, 3, 4]), np.array([2.0, 2, 4, 5]))
    assert ccc == pytest.approx(2 * 1.375 / (1.25 + 1.6875 + 0.75**2), rel=1e-15)
    assert cc == pytest.approx(1.375 / math.sqrt(1.25 * 1.6875), rel=1e-15)
    assert rmse == pytest.approx(math.sqrt(3 / 4), rel=1e-15)


@pytest.mark.parametrize("n", [2, 3, 10, 1000, 7501])
@pytest.mark.parametrize("offset", [0.0, 0.3, 100.0])
def test_population_variance_throughout(n: int, offset: float) -> None:
    rng = np.random.default_rng(n)
    x = rng.normal(0, 0.2, n) + offset
    y = 0.5 * x + rng.normal(0, 0.1, n)
    rmse, cc, ccc = scored(x, y)
    assert ccc == pytest.approx(float(exact_ccc(x, y)), rel=1e-9, abs=1e-12)
    assert cc == pytest.approx(stats.pearsonr(x, y).statistic, rel=1e-9)
    assert rmse == pytest.approx(math.sqrt(math.fsum((x - y) ** 2) / n), rel=1e-12)


@given(series=SERIES)
def test_any_ratings(series: tuple[FloatArray, FloatArray]) -> None:
    x, y = series
    assume(varies(x, y))
    rmse, cc, ccc = scored(x, y)
    assert ccc == pytest.approx(float(exact_ccc(x, y)), rel=1e-9, abs=1e-12)
    assert cc == pytest.approx(stats.pearsonr(x, y).statistic, rel=1e-9, abs=1e-9)
    assert rmse >= 0
    assert -1 <= cc <= 1
    assert abs(ccc) <= abs(cc) + 1e-12
    swapped = scored(y, x)
    assert swapped == pytest.approx((rmse, cc, ccc), rel=1e-12, abs=1e-15)


@given(series=REALS)
def test_bounds_hold_for_any_numbers(series: tuple[FloatArray, FloatArray]) -> None:
    found = agreement(*series)
    for value in (found.cc, found.ccc):
        assert value is None or -1 <= value <= 1
    assert found.rmse is not None
    assert found.rmse >= 0


@given(x=st.integers(2, 80).flatmap(lambda n: arrays(np.float64, n, elements=st.floats(-1e6, 1e6))))
def test_a_series_agrees_with_itself_exactly(x: FloatArray) -> None:
    assume(float(np.ptp(x)) > 1e-6)
    found = agreement(x, x.copy())
    assert (found.ccc, found.rmse, found.degenerate) == (1.0, 0.0, False)
    assert found.cc == pytest.approx(1.0, abs=1e-12)


@given(series=SERIES, shift=st.floats(-2, 2), scale=st.floats(0.1, 10))
def test_shift_and_scale_of_both(series: tuple[FloatArray, FloatArray], shift: float, scale: float) -> None:
    x, y = series
    assume(varies(x, y))
    _, cc, ccc = scored(x, y)
    _, moved_cc, moved = scored(scale * x + shift, scale * y + shift)
    assert moved == pytest.approx(ccc, abs=1e-9)
    assert moved_cc == pytest.approx(cc, abs=1e-9)
    assert scored(x, -y)[1] == pytest.approx(-cc, abs=1e-12)


@given(series=SERIES, shift=st.floats(0.1, 5))
def test_a_bias_lowers_ccc_and_not_cc(series: tuple[FloatArray, FloatArray], shift: float) -> None:
    x, y = series
    assume(varies(x, y))
    y = y - y.mean() + x.mean()
    _, cc, ccc = scored(x, y)
    _, moved_cc, moved = scored(x, y + shift)
    assert abs(moved) <= abs(ccc)
    assert moved_cc == pytest.approx(cc, abs=1e-9)


@given(series=SERIES, data=st.data())
def test_missing_values_drop_samples(series: tuple[FloatArray, FloatArray], data: st.DataObject) -> None:
    x, y = series
    mask = data.draw(arrays(np.bool_, x.shape))
    other = data.draw(arrays(np.bool_, x.shape))
    keep = ~(mask | other)
    found = agreement(np.where(mask, np.nan, x), np.where(other, np.nan, y))
    assert found == agreement(x[keep], y[keep])
    assert found.n == int(keep.sum())


def test_constants_are_degenerate() -> None:
    flat, rising = np.full(5, 0.3), np.linspace(0, 1, 5)
    expected_rmse = math.sqrt(float(((rising - 0.3) ** 2).mean()))
    for found in (agreement(flat, rising), agreement(rising, flat)):
        assert (found.cc, found.ccc, found.degenerate, found.n) == (None, 0.0, True, 5)
        assert found.rmse == pytest.approx(expected_rmse, rel=1e-15)
    assert agreement(flat, flat) == Agreement(rmse=0.0, mae=0.0, cc=None, ccc=1.0, sagr=1.0, n=5, degenerate=True)
    assert agreement(flat, flat + 0.5).ccc == 0.0
    awkward = np.full(1001, 0.1)  # whose mean is not .1 in floating point
    assert agreement(awkward, np.linspace(0, 1, 1001)).ccc == 0.0
    assert (agreement(awkward, awkward).ccc, agreement(awkward, awkward).degenerate) == (1.0, True)


@pytest.mark.parametrize("pair", [(0.3, 0.3), (0.3, 0.8), (0.0, None), (None, 0.0), (None, None)])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_one_rule_for_constants_in_tables_and_of_two_series(pair: tuple[float | None, float | None], n: int) -> None:
    """`None` of one is NaN of the other, but for the 1 of equal constants, which is a definition and in no table.

    A constant `None` here is a series that rises.
    """
    x, y = (np.linspace(0, 1, n) if value is None else np.full(n, value) for value in pair)
    alone, tabled = agreement(x, y), scores(moments(x[None], y[None]))
    same = n > 0 and bool((x == y).all()) and bool((x == x[0]).all())
    for name, value in tabled.items():
        expected = None if np.isnan(value[0]) else float(value[0])
        assert getattr(alone, name) == (1.0 if same and name == "ccc" else expected), name
    assert mean_ccc(x[:, None], y[:, None]) == pytest.approx(float(tabled["ccc"][0]), nan_ok=True)


def _one(error: float, ccc: float | None) -> Agreement:
    return Agreement(rmse=error, mae=error, cc=None, ccc=ccc, sagr=1.0, n=1, degenerate=True)


def test_one_sample_and_none() -> None:
    assert agreement(np.array([0.5]), np.array([0.5])) == _one(0.0, 1.0)
    assert agreement(np.array([0.5]), np.array([0.25])) == _one(0.25, 0.0)
    nothing = Agreement(rmse=None, mae=None, cc=None, ccc=None, sagr=None, n=0, degenerate=True)
    assert agreement(np.empty(0), np.empty(0)) == nothing
    assert agreement(np.array([np.nan, 1.0]), np.array([1.0, np.nan])) == nothing


def test_shapes_are_checked() -> None:
    for one, other in ((np.zeros(3), np.zeros(4)), (np.zeros((3, 1)), np.zeros((3, 1)))):
        with pytest.raises(ValueError, match="expected two series"):
            agreement(one, other)


def test_the_mean_over_raters_leaves_out_those_without_a_sample() -> None:
    rng = np.random.default_rng(5)
    predictions, ratings = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    ratings[:, 1] = np.nan
    ratings[:25, 2] = np.nan
    expected = [exact_ccc(predictions[:, 0], ratings[:, 0]), exact_ccc(predictions[25:, 2], ratings[25:, 2])]
    assert mean_ccc(predictions, ratings) == pytest.approx(float(sum(expected) / 2), rel=1e-12)
    assert math.isnan(mean_ccc(predictions, np.full((50, 3), np.nan)))


def test_mae_and_sign_agreement() -> None:
    found = agreement(np.array([0.5, -0.1, 0.0, 0.2]), np.array([0.25, 0.1, 0.0, -0.0]))
    assert found.mae == pytest.approx((0.25 + 0.2 + 0 + 0.2) / 4, rel=1e-15)
    assert found.sagr == 0.5  # 0 has a sign of its own, and -0 is 0


@pytest.mark.parametrize("n", [2, 3, 5, 1000])
def test_every_length_agrees_with_itself(n: int) -> None:
    x = np.random.default_rng(n).normal(size=n)
    assert agreement(x, x.copy()).ccc == 1.0


def test_ten_million_samples() -> None:
    """In chunks that merge: the same as numpy on the whole, and exactly 1 of a series with itself."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=10_000_000) + 5
    y = 0.5 * x + rng.normal(size=x.size)
    found = agreement(x, y)
    covariance = float(np.mean((x - x.mean()) * (y - y.mean())))
    expected = 2 * covariance / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert found.ccc == pytest.approx(expected, rel=1e-11)
    assert found.n == x.size
    assert agreement(x, x).ccc == 1.0


def test_ccc_against_r_squared_forms() -> None:
    """CCC = CC times the bias correction factor 2 / (v + 1/v + u^2) (Lin 1989, equation 2), from scipy's moments."""
    rng = np.random.default_rng(9)
    x, y = rng.normal(1, 2, 500), rng.normal(0.5, 1, 500)
    y += 0.4 * x
    v, u = float(np.std(x) / np.std(y)), float((x.mean() - y.mean()) / np.sqrt(np.std(x) * np.std(y)))
    expected = stats.pearsonr(x, y).statistic * 2 / (v + 1 / v + u**2)
    _, cc, ccc = scored(x, y)
    assert ccc == pytest.approx(float(expected), rel=1e-12)
    assert abs(ccc) <= abs(cc)
