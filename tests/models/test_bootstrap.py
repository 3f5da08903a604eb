"""Bootstrap from moments against scoring the drawn recordings' own samples, one replicate after another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from models.bootstrap import concatenated_replicates, interval, mean_replicates, resamples
from models.metrics import METRICS, agreement, merged, moments, no_moments, scores, stacked

FloatArray = npt.NDArray[np.float64]


def recordings(count: int, raters: int, *, seed: int = 0) -> list[tuple[FloatArray, FloatArray]]:
    """Series of unequal length around offsets of their own, with gaps."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        n = int(rng.integers(5, 90))
        x = rng.normal(size=(raters, n)).cumsum(axis=1) / 4 + 100
        y = 0.5 * x + rng.normal(size=(raters, n)) + 50
        y[rng.random((raters, n)) < 0.1] = np.nan
        found.append((x, y))
    return found


def test_draws_are_seeded_and_whole() -> None:
    draws = resamples(7, replicates=50, seed=3)
    assert draws.shape == (50, 7)
    assert (draws.sum(axis=1) == 7).all()
    assert (draws == resamples(7, replicates=50, seed=3)).all()
    assert not (draws == resamples(7, replicates=50, seed=4)).all()


def test_replicates_are_those_of_the_samples() -> None:
    made = recordings(6, 3)
    of = stacked([moments(x, y) for x, y in made])
    draws = resamples(6, replicates=40, seed=1)
    joined = concatenated_replicates(of, draws)
    single = scores(of)
    for metric in METRICS:
        means = mean_replicates(single[metric], draws)
        for replicate, counts in enumerate(draws.astype(int)):
            drawn = [part for part, count in zip(made, counts, strict=True) for _ in range(count)]
            for rater in range(3):
                x, y = (np.concatenate([part[side][rater] for part in drawn]) for side in (0, 1))
                expected = getattr(agreement(x, y), metric)
                assert joined[metric][replicate, rater] == pytest.approx(expected, rel=1e-9)
                each = [getattr(agreement(part[0][rater], part[1][rater]), metric) for part in drawn]
                assert means[replicate, rater] == pytest.approx(float(np.mean(each)), rel=1e-9)


def test_merged_moments_are_those_of_everything_joined() -> None:
    made = recordings(9, 2, seed=5)
    whole = scores(merged(stacked([moments(x, y) for x, y in made])))
    for rater in range(2):
        x, y = (np.concatenate([part[side][rater] for part in made]) for side in (0, 1))
        for metric in METRICS:
            assert whole[metric][rater] == pytest.approx(getattr(agreement(x, y), metric), rel=1e-11)


def test_a_recording_without_samples_and_a_constant_prediction() -> None:
    rng = np.random.default_rng(0)
    flat = [moments(np.full((1, 30), 0.1), rng.normal(size=(1, 30))) for _ in range(4)]
    of = stacked([*flat, no_moments((1,))])
    draws = resamples(5, replicates=200, seed=0)
    found = concatenated_replicates(of, draws)
    known = draws[:, :4].sum(axis=1) > 0
    assert (found["ccc"][known] == 0).all()
    assert np.isnan(found["cc"]).all()
    assert np.isfinite(found["rmse"][known]).all()


def test_intervals_are_percentiles() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(400, 3))
    values[:150, 1] = np.nan
    values[:201, 2] = np.nan
    low, high = interval(values)
    for column in (0, 1):
        known = values[:, column][np.isfinite(values[:, column])]
        assert (low[column], high[column]) == pytest.approx(tuple(np.percentile(known, [2.5, 97.5])), rel=1e-12)
    assert np.isnan([low[2], high[2]]).all()


def test_an_interval_covers_the_truth() -> None:
    """Of 200 samples of 40 recordings, the interval of the mean bias holds the true one about as often as it says."""
    rng = np.random.default_rng(7)
    hits = 0
    for seed in range(200):
        bias = rng.normal(0.3, 0.2, size=40)
        values = np.abs(bias)[:, None]
        low, high = interval(mean_replicates(values, resamples(40, replicates=300, seed=seed)))
        truth = 0.2 * np.sqrt(2 / np.pi) * np.exp(-(0.3**2) / (2 * 0.2**2)) + 0.3 * (1 - 2 * _normal(-0.3 / 0.2))
        hits += bool(low[0] <= truth <= high[0])
    assert 180 <= hits <= 198


def _normal(x: float) -> float:
    from scipy import stats

    return float(stats.norm.cdf(x))
