"""The search for delays against ridge regression written out fold by fold, and on raters of known delays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from models.delay import DELAYS, RIDGE, DelaySample, delayed_labels, search_delays
from models.labels import labels_at_frames
from models.metrics import agreement

FloatArray = npt.NDArray[np.float64]

LATE = (0.0, 2.0, 4.4)


def sample(seed: int, *, frames: int = 1500, noise: float = 0.3) -> DelaySample:
    """Features that show a hidden curve; raters who follow it late; a stretch without a face; labels missing."""
    rng = np.random.default_rng(seed)
    times = np.arange(frames, dtype=np.float64) / 25
    wide = np.arange(-20 * 25, frames, dtype=np.float64) / 25
    hidden = np.convolve(rng.normal(size=wide.size), np.hanning(60), "same")
    hidden /= hidden.std()
    mixing = np.random.default_rng(0).normal(size=8)
    seen = hidden[-frames:, None] * mixing + rng.normal(0, 1, (frames, 8))
    seen[:, 7] = 0.5  # a feature that never varies
    labels = np.column_stack([np.interp(times - delay, wide, hidden) for delay in LATE])
    labels += rng.normal(0, noise, labels.shape) + seed / 10
    labels[200:230, 1] = np.nan
    with_face = np.ones(frames, dtype=bool)
    with_face[500:560] = False
    return DelaySample(seen[with_face], times[with_face], times, labels)


def direct_ccc(samples: list[DelaySample], rater: int, delay: float) -> float:
    """Leave one recording out, standardise, solve, predict, join."""
    rows = []
    for one in samples:
        every = [
            labels_at_frames(one.frame_times, one.label_times, one.labels, delay_seconds=d)[:, rater] for d in DELAYS
        ]
        use = ~np.isnan(np.column_stack(every)).any(axis=1)
        rows.append((one.features[use], every[DELAYS.index(delay)][use]))
    predicted, wanted = [], []
    for held_out, (features, labels) in enumerate(rows):
        x = np.concatenate([f for k, (f, _) in enumerate(rows) if k != held_out])
        y = np.concatenate([v for k, (_, v) in enumerate(rows) if k != held_out])
        mean, std = x.mean(axis=0), x.std(axis=0)
        keep = std > 1e-9
        z = (x[:, keep] - mean[keep]) / std[keep]
        weights = np.linalg.solve(z.T @ z + RIDGE * len(z) * np.eye(z.shape[1]), z.T @ (y - y.mean()))
        predicted.append((features[:, keep] - mean[keep]) / std[keep] @ weights + y.mean())
        wanted.append(labels)
    found = agreement(np.concatenate(predicted), np.concatenate(wanted)).ccc
    assert found is not None
    return found


def test_like_ridge_fold_by_fold() -> None:
    samples = [sample(seed) for seed in range(4)]
    curves = search_delays(samples, num_raters=3)
    for rater, delay in ((0, 0.0), (1, 2.0), (1, 9.6), (2, 4.4)):
        expected = direct_ccc(samples, rater, delay)
        assert curves.ccc[DELAYS.index(delay), rater] == pytest.approx(expected, abs=1e-9)
    assert curves.recordings.tolist() == [4, 4, 4]
    assert (curves.n == curves.n[0]).all()
    assert curves.n[0, 1] < curves.n[0, 0]


def test_known_delays_are_found() -> None:
    curves = search_delays([sample(seed) for seed in range(3)], num_raters=3)
    np.testing.assert_allclose(curves.best(), LATE, atol=0.4)
    assert (curves.ccc.max(axis=0) > 0.5).all()


def test_fewer_than_three_recordings() -> None:
    with pytest.raises(ValueError, match="2 recordings"):
        search_delays([sample(0), sample(1)], num_raters=3)
    samples = [sample(seed) for seed in range(3)]
    samples[2].labels[:, 1] = np.nan
    with pytest.raises(ValueError, match="2 recordings") as caught:
        search_delays(samples, num_raters=3)
    assert caught.value.args[1:] == (1, 2)


def test_a_constant_rater_has_no_best_delay() -> None:
    samples = [sample(seed) for seed in range(3)]
    for one in samples:
        one.labels[:, 0] = 0.5
    curves = search_delays(samples, num_raters=3)
    assert np.isnan(curves.ccc[:, 0]).all()
    assert np.isnan(curves.best()[0])
    assert not np.isnan(curves.best()[1:]).any()


def test_each_rater_has_a_delay_of_their_own() -> None:
    times = np.arange(100, dtype=np.float64) / 25
    labels = np.column_stack([np.arange(100.0), np.arange(100.0), np.arange(100.0)])
    found = delayed_labels(times, times, labels, [0.0, 0.4, 0.4])
    np.testing.assert_array_equal(found[:, 0], labels[:, 0])
    np.testing.assert_array_equal(found[:90, 1], labels[10:, 1])
    assert np.isnan(found[90:, 1:]).all()
    np.testing.assert_array_equal(delayed_labels(times, times, labels, 0.4)[:, 0], found[:, 2])
