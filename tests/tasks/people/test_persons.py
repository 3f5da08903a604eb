"""Whose a track is, beside scipy's clustering."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from schemas.tables import EMBEDDING_SIZE
from tasks.faces.identity import Embedding
from tasks.people import persons
from tasks.people.persons import TrackSummary, persons_of

THRESHOLD = 0.55


def point(axis: int, noise: int | None = None) -> Embedding:
    """Somebody's embedding; persons are 1.4 apart, and `noise` moves one by 0.2 at most."""
    found = np.zeros(EMBEDDING_SIZE, dtype=np.float32)
    found[axis] = 1
    if noise is not None:
        found[64:] = np.random.default_rng(noise).uniform(-0.025, 0.025, 64)
    return found


def summary(mean: Embedding, first: int, last: int, *, size: int = 1, beside_main: bool = False) -> TrackSummary:
    return TrackSummary(first=first, last=last, mean=mean, num_embeddings=size, is_beside_main=beside_main)


def test_the_main_person_is_known_by_the_reference_and_never_beside_oneself() -> None:
    one = summary(point(0, 1), 0, 10)
    beside = summary(point(0, 2), 10, 30, beside_main=True)
    assert persons_of([[one, beside]], point(0), threshold=THRESHOLD) == [0, 1]
    assert persons_of([[one, beside]], None, threshold=THRESHOLD) == [1, 1]
    assert persons_of([], point(0), threshold=THRESHOLD) == []


def test_two_tracks_in_one_frame_are_two_persons_for_good() -> None:
    twins = [summary(point(1, 1), 0, 10), summary(point(1, 2), 9, 30)]
    later = [summary(point(1, 3), 40, 41)]
    found = persons_of([twins, later], point(0), threshold=THRESHOLD)
    assert found[0] != found[1]
    assert found[2] in found[:2]
    assert persons_of([[twins[0], summary(point(1, 2), 10, 30)]], None, threshold=THRESHOLD) == [1, 1]


def test_persons_are_numbered_by_frames_then_by_when_they_are_first_seen() -> None:
    first = [summary(point(1), 0, 5), summary(point(2), 2, 7), summary(point(3), 3, 8)]
    second = [summary(point(3, 1), 10, 11), summary(point(4), 10, 40)]
    assert persons_of([first, second], None, threshold=THRESHOLD) == [3, 4, 2, 2, 1]


@given(count=st.integers(2, 25), seed=st.integers(0, 1000), threshold=st.floats(0.2, 1.1))
def test_tracks_are_joined_as_scipy_joins_them(count: int, seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 0.06, (3, EMBEDDING_SIZE))
    means = (centres[rng.integers(0, 3, count)] + rng.normal(0, 0.025, (count, EMBEDDING_SIZE))).astype(np.float32)
    segments = [[summary(mean, at, at + 1)] for at, mean in enumerate(means)]
    ours = np.array(persons_of(segments, None, threshold=threshold))
    theirs = fcluster(linkage(means.astype(np.float64), "average"), threshold, "distance")
    np.testing.assert_array_equal(np.equal.outer(ours, ours), np.equal.outer(theirs, theirs))


def test_many_tracks_are_joined_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    segments = [
        [summary(point(1 + axis, at * 3 + axis), at * 10, at * 10 + 5 - axis) for axis in range(3)] for at in range(30)
    ]
    at_once = persons_of(segments, point(0), threshold=THRESHOLD)
    assert at_once == [1, 2, 3] * 30
    for most in (1, 7, 20):
        monkeypatch.setattr(persons, "MOST_TRACKS", most)
        assert persons_of(segments, point(0), threshold=THRESHOLD) == at_once
