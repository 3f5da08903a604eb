"""The mean curve over training recordings where ratings begin before the video, against sums written here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from tasks.evaluation.plan import TRAINING_MEAN_CURVE
from tasks.evaluation.predictors import TrivialPredictor
from tasks.evaluation.targets import Targets

FloatArray = npt.NDArray[np.float64]

SPANS = [(-2.0, -0.4), (-3.0, 1.0), (0.2, 2.0)]


def rated(turn: int, start: float, end: float) -> Targets:
    """One rater at every .04 s from `start` to `end`."""
    times = np.round(np.arange(round(start / 0.04), round(end / 0.04) + 1) * 0.04, 2)
    values = np.random.default_rng(turn).uniform(-1, 1, (1, times.size))
    return Targets(f"A{turn}", times, ("FM1",), values, {}, apart=True)


@pytest.mark.parametrize("order", [(0,), (0, 1, 2), (1, 0), (2, 0)])
def test_ratings_before_the_video_have_places_of_their_own(order: Sequence[int]) -> None:
    training = [rated(turn, *SPANS[turn]) for turn in order]
    wanted = rated(9, -3.4, 2.4)
    pairs = TrivialPredictor(TRAINING_MEAN_CURVE, iter(training)).pairs(wanted)
    assert pairs is not None
    every = np.concatenate([one.ratings[0] for one in training])
    ends = min(one.times[0] for one in training), max(one.times[-1] for one in training)
    for time, found in zip(wanted.times, pairs.predicted[0], strict=True):
        here = [one.ratings[0][np.isclose(one.times, time)] for one in training]
        given = np.concatenate(here)
        if given.size:
            assert found == pytest.approx(given.mean(), abs=1e-9)
        elif not ends[0] < time < ends[1]:
            assert found == pytest.approx(every.mean(), abs=1e-12)
