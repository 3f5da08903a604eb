"""The centred mean against its definition written out, and its freedom from delay."""

from __future__ import annotations

import numpy as np
import pytest

from models.smoothing import centred_mean


@pytest.mark.parametrize("seconds", [0.001, 0.5, 1.0, 100.0])
def test_it_is_the_mean_of_what_lies_around(seconds: float) -> None:
    dice = np.random.default_rng(5)
    times = np.cumsum(dice.uniform(0.005, 0.2, 300))
    values = np.where(dice.random(300) < 0.2, np.nan, dice.normal(size=300))
    smooth = centred_mean(times, values, seconds=seconds)
    for at, value, found in zip(times, values, smooth, strict=True):
        if np.isnan(value):
            assert np.isnan(found)
        else:
            around = values[(np.abs(times - at) <= seconds / 2 + 1e-9) & ~np.isnan(values)]
            np.testing.assert_allclose(found, around.mean(), rtol=1e-9, atol=1e-12)


def test_a_symmetric_curve_stays_symmetric() -> None:
    """No delay: a peak stays where it is."""
    times = np.arange(201) / 25
    peak = np.exp(-((times - times[100]) ** 2))
    smooth = centred_mean(times, peak, seconds=1.0)
    np.testing.assert_allclose(smooth, smooth[::-1], rtol=0, atol=1e-12)
    assert smooth.argmax() == 100


def test_nothing_known_stays_unknown_and_a_window_is_wanted() -> None:
    assert np.isnan(centred_mean(np.arange(3.0), np.full(3, np.nan), seconds=1.0)).all()
    assert centred_mean(np.empty(0), np.empty(0), seconds=1.0).shape == (0,)
    with pytest.raises(ValueError, match="more than 0, found 0"):
        centred_mean(np.arange(3.0), np.zeros(3), seconds=0)
