"""CCC beside audmetric, torchmetrics and a naive sum: where a library differs, by exactly how much, and why.

audmetric divides by N as this project does, in float64: the same number, up to rounding. torchmetrics divides by N - 1:

    ours * (S + N gap^2) = theirs * (S + (N - 1) gap^2),    S the sums of squares about the means, gap between the means

so that it is never smaller in size, the same where the means are, and larger by N / (N - 1) at most.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import audmetric
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional import concordance_corrcoef

from models.metrics import agreement

FloatArray = npt.NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Case:
    """Two series of a rating's shape, of any length, offset and scale."""

    x: FloatArray
    y: FloatArray

    @property
    def rounding(self) -> float:
        """How far two right answers may lie apart: an offset of k standard deviations costs a mean k last digits."""
        size = max(np.abs(self.x).max(), np.abs(self.y).max()) / min(self.x.std(), self.y.std())
        return float(64 * EPS * (1 + size))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n = draw(st.one_of(st.integers(3, 30), st.sampled_from([100, 1000, 7501])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    curve = np.cumsum(rng.normal(size=n))
    slope, noise = draw(st.floats(-2, 2)), draw(st.sampled_from([0.1, 1.0, 10.0]))
    offset, scale = draw(st.sampled_from([0.0, 1e-3, 1.0, 1e3])), draw(st.sampled_from([1e-4, 1.0, 1e4]))
    gap = draw(st.sampled_from([0.0, 0.5, 5.0, 50.0]))
    y = slope * curve + noise * rng.normal(size=n) + gap
    return Case(scale * curve + offset, scale * y + offset)


def ours(x: FloatArray, y: FloatArray) -> float:
    found = agreement(x, y).ccc
    assert found is not None
    return found


def theirs(x: FloatArray, y: FloatArray, dtype: torch.dtype = torch.float64) -> float:
    """torchmetrics' CCC."""
    return float(concordance_corrcoef(torch.tensor(x, dtype=dtype), torch.tensor(y, dtype=dtype)))


def naive(x: FloatArray, y: FloatArray) -> float:
    """Lin 1989, equation 1, sample by sample."""
    n = len(x)
    mean_x, mean_y = math.fsum(x) / n, math.fsum(y) / n
    pairs = list(zip(x.tolist(), y.tolist(), strict=True))
    covariance = math.fsum((a - mean_x) * (b - mean_y) for a, b in pairs) / n
    squares = math.fsum((a - mean_x) ** 2 + (b - mean_y) ** 2 for a, b in pairs) / n
    return 2 * covariance / (squares + (mean_x - mean_y) ** 2)


@given(case=cases())
def test_like_audmetric_and_a_naive_sum(case: Case) -> None:
    found = ours(case.x, case.y)
    assert found == pytest.approx(audmetric.concordance_cc(case.y, case.x), rel=0, abs=case.rounding)
    assert found == pytest.approx(naive(case.x, case.y), rel=0, abs=case.rounding)


@given(case=cases())
def test_torchmetrics_divides_by_n_minus_1(case: Case) -> None:
    found, other, n = ours(case.x, case.y), theirs(case.x, case.y), len(case.x)
    spread = n * (case.x.var() + case.y.var())
    gap = (case.x.mean() - case.y.mean()) ** 2
    expected = found * (spread + n * gap) / (spread + (n - 1) * gap)
    assert other == pytest.approx(expected, rel=0, abs=2 * case.rounding)
    assert abs(found) <= abs(other) + 2 * case.rounding
    assert abs(other) <= abs(found) * n / (n - 1) + 2 * case.rounding


def test_what_that_is_at_ten_samples() -> None:
    """Worked by hand: x = 0..9, y = x + 10: S = 2 * 82.5, gap 10."""
    x = np.arange(10.0)
    assert ours(x, x + 10) == pytest.approx(2 * 82.5 / (2 * 82.5 + 10 * 100), rel=1e-15)
    assert theirs(x, x + 10) == pytest.approx(2 * 82.5 / (2 * 82.5 + 9 * 100), rel=1e-15)
    assert ours(x, x + 10) == pytest.approx(0.1416, abs=5e-5)
    assert theirs(x, x + 10) == pytest.approx(0.1549, abs=5e-5)


@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0])
def test_float32_costs_torchmetrics_and_not_us(offset: float) -> None:
    """Its default is the tensors' float32: an offset of k standard deviations costs k of that type's last digits."""
    rng = np.random.default_rng(4)
    x = (rng.normal(0, 0.2, 5000) + offset).astype(np.float32)
    y = (0.5 * (x - offset) + offset + rng.normal(0, 0.1, 5000)).astype(np.float32)
    exact = naive(x.astype(np.float64), y.astype(np.float64))
    assert ours(x, y) == pytest.approx(exact, rel=1e-12)  # type: ignore[arg-type]  # computed in float64 all the same
    in_float64 = theirs(x.astype(np.float64), y.astype(np.float64))
    in_float32 = theirs(x.astype(np.float64), y.astype(np.float64), torch.float32)
    assert abs(in_float32 - in_float64) <= 8 * float(np.finfo(np.float32).eps) * (1 + offset / 0.1)
    assert in_float32 != in_float64


@given(case=cases(), share=st.floats(0, 0.5))
def test_missing_values_as_audmetric_ignores_them(case: Case, share: float) -> None:
    rng = np.random.default_rng(len(case.x))
    x, y = (np.where(rng.random(len(series)) < share, np.nan, series) for series in (case.x, case.y))
    kept = ~(np.isnan(x) | np.isnan(y))
    if kept.sum() < 3:
        return
    known = Case(x[kept], y[kept])
    expected = audmetric.concordance_cc(y, x, ignore_nan=True)
    assert ours(x, y) == pytest.approx(expected, rel=0, abs=known.rounding)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 1000, 7501])
def test_a_series_with_itself(n: int) -> None:
    x = np.random.default_rng(n).normal(size=n)
    assert ours(x, x.copy()) == 1.0
    assert audmetric.concordance_cc(x, x.copy()) == 1.0
    assert theirs(x, x.copy()) == pytest.approx(1, abs=8 * EPS)  # by way of two square roots


def test_constants() -> None:
    """Where the formula is 0/0 the libraries answer by how a mean happened to round; ours by the values."""
    varying = np.random.default_rng(0).normal(size=6)
    same, other = np.full(6, 0.1), np.full(6, 0.3)
    assert same.mean() != 0.1
    assert (ours(same, varying), ours(varying, same), ours(same, other)) == (0.0, 0.0, 0.0)
    assert audmetric.concordance_cc(varying, same) == pytest.approx(0, abs=EPS)
    assert audmetric.concordance_cc(other, same) == pytest.approx(0, abs=EPS)
    assert audmetric.concordance_cc(same, same) == pytest.approx(1)
    assert math.isnan(audmetric.concordance_cc(np.full(6, 0.25), np.full(6, 0.25)))
    for value in (0.1, 0.25):
        found = agreement(np.full(6, value), np.full(6, value))
        assert (found.ccc, found.cc, found.degenerate) == (1.0, None, True)
    with pytest.warns(UserWarning, match="close to zero"):
        assert math.isnan(theirs(np.full(6, 0.25), varying))
    with warnings.catch_warnings():  # warns or not by its rounding
        warnings.filterwarnings("ignore", "The variance of predictions or target is close to zero", UserWarning)
        assert theirs(same, varying) == pytest.approx(0, abs=EPS, nan_ok=True)


def test_one_sample() -> None:
    """Neither library has a CCC of one sample; ours is by definition, and flagged."""
    x, y = np.array([0.5]), np.array([0.25])
    assert (agreement(x, x).ccc, agreement(x, y).ccc, agreement(x, y).degenerate) == (1.0, 0.0, True)
    assert math.isnan(audmetric.concordance_cc(x, x))
    with pytest.warns(UserWarning, match="close to zero"):
        assert math.isnan(theirs(x, x))
