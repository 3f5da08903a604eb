"""Curves over time, thinned so that nothing that stood out is lost: the lowest and highest value of equal time bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.report.quality import Quality, Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.report.held import Held

    FloatArray = NDArray[np.float64]
    Line = tuple[FloatArray, ...]
    """Unbroken pieces of one curve, each `[point, 2]`: seconds and value."""
    Means = FloatArray
    """Mean of one curve in each of a recording's equal time bins, `[bin]`; NaN where a bin is empty."""

MEAN = "mean over raters"
GLANCE_BINS = 120
MAX_BINS = 1500
MIN_BINS = 150
NUM_VALUES = 3_000_000
"""Lowest and highest values of all curves of a report together, a byte each: about 4 MB in the page."""


@dataclass(frozen=True)
class Glance:
    """A recording as a thumbnail: `[bin]`, seconds and values; NaN where a bin is empty."""

    at: FloatArray
    low: FloatArray
    high: FloatArray
    rating: FloatArray
    prediction: FloatArray


@dataclass(frozen=True)
class Trace:
    """The curves of one recording. `series` has the lowest and highest value of each bin, `[2, bin]`, by name:

    `rating/NAME` and `prediction/NAME`, `single/NAME` for every column that is scored and the mean over raters;
    `rating/NAME` of every rater beside. NaN where a bin is empty.
    """

    recording_id: str
    partition: str
    duration_seconds: float
    raters: tuple[str, ...]
    shown: tuple[str, ...]
    """What can be chosen: the mean over raters, then the columns."""
    series: Mapping[str, FloatArray]
    ccc: Mapping[str, float | None]
    """Of this recording alone, by column; of the mean over raters the mean of theirs."""
    glance: Glance
    gaps: tuple[Span, ...]
    missing: str
    """What the store lacks of this recording, in words; "" if nothing."""


def make_trace(
    held: Held | None, quality: Quality, *, ccc: Mapping[tuple[str, str], float | None], num_bins: int
) -> Trace:
    """The curves of one recording.

    Args:
        held: its series, None where it has no ratings.
        quality: its data quality, for the duration and the spans without a face.
        ccc: (recording, column) -> CCC of that recording alone.
        num_bins: at most so many.
    """
    import numpy as np

    name, partition = quality.recording_id, quality.partition or ""
    if held is None:
        nothing = Glance(*(np.empty(0) for _ in range(5)))
        lacks = "nothing in the store that this recording is scored against"
        return Trace(name, partition, quality.duration_seconds, (), (), {}, {}, nothing, quality.gaps, lacks)
    # A container may state less than it holds, even nothing: the picture reaches as far as the curves do.
    duration = max(quality.duration_seconds, float(held.times[-1]) if held.times.size else 0.0) or 1.0
    curves = _curves(held)
    bins = bins_for(held.times, duration, num_bins)
    series = {key: extremes(held.times, values, duration=duration, num_bins=bins) for key, values in curves.items()}
    scores = {column: ccc.get((name, column)) for column in held.columns}
    known = [value for column in held.columns[held.averaged] if (value := scores[column]) is not None]
    means = {MEAN: sum(known) / len(known)} if known and _has_mean(held) else {}
    shown = (*((MEAN,) if _has_mean(held) else ()), *held.columns)
    glance = _glance(held, curves, shown[0], duration)
    return Trace(
        name, partition, duration, held.raters, shown, series, scores | means, glance, quality.gaps, held.lacks
    )


def bins_budget(num_recordings: int, num_series: int) -> int:
    """How many bins each curve of each recording may have."""
    return max(MIN_BINS, min(MAX_BINS, NUM_VALUES // max(1, 2 * num_recordings * num_series)))


def bins_for(times: FloatArray, duration: float, most: int) -> int:
    """At most `most` bins, none narrower than the samples' own step."""
    from models.labels import median_step

    step = median_step(times)
    return max(1, min(most, int(duration / step + 0.5) if step > 0 else most))


def extremes(times: FloatArray, values: FloatArray, *, duration: float, num_bins: int) -> FloatArray:
    """Lowest and highest of `values` in each of `num_bins` equal, half-open bins of `[0, duration)`: `[2, bin]`.

    Later times fall in the last bin; a bin without a finite value is NaN.

    Args:
        times: `[sample]` seconds, increasing.
        values: `[sample]`.
    """
    import numpy as np

    found = np.full((2, num_bins), np.nan)
    known = np.isfinite(values)
    if known.any():
        index = _bin_of(times[known], duration, num_bins)
        filled, first = np.unique(index, return_index=True)
        found[0, filled] = np.minimum.reduceat(values[known], first)
        found[1, filled] = np.maximum.reduceat(values[known], first)
    return found


def bin_means(times: FloatArray, values: FloatArray, *, duration: float, num_bins: int) -> Means:
    """Mean of `values` in each of `num_bins` equal, half-open bins of `[0, duration)`; later ones fall in the last."""
    import numpy as np

    index = _bin_of(times, duration, num_bins)
    count = np.bincount(index, minlength=num_bins)
    total = np.bincount(index, weights=values, minlength=num_bins)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def to_line(means: Means | None, duration: float) -> Line:
    """Points at the bins' centres, broken where two bins in a row are empty (one can be, by rounding)."""
    import numpy as np

    if means is None:
        return ()
    filled = np.flatnonzero(~np.isnan(means))
    if not len(filled):
        return ()
    points = np.column_stack(((filled + 0.5) * duration / len(means), means[filled]))
    return tuple(np.split(points, np.flatnonzero(np.diff(filled) > 2) + 1))


def value_range(traces: Sequence[Trace]) -> tuple[float, float]:
    """Lowest and highest value that any curve reaches, a little wider; (-1, 1) if there are no curves."""
    import numpy as np

    every = [values for trace in traces for values in trace.series.values() if np.isfinite(values).any()]
    if not every:
        return -1.0, 1.0
    low, high = min(float(np.nanmin(values)) for values in every), max(float(np.nanmax(values)) for values in every)
    margin = max(0.04 * (high - low), 0.02)
    return low - margin, high + margin


_SLACK = 1e-6  # of a bin: a time on an edge, 3 * .04, falls behind it however it was rounded


def _bin_of(times: FloatArray, duration: float, num_bins: int) -> NDArray[np.int64]:
    import numpy as np

    return np.clip((times / duration * num_bins + _SLACK).astype(np.int64), 0, num_bins - 1)


def _has_mean(held: Held) -> bool:
    """Raters stand apart, so that there is a mean over them; gold standards are never averaged."""
    return held.num_apart > 1 and held.columns[0] in held.raters


def _curves(held: Held) -> dict[str, FloatArray]:
    from models.metrics import mean_known

    found = {f"rating/{rater}": values for rater, values in zip(held.raters, held.ratings, strict=True)}
    for row, column in enumerate(held.columns):
        found[f"rating/{column}"] = held.given[row]
        found[f"prediction/{column}"] = held.predicted[row]
        found[f"single/{column}"] = held.single[row]
    if _has_mean(held):
        parts = (("rating", held.given), ("prediction", held.predicted), ("single", held.single))
        found |= {f"{kind}/{MEAN}": mean_known(rows[held.averaged], axis=0) for kind, rows in parts}
    return found


def _glance(held: Held, curves: Mapping[str, FloatArray], shown: str, duration: float) -> Glance:
    import numpy as np

    bins = bins_for(held.times, duration, GLANCE_BINS)
    every = [extremes(held.times, values, duration=duration, num_bins=bins) for values in held.ratings]
    nobody = np.full(bins, np.nan)
    low = np.fmin.reduce([nobody, *(pair[0] for pair in every)])
    high = np.fmax.reduce([nobody, *(pair[1] for pair in every)])

    def means(values: FloatArray) -> Means:
        known = np.isfinite(values)
        return bin_means(held.times[known], values[known], duration=duration, num_bins=bins)

    at = (np.arange(bins) + 0.5) * duration / bins
    return Glance(at, low, high, means(curves[f"rating/{shown}"]), means(curves[f"prediction/{shown}"]))
