"""Labels meet frames by time: beside loops over every pair."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.labels import frames_at_labels, labels_at_frames, median_step, nearest

FloatArray = npt.NDArray[np.float64]


def ticks(count: int) -> FloatArray:
    """0, 1, 2, ... as float64."""
    return np.arange(count, dtype=np.float64)


def predictions_at_labels(
    label_times: FloatArray, frame_times: FloatArray, predictions: FloatArray, *, delay_seconds: float = 0.0
) -> FloatArray:
    """`predictions` `[frame, rater]` at each label, NaN where no frame is near enough."""
    found = np.full((label_times.size, predictions.shape[1]), np.nan)
    match = frames_at_labels(label_times, frame_times, delay_seconds=delay_seconds)
    found[match >= 0] = predictions[match[match >= 0]]
    return found


TICKS = st.lists(st.integers(0, 400), min_size=1, max_size=25, unique=True).map(sorted)


def naive_nearest(times: FloatArray, wanted: float, tolerance: float) -> int:
    """Smallest distance wins, the earlier of two equal ones; times are whole milliseconds here."""
    distances = [round(abs(time - wanted), 9) for time in times]
    best = distances.index(min(distances))
    return best if distances[best] <= round(tolerance, 9) else -1


@given(millis=TICKS, wanted=st.lists(st.integers(-20, 420), max_size=10), tolerance=st.integers(0, 50))
def test_nearest_is_that_of_a_loop(millis: list[int], wanted: list[int], tolerance: int) -> None:
    times, queries = np.array(millis, dtype=np.float64) / 1000, np.array(wanted, dtype=np.float64) / 1000
    found = nearest(times, queries, tolerance_seconds=tolerance / 1000)
    assert found.tolist() == [naive_nearest(times, query, tolerance / 1000) for query in queries]


def test_ties_go_to_the_earlier() -> None:
    times = ticks(10) * 0.04
    middles = times[:-1] + 0.02
    np.testing.assert_array_equal(nearest(times, middles, tolerance_seconds=0.02), ticks(9))
    shifted = times + 7 / 30  # the same halves, not representable: within a nanosecond they are ties still
    np.testing.assert_array_equal(nearest(shifted, middles + 7 / 30, tolerance_seconds=0.02), ticks(9))
    assert nearest(times, np.array([0.0201]), tolerance_seconds=0.02).tolist() == [1]
    assert nearest(times, np.array([-0.02, -0.021, 0.381]), tolerance_seconds=0.02).tolist() == [0, -1, -1]
    assert nearest(np.empty(0), np.array([1.0]), tolerance_seconds=1).tolist() == [-1]


def test_median_step() -> None:
    assert median_step(np.array([0.0, 0.04, 0.08, 5.0])) == pytest.approx(0.04)
    assert median_step(np.array([1.0])) == 0.0


def test_recolas_last_label_stays_unmatched() -> None:
    """7,501 labels from 0 to 300 s, 7,500 frames: all frames labelled in order, one label left over."""
    label_times, frame_times = np.round(ticks(7501) * 0.04, 2).astype(np.float64), ticks(7500) / 25
    labels = np.arange(7501, dtype=np.float64)[:, None]
    at_frames = labels_at_frames(frame_times, label_times, labels)
    np.testing.assert_array_equal(at_frames[:, 0], ticks(7500))
    at_labels = predictions_at_labels(label_times, frame_times, np.arange(7500, dtype=np.float64)[:, None])
    np.testing.assert_array_equal(at_labels[:7500, 0], ticks(7500))
    assert np.isnan(at_labels[:, 0]).sum() == 1
    assert np.isnan(at_labels[7500, 0])


def test_frames_that_start_late_keep_their_time() -> None:
    label_times = ticks(100) * 0.04
    frame_times = 0.4 + ticks(80) * 0.04
    found = labels_at_frames(frame_times, label_times, label_times[:, None])
    np.testing.assert_allclose(found[:, 0], frame_times, atol=1e-9)


def test_dropped_frames_shift_nothing() -> None:
    label_times = ticks(200) * 0.04
    frame_times = np.delete(ticks(200) * 0.04, np.arange(50, 90))
    found = labels_at_frames(frame_times, label_times, label_times[:, None])
    np.testing.assert_allclose(found[:, 0], frame_times, atol=1e-9)
    back = predictions_at_labels(label_times, frame_times, frame_times[:, None])
    assert np.isnan(back[50:90, 0]).all()
    np.testing.assert_allclose(back[:50, 0], label_times[:50], atol=1e-9)


@pytest.mark.parametrize("delay", [0.4, 2.0])
def test_delay_directions(delay: float) -> None:
    """A rater who answers `delay` late: the label at t + delay belongs to the frame at t, and back again."""
    times = ticks(250) * 0.04
    face = np.sin(times)
    said = np.sin(times - delay)  # the rating shows what the face showed `delay` earlier
    at_frames = labels_at_frames(times, times, said[:, None], delay_seconds=delay)[:, 0]
    steps = round(delay / 0.04)
    np.testing.assert_allclose(at_frames[: 250 - steps], face[: 250 - steps], atol=1e-9)
    assert np.isnan(at_frames[250 - steps :]).all()
    at_labels = predictions_at_labels(times, times, face[:, None], delay_seconds=delay)[:, 0]
    np.testing.assert_allclose(at_labels[steps:], said[steps:], atol=1e-9)
    assert np.isnan(at_labels[:steps]).all()


def test_sparse_labels_are_interpolated_between_neighbours() -> None:
    frame_times = ticks(100) / 25
    label_times = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
    labels = np.column_stack([label_times**2, -label_times])
    labels[2, 1] = np.nan
    found = labels_at_frames(frame_times, label_times, labels)
    for time, row in zip(frame_times, found, strict=True):
        inside = 0.5 <= time <= 3.0
        unsaid = not inside or 1.0 < time < 2.0  # the second rater gave nothing between 1 and 2 s
        assert np.isnan(row).tolist() == [not inside, unsaid]
        if inside:
            k = min(int((time - 0.5) / 0.5), 4)
            low, high = label_times[k], label_times[k + 1]
            weight = (time - low) / (high - low)
            assert row[0] == pytest.approx((1 - weight) * low**2 + weight * high**2, abs=1e-9)
        if not unsaid:
            assert row[1] == pytest.approx(-time, abs=1e-9)


@pytest.mark.parametrize("how", ["rows left out", "empty cells"])
@pytest.mark.parametrize("step", [0.04, 0.1, 0.5])
def test_nobody_speaks_for_forty_seconds_in_sparse_labels_as_in_dense_ones(how: str, step: float) -> None:
    label_times, frame_times = ticks(round(100 / step)) * step, ticks(2500) / 25
    labels, silent = np.sin(label_times)[:, None], (label_times > 29.9) & (label_times < 70.1)
    if how == "empty cells":
        labels[silent] = np.nan
    else:
        label_times, labels = label_times[~silent], labels[~silent]
    found = labels_at_frames(frame_times, label_times, labels)[:, 0]
    said = label_times[~np.isnan(labels[:, 0])]
    before, after = said[said < 50].max(), said[said > 50].min()
    reach = step / 2 + 0.001 if step == 0.04 else 1e-9  # beyond the last label: dense ones serve half a step
    given = ~np.isnan(found)
    assert given[(frame_times < before - 1e-9) | ((frame_times > after + 1e-9) & (frame_times <= said.max()))].all()
    assert not given[(frame_times > before + reach) & (frame_times < after - reach)].any()


def test_the_bridge_is_as_long_as_the_raters_own_steps_allow() -> None:
    """One rater gives a value each second, the other each half: gaps of the first are nothing's lack."""
    label_times, frame_times = ticks(41) / 2, ticks(500) / 25
    labels = np.column_stack([label_times, label_times])
    labels[1::2, 0] = np.nan
    labels[20, :] = np.nan  # 10 s: a gap of 2 s for the first, of 1 s for the second
    found = labels_at_frames(frame_times, label_times, labels)
    for column, low, high in ((0, 9.0, 11.0), (1, 9.5, 10.5)):
        missing = (frame_times > low) & (frame_times < high)
        np.testing.assert_array_equal(np.isnan(found[:, column]), missing)
        np.testing.assert_allclose(found[~missing, column], frame_times[~missing], atol=1e-9)
    uneven = np.cumsum([0, 1, 1, 1.5, 1, 1.6, 1])  # about a median of 1: 1.5 is bridged, 1.6 is not
    frame_times = ticks(176) / 25
    found = labels_at_frames(frame_times, uneven, uneven[:, None])
    np.testing.assert_array_equal(np.isnan(found[:, 0]), (frame_times > 4.5) & (frame_times < 6.1 - 1e-9))


def test_dense_labels_are_not_interpolated() -> None:
    frame_times, label_times = ticks(10) / 25, ticks(40) / 100
    labels = (label_times**2)[:, None]
    labels[8] = np.nan
    found = labels_at_frames(frame_times, label_times, labels)[:, 0]
    expected = np.array([label_times[4 * k] ** 2 for k in range(10)])
    expected[2] = np.nan
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_label_serves_frames_half_its_step_and_a_millisecond_away() -> None:
    label_times, labels = ticks(5) * 0.04, np.arange(5.0)[:, None]
    frame_times = np.array([0.16 + 0.0209, 0.16 + 0.0211])
    found = labels_at_frames(np.concatenate([ticks(4) * 0.04, frame_times[:1]]), label_times, labels)
    assert found[-1, 0] == 4.0
    found = labels_at_frames(np.concatenate([ticks(4) * 0.04, frame_times[1:]]), label_times, labels)
    assert np.isnan(found[-1, 0])


def test_scoring_uses_every_label_once_against_the_nearest_frame() -> None:
    rng = np.random.default_rng(11)
    frame_times = np.cumsum(rng.integers(20, 60, 80)).astype(np.float64) / 1000
    label_times = ticks(60) * 0.05
    predictions = rng.normal(size=(80, 2))
    found = predictions_at_labels(label_times, frame_times, predictions)
    tolerance = float(np.median(np.diff(frame_times))) / 2
    for row, time in zip(found, label_times, strict=True):
        k = naive_nearest(frame_times, time, tolerance)
        np.testing.assert_array_equal(row, predictions[k] if k >= 0 else [np.nan, np.nan])


def test_nothing_in_nothing_out() -> None:
    assert np.isnan(labels_at_frames(ticks(3) / 25, np.empty(0), np.empty((0, 2)))).all()
    assert labels_at_frames(np.empty(0), ticks(3) / 25, np.zeros((3, 2))).shape == (0, 2)
    assert np.isnan(predictions_at_labels(ticks(3) / 25, np.empty(0), np.empty((0, 2)))).all()
