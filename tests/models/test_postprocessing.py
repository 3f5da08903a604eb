"""The chain's arithmetic on moments against the same done to the samples."""

from __future__ import annotations

import numpy as np
import pytest

from models.metrics import agreement, moments, stacked
from models.postprocessing import Chain, centred_and_scaled, choose, fine_shifts, partition_ccc, rescaled


def made(seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(4):
        y = rng.normal(size=200).cumsum() / 10
        found.append((0.3 * y + rng.normal(0, 0.2, 200) + 0.7, y))
    return found


def test_moments_move_as_samples_do() -> None:
    x, y = made()[0]
    of = moments(x[None], y[None])
    moved = rescaled(of, scale=-2.5, offset=0.4)
    direct = moments(-2.5 * x[None] + 0.4, y[None])
    for name in ("n", "mean_x", "mean_y", "ss_x", "ss_y", "sp_xy", "low_x", "high_x"):
        assert getattr(moved, name) == pytest.approx(getattr(direct, name), rel=1e-12)
    assert np.isnan(moved.squared_error).all()


@pytest.mark.parametrize("concatenated", [True, False])
def test_centring_and_scaling_by_the_partition(concatenated: bool) -> None:
    parts = made()
    of = stacked([moments(x[None], y[None])[0] for x, y in parts])
    chain = centred_and_scaled(Chain(), of, ("centre", "scale"), concatenated=concatenated)
    x, y = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    centred = x - x.mean() + y.mean()
    scaled = (centred - centred.mean()) * y.std() / x.std() + centred.mean()
    assert [step.kept for step in chain.steps] == [True, True]
    assert chain.scale * x + chain.offset == pytest.approx(scaled, abs=1e-12)
    first, last = chain.steps[0].before, chain.steps[1].after
    series = (
        [(x, centred, scaled)]
        if concatenated
        else [tuple(one[at : at + 200] for one in (x, centred, scaled)) for at in range(0, 800, 200)]
    )
    truth = [y] if concatenated else [y[at : at + 200] for at in range(0, 800, 200)]
    for value, which in ((first, 0), (chain.steps[0].after, 1), (last, 2)):
        each = [agreement(one[which], given).ccc for one, given in zip(series, truth, strict=True)]
        assert value == pytest.approx(float(np.mean([score for score in each if score is not None])), rel=1e-9)


@pytest.mark.parametrize("concatenated", [True, False])
def test_a_recording_that_a_rater_did_not_rate_changes_nothing(concatenated: bool) -> None:
    of = [moments(x[None], y[None])[0] for x, y in made()]
    nothing = moments(np.full((1, 200), np.nan), np.full((1, 200), np.nan))[0]
    chains = [
        centred_and_scaled(Chain(), stacked(parts), ("centre", "scale"), concatenated=concatenated)
        for parts in (of, [*of, nothing])
    ]
    assert chains[0] == chains[1]


def test_what_does_not_help_is_left_out() -> None:
    y = np.sin(np.arange(300) / 9)
    of = stacked([moments(y[None], y[None])[0]])
    chain = centred_and_scaled(Chain(), of, ("centre", "scale"), concatenated=True)
    assert (chain.scale, chain.offset, [step.kept for step in chain.steps]) == (1.0, 0.0, [False, False])
    kept = choose(Chain(), "median", (0.4, 2.0), 0.5, np.array([0.6, np.nan]))
    assert (kept.median_seconds, kept.steps[0].kept) == (0.4, True)
    worse = choose(Chain(), "shift", (0.4, 2.0), 0.5, np.array([0.5, 0.4]))
    assert (worse.shift_seconds, worse.steps[0].kept) == (0.0, False)


def test_a_constant_prediction_is_left_alone() -> None:
    y = np.sin(np.arange(300) / 9)
    of = stacked([moments(np.full((1, 300), 0.1), y[None])[0]])
    chain = centred_and_scaled(Chain(), of, ("centre", "scale"), concatenated=True)
    assert (chain.scale, chain.offset) == (1.0, 0.0)
    assert float(partition_ccc(of, concatenated=True)) == 0.0


def test_shifts_stay_within_those_of_the_paper() -> None:
    assert fine_shifts(0.4)[0] == 0.04
    assert fine_shifts(10.0)[-1] == 10.0
    assert len(fine_shifts(5.2)) == 19
