"""Curves over time: predictions beside the ratings, thinned to what a picture can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.tables import PREDICTIONS, RATINGS
from tasks.report.quality import Quality, Span
from tasks.store.layout import Store
from tasks.store.parts import read_table

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Line = tuple[NDArray[np.float64], ...]
    """Unbroken pieces of one curve, each `[point, 2]`: seconds and value."""
    Means = NDArray[np.float64]
    """Mean of one curve in each of a recording's equal time bins, `[bin]`; NaN where a bin is empty."""

MAX_POINTS = 800
MAX_POINTS_SMALL = 240
MAX_POINTS_MANY = 300
_MANY_RATERS = 12


@dataclass(frozen=True)
class Panel:
    """One pair of curves: a rater (or the raters' mean), what was predicted, and the single-frame model."""

    title: str
    ccc: float | None
    """Of this recording and rater alone; None for the mean, and where it is degenerate or not scored."""
    rating: Line
    prediction: Line
    single_frame: Line


@dataclass(frozen=True)
class Trace:
    """The curves of one recording."""

    recording_id: str
    partition: str
    duration_seconds: float
    raters: tuple[Line, ...]
    """Every rater's curve."""
    mean: Panel
    panels: tuple[Panel, ...]
    """One for each rater."""
    gaps: tuple[Span, ...]
    missing: str
    """What the store lacks of this recording, in words; "" if nothing."""


@dataclass(frozen=True)
class _Curve:
    times: NDArray[np.float64]
    values: NDArray[np.float64]


def read_trace(
    store: Store,
    quality: Quality,
    *,
    raters: Sequence[str],
    model_id: str,
    single_frame_id: str | None,
    dimension: str,
    ccc: Mapping[tuple[str, str], float | None],
) -> Trace:
    """Read and thin the curves of one recording.

    Args:
        quality: its data quality, for the spans without a face.
        raters: in the order in which they are shown.
        model_id: whose predictions are drawn.
        single_frame_id: the single-frame model drawn faintly beside them, if any.
        dimension: which dimension.
        ccc: (recording, rater) -> CCC of that recording alone.
    """
    recording_id = quality.recording_id
    rated = _read(store.ratings(recording_id), RATINGS, dimension)
    predicted = _read(store.predictions(model_id, recording_id), PREDICTIONS, dimension)
    single = _read(store.predictions(single_frame_id, recording_id), PREDICTIONS, dimension) if single_frame_id else {}
    sources = (rated, predicted, single)
    # A container may state less than it holds, even nothing: the picture reaches as far as the curves do.
    ends = (float(curve.times[-1]) for source in sources for curve in source.values())
    duration = max((quality.duration_seconds, *ends)) or 1.0
    small = [_binned(source, duration, MAX_POINTS_SMALL) for source in sources]
    large = [_binned(source, duration, MAX_POINTS) for source in sources]
    thin = large[0] if len(raters) <= _MANY_RATERS else _binned(rated, duration, MAX_POINTS_MANY)
    lacking = [what for what, source in (("ratings", rated), ("predictions", predicted)) if not source]
    return Trace(
        recording_id=recording_id,
        partition=quality.partition or "",
        duration_seconds=duration,
        raters=tuple(to_line(thin[rater], duration) for rater in raters if rater in thin),
        mean=Panel("mean over raters", None, *(to_line(_mean(source), duration) for source in large)),
        panels=tuple(
            Panel(rater, ccc.get((recording_id, rater)), *(to_line(source.get(rater), duration) for source in small))
            for rater in raters
        ),
        gaps=quality.gaps,
        missing=f"no {' and no '.join(lacking)} of this recording in the store" if lacking else "",
    )


def value_range(traces: Sequence[Trace]) -> tuple[float, float]:
    """Lowest and highest value that any curve reaches, a little wider; (-1, 1) if there are no curves."""
    values = [
        piece[:, 1]
        for trace in traces
        for line in (
            *trace.raters,
            trace.mean.prediction,
            trace.mean.single_frame,
            *(p.prediction for p in trace.panels),
        )
        for piece in line
    ]
    if not values:
        return -1.0, 1.0
    low, high = min(float(piece.min()) for piece in values), max(float(piece.max()) for piece in values)
    margin = max(0.04 * (high - low), 0.02)
    return low - margin, high + margin


def bin_means(times: NDArray[np.float64], values: NDArray[np.float64], *, duration: float, num_bins: int) -> Means:
    """Mean of `values` in each of `num_bins` equal, half-open bins of `[0, duration)`; later ones fall in the last."""
    import numpy as np

    index = np.clip((times / duration * num_bins).astype(np.int64), 0, num_bins - 1)
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


def _binned(curves: Mapping[str, _Curve], duration: float, max_points: int) -> dict[str, Means]:
    """Bin every curve on one grid: at most `max_points` bins, none narrower than the curves' own step."""
    import numpy as np

    steps = [float(np.median(np.diff(curve.times))) for curve in curves.values() if len(curve.times) > 1]
    step = max(steps, default=0.0)
    num_bins = max(1, min(max_points, int(duration / step + 0.5) if step > 0 else max_points))
    return {
        name: bin_means(curve.times, curve.values, duration=duration, num_bins=num_bins)
        for name, curve in curves.items()
    }


def _mean(curves: Mapping[str, Means]) -> Means | None:
    """Mean over curves in each bin, of those that have a value there."""
    import numpy as np

    if not curves:
        return None
    stacked = np.stack(list(curves.values()))
    count = (~np.isnan(stacked)).sum(axis=0)
    return np.where(count > 0, np.nansum(stacked, axis=0) / np.maximum(count, 1), np.nan)


def _read(path: Path, schema: pa.Schema, dimension: str) -> dict[str, _Curve]:
    """rater -> curve, in order of time, without nulls and imputed values; empty if there is no such file."""
    import polars as pl

    if not path.exists():
        return {}
    optional = ["is_imputed"] if "is_imputed" in schema.names else []
    frame = pl.DataFrame(read_table(path, schema, ["dimension", "rater", "time_seconds", "value", *optional]))
    frame = frame.filter((pl.col("dimension") == dimension) & pl.col("value").is_finite())
    if optional:
        frame = frame.filter(~pl.col("is_imputed"))
    return {
        str(key[0]): _Curve(part["time_seconds"].to_numpy(), part["value"].to_numpy())
        for key, part in frame.sort("time_seconds").partition_by("rater", as_dict=True, maintain_order=True).items()
    }
