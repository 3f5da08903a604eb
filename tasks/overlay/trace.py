"""The running trace: predictions by rater over the band of the human ratings, a page of time at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from schemas.errors import StoreError
from tasks.overlay.canvas import GROUND, SOFT
from tasks.report.drawing import nice_ticks
from tasks.report.ink import CURVE_COLOURS, font
from tasks.report.timeline import Timeline
from tasks.report.words import clock, count, number
from tasks.store.parts import read_provenance

PAGE_SECONDS = 60.0
"""Longest stretch of time on one page; the next page follows when it has been played."""
MOST_RATERS = len(CURVE_COLOURS)
"""Raters with a curve of their own; where there are more, their mean, highest and lowest are the curves."""
BIN_SECONDS = 0.1
"""Resolution of the ratings' band."""

_BATCH_ROWS = 65_536
_BAND, _RATED, _HAIR = "#3a3f48", "#c9ccd2", "#2c3038"
_MANY = ("mean", "highest", "lowest")
_SHARPER = 2  # curves are drawn larger and scaled down, which smooths them

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Band:
    """Lowest, mean and highest rating in each bin of `BIN_SECONDS`, `[bin]`; NaN where there is none."""

    low: FloatArray
    mean: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class Trace:
    """What is drawn below the pictures.

    `raters` names the curves: `_MANY` where there are more than `MOST_RATERS`. `values` is `[frame, rater]`,
    NaN where there is no prediction.
    """

    titles: tuple[str, ...]
    """What the curves are, in one or two lines."""
    raters: tuple[str, ...]
    times: FloatArray
    values: npt.NDArray[np.float32]
    band: Band | None
    value_range: tuple[float, float]
    page_seconds: float

    @property
    def colours(self) -> tuple[str, ...]:
        """One for each curve."""
        return CURVE_COLOURS[: len(self.raters)]

    def page_of(self, seconds: float) -> int:
        """Number of the page that shows this moment."""
        return int(max(seconds, 0.0) / self.page_seconds)


def read_trace(
    predictions: Path | None, ratings: Path, timeline: Timeline, *, model_id: str | None, duration: float
) -> Trace | None:
    """Predictions and ratings of one recording, read batch by batch; None where there are neither.

    Raises:
        StoreError: the predictions are of other frames than the rows.
    """
    raters, values, dimension = _predicted(predictions, timeline) if predictions else ((), None, None)
    band, num_raters, dimension = _rated(ratings, dimension, duration) if ratings.exists() else (None, 0, dimension)
    if values is None:
        values = np.full((timeline.num_frames, 0), np.nan, np.float32)
    if not raters and band is None:
        return None
    told = [f"{dimension} predicted by {model_id}"] if raters else [f"{dimension}: no predictions"]
    if len(raters) > MOST_RATERS:
        told[0] += f": {len(raters)} raters"
        raters, values = _MANY, _summary(values)
    if band is not None:
        told.append(f"gray: range and mean of {count(num_raters, 'rater')}")
    known = [array[np.isfinite(array)] for array in (values, *((band.low, band.high) if band else ()))]
    joined = np.concatenate([np.zeros(1), *(np.array([array.min(), array.max()]) for array in known if array.size)])
    low, high = float(joined.min()), float(joined.max())
    margin = max(0.06 * (high - low), 0.05)
    return Trace(
        titles=tuple(told),
        raters=raters,
        times=timeline.times,
        values=values,
        band=band,
        value_range=(low - margin, high + margin),
        page_seconds=min(PAGE_SECONDS, max(duration, 1e-3)),
    )


def _batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    read_provenance(path)
    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(_BATCH_ROWS, columns=columns)


def _predicted(path: Path, timeline: Timeline) -> tuple[tuple[str, ...], npt.NDArray[np.float32], str]:
    columns: dict[str, npt.NDArray[np.float32]] = {}
    dimension = ""
    for batch in _batches(path, ["dimension", "rater", "frame_index", "time_seconds", "value"]):
        dimension = dimension or str(batch["dimension"][0])
        index = batch["frame_index"].to_numpy()
        # A model may skip frames, but those it has must be the rows' own.
        if len(index) and (
            index.max() >= timeline.num_frames
            or np.abs(timeline.times[index] - batch["time_seconds"].to_numpy()).max() > 1e-6
        ):
            raise StoreError(f"{path}: predictions of other frames than those in the store; run `affectflow predict`")
        wanted = np.asarray(batch["dimension"].to_pylist()) == dimension
        values = batch["value"].to_numpy(zero_copy_only=False)
        names = np.asarray(batch["rater"].to_pylist())
        for rater in dict.fromkeys(names[wanted].tolist()):
            chosen = wanted & (names == rater)
            column = columns.setdefault(rater, np.full(timeline.num_frames, np.nan, np.float32))
            column[index[chosen]] = values[chosen]
    values = np.column_stack(list(columns.values())) if columns else np.full((timeline.num_frames, 0), np.nan)
    return tuple(columns), values.astype(np.float32), dimension


def _summary(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """`[frame, 3]`: what `_MANY` names, over the raters that have a value; NaN where none has."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    mean = np.divide(np.where(known, values, 0).sum(axis=1), count, out=np.full(len(values), np.nan), where=count > 0)
    sides = [np.fmax.reduce(values, axis=1), np.fmin.reduce(values, axis=1)]
    return np.column_stack([mean, *sides]).astype(np.float32)


def _rated(path: Path, dimension: str | None, duration: float) -> tuple[Band | None, int, str | None]:
    """The band of the ratings in one dimension (the first there is, by default) and how many raters it is of."""
    bins = max(1, int(np.ceil(duration / BIN_SECONDS)))
    low, high = np.full(bins, np.nan), np.full(bins, np.nan)
    total, seen = np.zeros(bins), np.zeros(bins)
    raters: set[str] = set()
    for batch in _batches(path, ["dimension", "rater", "time_seconds", "value", "is_imputed"]):
        dimension = dimension or str(batch["dimension"][0])
        values = batch["value"].to_numpy(zero_copy_only=False).astype(np.float64)
        chosen = (np.asarray(batch["dimension"].to_pylist()) == dimension) & np.isfinite(values)
        chosen &= ~batch["is_imputed"].to_numpy(zero_copy_only=False)
        at = np.floor(batch["time_seconds"].to_numpy() / BIN_SECONDS + 1e-6).astype(np.int64)
        chosen &= (at >= 0) & (at < bins)
        raters.update(np.asarray(batch["rater"].to_pylist())[chosen].tolist())
        at, values = at[chosen], values[chosen]
        np.fmin.at(low, at, values)
        np.fmax.at(high, at, values)
        np.add.at(total, at, values)
        np.add.at(seen, at, 1)
    if not raters:
        return None, 0, dimension
    mean = np.divide(total, seen, out=np.full(bins, np.nan), where=seen > 0)
    return Band(low, mean, high), len(raters), dimension


@dataclass(frozen=True)
class Plot:
    """One page's place: `width` x `height` pixels, with the axis in its left `margin` and the title in its `head`."""

    width: int
    height: int
    margin: int
    head: int
    foot: int
    letter: int

    def x(self, trace: Trace, seconds: float) -> float:
        """Column of a moment within its page."""
        within = seconds - trace.page_of(seconds) * trace.page_seconds
        return self.margin + within / trace.page_seconds * (self.width - self.margin - 1)

    def y(self, trace: Trace, value: float) -> float:
        """Row of a value."""
        low, high = trace.value_range
        return self.head + (high - value) / (high - low) * (self.height - self.head - self.foot - 1)


def draw_page(trace: Trace, plot: Plot, page: int) -> Image.Image:
    """One page of the trace: everything that does not move."""
    image = Image.new("RGB", (plot.width * _SHARPER, plot.height * _SHARPER), GROUND)
    draw = ImageDraw.Draw(image)
    start, end = page * trace.page_seconds, (page + 1) * trace.page_seconds
    low, high = trace.value_range
    right = plot.width * _SHARPER
    for value in nice_ticks(low, high, 6):
        y = _SHARPER * plot.y(trace, value)
        width = 2 * _SHARPER if value == 0 else _SHARPER
        draw.line([(_SHARPER * plot.margin, y), (right, y)], fill=_HAIR, width=width)
    if trace.band is not None:
        _draw_band(draw, trace, plot, trace.band, start=start, end=end)
    first, last = np.searchsorted(trace.times, [start, end])
    first, last = max(first - 1, 0), min(last + 1, len(trace.times))
    for rater, colour in enumerate(trace.colours):
        _draw_curve(draw, trace, plot, trace.times[first:last], trace.values[first:last, rater], colour, start)
    # What a neighbouring page's first and last points drew over the axis is covered again.
    draw.rectangle([0, 0, _SHARPER * plot.margin - 1, plot.height * _SHARPER], fill=GROUND)
    image = image.resize((plot.width, plot.height), Image.Resampling.BOX)
    _draw_words(ImageDraw.Draw(image), trace, plot, start=start, end=end)
    return image


def _point(trace: Trace, plot: Plot, at: float, value: float, start: float) -> tuple[float, float]:
    x = plot.margin + (at - start) / trace.page_seconds * (plot.width - plot.margin - 1)
    return _SHARPER * x, _SHARPER * plot.y(trace, value)


def _draw_band(draw: ImageDraw.ImageDraw, trace: Trace, plot: Plot, band: Band, *, start: float, end: float) -> None:
    first, last = max(int(start / BIN_SECONDS) - 1, 0), min(int(end / BIN_SECONDS) + 2, len(band.low))
    filled = first + np.flatnonzero(np.isfinite(band.low[first:last]))
    if not len(filled):
        return
    steps = np.diff(filled)
    widest = 2 * float(np.median(steps)) if len(steps) else 1.0  # ratings may be rarer than bins; longer is a hole
    for piece in np.split(filled, np.flatnonzero(steps > widest) + 1):
        centres = (piece + 0.5) * BIN_SECONDS
        sides = [
            [_point(trace, plot, at, value, start) for at, value in zip(centres, side[piece], strict=True)]
            for side in (band.high, band.low, band.mean)
        ]
        if len(piece) > 1:
            draw.polygon([*sides[0], *reversed(sides[1])], fill=_BAND)
            draw.line(sides[2], fill=_RATED, width=_SHARPER)


def _draw_curve(
    draw: ImageDraw.ImageDraw,
    trace: Trace,
    plot: Plot,
    times: FloatArray,
    values: npt.NDArray[np.float32],
    colour: str,
    start: float,
) -> None:
    known = np.flatnonzero(np.isfinite(values))
    for piece in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
        points = [_point(trace, plot, float(times[at]), float(values[at]), start) for at in piece]
        if len(points) > 1:
            draw.line(points, fill=colour, width=3 * _SHARPER // 2, joint="curve")


def _draw_words(draw: ImageDraw.ImageDraw, trace: Trace, plot: Plot, *, start: float, end: float) -> None:
    letter = font(plot.letter)
    for turn, title in enumerate(trace.titles):
        draw.text((plot.margin, plot.letter * (1 + 1.4 * turn)), title, fill=SOFT, font=letter, anchor="lm")
    low, high = trace.value_range
    for value in nice_ticks(low, high, 6):
        text = number(round(value, 6), 1 if abs(value * 10 - round(value * 10)) < 1e-6 else 2)
        draw.text((plot.margin - plot.letter // 2, plot.y(trace, value)), text, fill=SOFT, font=letter, anchor="rm")
    ticks = [at for at in nice_ticks(start, end, 8) if abs(at - round(at)) < 1e-6]
    y = plot.height - plot.foot / 2
    for at, following in pairwise([*ticks, np.inf]):
        x = _point(trace, plot, at, 0.0, start)[0] / _SHARPER
        reach = draw.textlength(clock(at), font=letter) / 2
        anchor = "lm" if x - reach < plot.margin else "rm" if x + reach > plot.width else "mm"
        if following != np.inf or anchor != "rm" or len(ticks) < 3:
            draw.text((x, y), clock(at), fill=SOFT, font=letter, anchor=anchor)
