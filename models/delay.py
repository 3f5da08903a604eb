"""How late each rater reacts: labels moved earlier by it, and the search for it.

The search (docs/ratings.md): ridge regression from features to a rater's labels moved earlier by 0 to 9.6 s, every
recording predicted by the others; the delay with the best CCC out of fold. Normal equations are summed up recording by
recording, so that a recording is read twice and one is in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.labels import labels_at_frames
from models.metrics import merged, moments, no_moments, scores, stacked

FloatArray = npt.NDArray[np.float64]

STEP_SECONDS = 0.4
DELAYS: tuple[float, ...] = tuple(round(STEP_SECONDS * step, 1) for step in range(25))
"""The delays that are tried, seconds: 0 to 9.6."""

PRESETS: Mapping[str, float] = {"valence": 2.0, "arousal": 4.0}
"""Fixed delays by dimension, seconds, common in code for the AVEC challenges."""

FEWEST_RECORDINGS = 3

RIDGE = 0.1
"""Penalty on standardised weights, times the number of rows."""


def delayed_labels(
    frame_times: FloatArray, label_times: FloatArray, labels: FloatArray, delay_seconds: float | Sequence[float]
) -> FloatArray:
    """The label of each frame, each rater's moved earlier by the rater's own delay, for training.

    Its counterpart for scoring is `models.labels.frames_at_labels`, which moves predictions later. Both leave out what
    then has no counterpart: nothing is filled in.

    Args:
        frame_times: `[frame]` seconds, increasing.
        label_times: `[sample]` seconds, increasing.
        labels: `[sample, rater]`, NaN where missing.
        delay_seconds: of all raters, or `[rater]`.

    Returns: `[frame, rater]`, NaN where there is no label.
    """
    if isinstance(delay_seconds, float | int):
        return labels_at_frames(frame_times, label_times, labels, delay_seconds=float(delay_seconds))
    found = np.full((frame_times.size, labels.shape[1]), np.nan)
    for seconds in sorted(set(delay_seconds)):
        chosen = np.flatnonzero(np.asarray(delay_seconds) == seconds)
        found[:, chosen] = labels_at_frames(frame_times, label_times, labels[:, chosen], delay_seconds=seconds)
    return found


@dataclass(frozen=True)
class DelaySample:
    """One recording: `features` `[frame, feature]` with a face, at `frame_times`; `labels` `[sample, rater]`."""

    features: FloatArray
    frame_times: FloatArray
    label_times: FloatArray
    labels: FloatArray


@dataclass(frozen=True)
class DelayCurves:
    """What the search found: `ccc` and `n` (rows) `[delay, rater]`, and how many recordings each rater's rest on.

    CCC is NaN where the rater or the prediction is constant: it would say nothing about a delay.
    """

    ccc: FloatArray
    n: npt.NDArray[np.int64]
    recordings: npt.NDArray[np.int64]

    def best(self) -> FloatArray:
        """The best delay of each rater, `[rater]` seconds: the shortest of equals; NaN where no CCC is defined."""
        known = np.where(np.isnan(self.ccc), -np.inf, self.ccc)
        found = np.asarray(DELAYS)[known.argmax(axis=0)]
        return np.where(np.isnan(self.ccc).all(axis=0), np.nan, found)


@dataclass
class _Sums:
    """Of rows of features x and labels y `[delay]`: n, sums of x and y, of x x' and of x y'."""

    n: float
    x: FloatArray
    y: FloatArray
    xx: FloatArray
    xy: FloatArray

    def __add__(self, other: _Sums) -> _Sums:
        return self._with(other, 1.0)

    def __sub__(self, other: _Sums) -> _Sums:
        return self._with(other, -1.0)

    def _with(self, other: _Sums, sign: float) -> _Sums:
        return _Sums(
            self.n + sign * other.n,
            self.x + sign * other.x,
            self.y + sign * other.y,
            self.xx + sign * other.xx,
            self.xy + sign * other.xy,
        )

    def weights(self) -> tuple[FloatArray, FloatArray]:
        """Ridge regression with an unpenalised intercept: weights `[feature, delay]`, intercepts `[delay]`."""
        mean_x, mean_y = self.x / self.n, self.y / self.n
        centred = self.xx - self.n * np.outer(mean_x, mean_x)
        variance = np.maximum(np.diag(centred) / self.n, 0.0)
        scale = np.where(variance > 1e-12, np.sqrt(np.maximum(variance, 1e-12)), np.inf)  # constant ones: no weight
        products = (self.xy - self.n * np.outer(mean_x, mean_y)) / scale[:, None]
        gram = centred / np.outer(scale, scale)
        gram[np.diag_indices_from(gram)] += RIDGE * self.n
        weights = np.linalg.solve(gram, products) / scale[:, None]
        return weights, mean_y - mean_x @ weights


def search_delays(recordings: Iterable[DelaySample], *, num_raters: int) -> DelayCurves:
    """Out-of-fold CCC of ridge regression at every delay, for every rater.

    All delays are judged on the same rows: frames with a label at each of them.

    Args:
        recordings: those of the training partition; gone through twice, and each time in the same order.
        num_raters: in every recording's labels, in one order.

    Raises:
        ValueError: a rater has rows in fewer than three recordings; `args[1]` is the rater's position, `args[2]` in how
            many.
    """
    totals: list[_Sums | None] = [None] * num_raters
    counts = np.zeros(num_raters, dtype=np.int64)
    for sample in recordings:
        for rater, _, _, sums in _rows(sample):
            known = totals[rater]
            totals[rater] = sums if known is None else known + sums
            counts[rater] += 1
    for rater, count in enumerate(counts.tolist()):
        if count < FEWEST_RECORDINGS:
            raise ValueError(f"a rater with rows in {count} recordings", rater, count)
    scored = [no_moments((len(DELAYS),)) for _ in range(num_raters)]
    for sample in recordings:
        for rater, features, labels, sums in _rows(sample):
            whole = totals[rater]
            assert whole is not None
            weights, intercept = (whole - sums).weights()
            found = moments((features @ weights + intercept).T, labels.T)
            scored[rater] = merged(stacked([scored[rater], found]))
    n = np.column_stack([one.n for one in scored]).astype(np.int64)
    every = [scores(one) for one in scored]
    curves = [np.where(np.isnan(one["cc"]), np.nan, one["ccc"]) for one in every]
    return DelayCurves(np.column_stack(curves), n, counts)


def _rows(sample: DelaySample) -> Iterator[tuple[int, FloatArray, FloatArray, _Sums]]:
    """For each rater with any: features and labels `[row, delay]` of the rows with a label at every delay, and sums."""
    shifted = np.stack(
        [
            labels_at_frames(sample.frame_times, sample.label_times, sample.labels, delay_seconds=delay)
            for delay in DELAYS
        ],
        axis=2,
    )  # [frame, rater, delay]
    use: npt.NDArray[np.bool_] = np.logical_not(np.isnan(shifted).any(axis=2))
    shared: dict[bytes, tuple[FloatArray, FloatArray]] = {}  # raters mostly miss the same rows: one product for all
    for rater in range(use.shape[1]):
        rows = use[:, rater]
        if not rows.any():
            continue
        key = rows.tobytes()
        if key not in shared:
            chosen = sample.features[rows]
            shared[key] = chosen, chosen.T @ chosen
        features, products = shared[key]
        labels = shifted[rows, rater]
        yield (
            rater,
            features,
            labels,
            _Sums(float(len(features)), features.sum(axis=0), labels.sum(axis=0), products, features.T @ labels),
        )
