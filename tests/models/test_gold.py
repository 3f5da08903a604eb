"""Gold standards against sums written out sample by sample, and against a published one."""

from __future__ import annotations

import math
from pathlib import Path

import audmetric
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import savgol_filter

from models.gold import fuse
from models.metrics import agreement
from schemas.evaluation import Fusion

FloatArray = npt.NDArray[np.float64]

SHARED = Path(__file__).parents[3] / "shared" / "data" / "traces"

FUSIONS: tuple[Fusion, ...] = ("mean", "ewe", "ewe-loo", "avec2018")


def ratings(*, missing: float = 0.0, seed: int = 0, raters: int = 4) -> FloatArray:
    rng = np.random.default_rng(seed)
    curve = np.cumsum(rng.normal(0, 0.05, 300))
    values = curve[:, None] * rng.uniform(0.3, 1.2, raters) + rng.normal(0, 0.2, (300, raters))
    values += rng.normal(0, 0.3, raters)
    values[rng.random(values.shape) < missing] = np.nan
    return values


def known_mean(row: FloatArray) -> float:
    some = [v for v in row if not math.isnan(v)]
    return math.fsum(some) / len(some) if some else math.nan


def direct_weights(values: FloatArray, fusion: Fusion) -> list[float]:
    raters = values.shape[1]
    weights = []
    for a in range(raters):
        if fusion == "avec2018":
            others = [values[:, b] for b in range(raters) if b != a]
            pairs = [audmetric.concordance_cc(other, values[:, a], ignore_nan=True) for other in others]
            weights.append(math.fsum(pairs) / len(pairs))
            continue
        held_against = values if fusion == "ewe" else np.delete(values, a, axis=1)
        reference = np.array([known_mean(row) for row in held_against])
        both = ~(np.isnan(values[:, a]) | np.isnan(reference))
        weights.append(max(0.0, float(stats.pearsonr(values[both, a], reference[both]).statistic)))
    return weights


def direct(values: FloatArray, fusion: Fusion) -> tuple[list[float], list[float]]:
    """The definitions of the literature and of the challenge, one sample at a time."""
    means = [known_mean(row) for row in values]
    if fusion == "mean":
        return means, [1.0] * values.shape[1]
    weights = direct_weights(values, fusion)
    if fusion == "avec2018":
        rater_means = [known_mean(column) for column in values.T]
        m = math.fsum(w * mean for w, mean in zip(weights, rater_means, strict=True)) / math.fsum(weights)
        overall = known_mean(np.array(means))
        return [mean - overall + m for mean in means], weights
    fused = []
    for row in values:
        some = [(w, v) for w, v in zip(weights, row, strict=True) if not math.isnan(v)]
        below = math.fsum(w for w, _ in some)
        fused.append(math.fsum(w * v for w, v in some) / below if below else math.nan)
    return fused, weights


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("seed", [0, 1])
def test_like_the_definitions(fusion: Fusion, missing: float, seed: int) -> None:
    values = ratings(missing=missing, seed=seed)
    found = fuse(values, fusion)
    expected, weights = direct(values, fusion)
    np.testing.assert_allclose(found.values, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-10, atol=1e-12)
    assert found.fallback is None


def test_avec2018_is_the_mean_moved() -> None:
    values = ratings(seed=5)
    step = fuse(values, "avec2018").values - values.mean(axis=1)
    np.testing.assert_allclose(step, step[0])
    assert abs(step[0]) > 0.001


def test_a_flipped_rater_has_no_weight() -> None:
    values = ratings(seed=2)
    values[:, 1] *= -1
    for fusion in ("ewe", "ewe-loo"):
        found = fuse(values, fusion)
        assert found.weights[1] == 0
        rest = found.weights[[0, 2, 3]]
        np.testing.assert_allclose(found.values, values[:, [0, 2, 3]] @ rest / rest.sum())


@pytest.mark.parametrize("fusion", FUSIONS)
def test_raters_of_nan_constant_and_alone(fusion: Fusion) -> None:
    values = ratings(seed=3)
    of_nan = np.column_stack([values, np.full(300, np.nan)])
    found = fuse(of_nan, fusion)
    np.testing.assert_allclose(found.values, fuse(values, fusion).values, rtol=1e-12, atol=1e-15)
    assert np.isnan(found.weights[4])
    constant = fuse(np.column_stack([values, np.full(300, 0.3)]), fusion)
    assert constant.weights[4] == (1 if fusion == "mean" else 0)
    alone = fuse(values[:, :1], fusion)
    np.testing.assert_array_equal(alone.values, values[:, 0])
    assert (alone.fallback is None) == (fusion == "mean")
    nobody = fuse(np.full((5, 2), np.nan), fusion)
    assert np.isnan(nobody.values).all()
    gap = values.copy()
    gap[100:120] = np.nan
    np.testing.assert_array_equal(np.isnan(fuse(gap, fusion).values), np.arange(300) // 20 == 5)


@pytest.mark.parametrize("fusion", ["ewe", "ewe-loo", "avec2018"])
def test_raters_who_all_disagree(fusion: Fusion) -> None:
    t = np.arange(1000.0) / 1000 * 2 * np.pi
    values = np.column_stack([np.sin(t), np.sin(t + 2 * np.pi / 3), np.sin(t + 4 * np.pi / 3)])
    if fusion == "ewe":  # of exact opposites the mean is 0 and correlates with nobody
        values = np.column_stack([np.sin(t), -np.sin(t)])
    found = fuse(values, fusion)
    np.testing.assert_allclose(found.values, values.mean(axis=1), atol=1e-12)
    assert found.fallback is not None
    assert "do not agree" in found.fallback


def test_the_rounding_of_a_mean_weighs_nobody() -> None:
    """Of opposites whose sum is 0 on paper the mean is rounding, and correlates with raters by chance."""
    one, other = np.random.default_rng(0).normal(size=(2, 200))
    values = np.column_stack([one, other, -one, -other])
    mean = values.mean(axis=1)
    assert 0 < np.abs(mean).max() < 1e-15
    assert max(np.corrcoef(column, mean)[0, 1] for column in values.T) > 0.1
    found = fuse(values, "ewe")
    np.testing.assert_array_equal(found.weights, 0)
    assert found.fallback is not None
    assert "do not agree" in found.fallback


def test_two_who_never_moved_do_not_set_the_level() -> None:
    """Equal constants have no CCC: in `avec2018` the two weigh nothing, and the third alone agrees with nobody."""
    values = ratings(seed=1, raters=3)
    values[:, :2] = 0.5
    found = fuse(values, "avec2018")
    np.testing.assert_array_equal(found.weights, 0)
    assert found.fallback is not None
    np.testing.assert_allclose(found.values, values.mean(axis=1))


@given(st.integers(0, 30), st.floats(0.2, 3), st.floats(-1, 1))
def test_scaled_and_shifted_together(seed: int, scale: float, shift: float) -> None:
    values = ratings(seed=seed, missing=0.1)
    for fusion in FUSIONS:
        moved = fuse(values * scale + shift, fusion)
        np.testing.assert_allclose(moved.values, fuse(values, fusion).values * scale + shift, rtol=1e-8, atol=1e-10)


@pytest.mark.shared
@pytest.mark.parametrize("fusion", FUSIONS)
def test_like_the_published_one(fusion: Fusion) -> None:
    """Three raters of the MuSe-Toolbox's example and the gold standard it ships, row by row: Pearson .997.

    What differs, and why. The toolbox smooths, standardises and warps the raters onto each other in time before it
    fuses them, and rescales after: its series is smoother (smoothing ours brings it nearer), lies lower and is wider,
    which a correlation does not see and CCC does. Its clock starts at 0 ms where the raters' first sample is at 0.5 s:
    rows, not times, belong together, and no shift by whole rows correlates better.
    """
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent: the shared test recordings are not part of the project")
    raw = np.loadtxt(SHARED / "muse_11_arousal_raw.csv", delimiter=",", skiprows=1)[:, 1:]
    published = np.loadtxt(SHARED / "muse_11_arousal_gold.csv", delimiter=",", skiprows=1)[:, 1]
    found = fuse(raw, fusion).values
    correlation = stats.pearsonr(found, published).statistic
    assert correlation >= 0.99
    assert correlation == pytest.approx(0.997, abs=0.0005)
    assert stats.pearsonr(savgol_filter(found, 15, 3), published).statistic > correlation
    for shift in (1, 2):
        assert stats.pearsonr(found[shift:], published[:-shift]).statistic < correlation
        assert stats.pearsonr(found[:-shift], published[shift:]).statistic < correlation
    assert published.mean() < found.mean() - 0.07
    assert published.std() > 1.15 * found.std()
    concordance = agreement(found, published).ccc
    assert concordance is not None
    assert 0.9 < concordance < correlation
