"""Hidden valence and the six raters."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.demo.ratings import HEADER, RATERS, hidden_valence, rate, ratings_csv
from tasks.demo.subjects import RECORDINGS, generator

FRAMES = 1000


def test_hidden_valence_is_varied_and_centred() -> None:
    curves = np.array([hidden_valence(recording, FRAMES, seed=0) for recording in RECORDINGS])
    assert np.abs(curves).max() < 1
    assert abs(curves.mean()) < 0.15
    assert curves.std(axis=1).min() > 0.25
    assert np.abs(np.diff(curves, axis=1)).max() < 0.06  # smooth
    between = np.corrcoef(curves)[np.triu_indices(len(curves), 1)]
    assert abs(between.mean()) < 0.2
    assert not np.array_equal(curves[0], hidden_valence(RECORDINGS[0], FRAMES, seed=1))


@pytest.mark.parametrize("rater", RATERS, ids=lambda rater: rater.name)
def test_a_raters_delay_can_be_found_again(rater: object) -> None:
    known = next(one for one in RATERS if one is rater)
    lags = np.arange(0, 126)
    found = np.zeros(len(lags))
    for recording in RECORDINGS:
        valence = hidden_valence(recording, FRAMES, seed=0)
        rating = rate(valence, known, generator(0, recording, known.name))[:-1]
        for position, lag in enumerate(lags):
            end = FRAMES - lags[-1]
            found[position] += np.corrcoef(valence[:end], rating[lag : lag + end])[0, 1]
    # Until the delay is over the rating is zero; that part stands in every lag but the true one and beyond.
    assert lags[found.argmax()] * 0.04 == pytest.approx(known.delay_seconds, abs=0.2)


def test_a_raters_bias_and_scale_are_those_stated() -> None:
    for rater in RATERS:
        late = round(rater.delay_seconds / 0.04)
        pairs = []
        for recording in RECORDINGS:
            valence = hidden_valence(recording, FRAMES, seed=0)
            rating = rate(valence, rater, generator(0, recording, rater.name))
            pairs.append(np.column_stack([valence[: FRAMES + 1 - late], rating[late:]]))
        shown, rated = np.concatenate(pairs).T
        scale, bias = np.polyfit(shown, rated, 1)
        assert scale == pytest.approx(rater.scale, abs=0.06)
        assert bias == pytest.approx(rater.bias, abs=0.06)


def test_nothing_is_rated_before_the_delay_is_over() -> None:
    for rater in RATERS:
        rating = rate(np.full(200, 0.9), rater, np.random.default_rng(0))
        late = round(rater.delay_seconds / 0.04)
        assert not rating[:late].any()
        assert rating[late + 1 :].all()
        assert len(rating) == 201


def test_a_recording_shorter_than_the_delay_is_all_zero() -> None:
    slow = max(RATERS, key=lambda rater: rater.delay_seconds)
    rating = rate(np.full(40, 0.9), slow, np.random.default_rng(0))
    assert rating.shape == (41,)
    assert not rating.any()


def test_header_has_recolas_trailing_spaces() -> None:
    assert HEADER == "time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3"
    assert ratings_csv("P16", np.zeros(25), seed=0).startswith(HEADER + "\n0.00;")
