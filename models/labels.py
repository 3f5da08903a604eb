"""Labels and frames meet by time, never by position."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SLACK_SECONDS = 0.001
_EPSILON_SECONDS = 1e-9  # two times nearer than this are the same: presentation times are rationals in float64
_LONGEST_BRIDGE = 1.5  # steps of the rater: a single missing label makes a gap of two, where nothing was said


def nearest(times: FloatArray, wanted: FloatArray, *, tolerance_seconds: float) -> IntArray:
    """For each wanted time, the position of the nearest of `times`; ties go to the earlier.

    Args:
        times: `[sample]` seconds, increasing.
        wanted: `[query]` seconds, in any order.
        tolerance_seconds: farther than this is no match.

    Returns: `[query]`, -1 where nothing is near enough.
    """
    if times.size == 0:
        return np.full(wanted.shape, -1, dtype=np.int64)
    after = np.clip(np.searchsorted(times, wanted), 0, times.size - 1)
    before = np.maximum(after - 1, 0)
    earlier = np.abs(wanted - times[before]) <= np.abs(times[after] - wanted) + _EPSILON_SECONDS
    found = np.where(earlier, before, after)
    far = np.abs(times[found] - wanted) > tolerance_seconds + _EPSILON_SECONDS
    return np.where(far, -1, found).astype(np.int64)


def median_step(times: FloatArray) -> float:
    """Median distance of neighbouring times, seconds; 0 for fewer than two."""
    return float(np.median(np.diff(times))) if times.size > 1 else 0.0


def labels_at_frames(
    frame_times: FloatArray, label_times: FloatArray, labels: FloatArray, *, delay_seconds: float = 0.0
) -> FloatArray:
    """The label of each frame, for training.

    Labels shift earlier by `delay_seconds`. A frame takes the nearest label at most half the label step + 1 ms away;
    where labels are sparser than frames they are interpolated linearly between two of a rater's labels at most 1.5 of
    that rater's median steps apart: a longer gap is no range that they cover, and stays as empty as in dense labels.

    Args:
        frame_times: `[frame]` seconds, increasing.
        label_times: `[sample]` seconds, increasing.
        labels: `[sample, rater]`, NaN where missing.
        delay_seconds: how late the raters reacted.

    Returns: `[frame, rater]`, NaN where there is no label.
    """
    shifted = label_times - delay_seconds
    label_step, frame_step = median_step(shifted), median_step(frame_times)
    if label_step > 1.5 * frame_step > 0:
        columns = [_interpolated(frame_times, shifted, labels[:, r]) for r in range(labels.shape[1])]
        return np.column_stack(columns) if columns else np.empty((frame_times.size, 0))
    match = nearest(shifted, frame_times, tolerance_seconds=label_step / 2 + _SLACK_SECONDS)
    found = labels[np.maximum(match, 0)] if labels.size else np.full((frame_times.size, labels.shape[1]), np.nan)
    return np.where(match[:, None] >= 0, found, np.nan)


def _interpolated(frame_times: FloatArray, label_times: FloatArray, values: FloatArray) -> FloatArray:
    known = ~np.isnan(values)
    if not known.any():
        return np.full(frame_times.shape, np.nan)
    times = label_times[known]
    found = np.interp(frame_times, times, values[known], left=np.nan, right=np.nan)
    last = np.searchsorted(times, frame_times, side="right") - 1  # the label at or before each frame
    after = np.minimum(last + 1, times.size - 1)
    in_gap = times[after] - times[last] > _LONGEST_BRIDGE * median_step(times) + _EPSILON_SECONDS
    return np.where(in_gap & (frame_times != times[last]), np.nan, found)


def frames_at_labels(label_times: FloatArray, frame_times: FloatArray, *, delay_seconds: float = 0.0) -> IntArray:
    """The frame whose prediction belongs to each label, for scoring: the nearest one within half a frame step.

    Predictions shift later by `delay_seconds`.

    Args:
        label_times: `[sample]` seconds, increasing.
        frame_times: `[frame]` seconds, increasing.
        delay_seconds: how late the raters reacted.

    Returns: `[sample]` positions of frames, -1 where none is near enough; such labels are excluded from scores.
    """
    return nearest(frame_times + delay_seconds, label_times, tolerance_seconds=median_step(frame_times) / 2)
