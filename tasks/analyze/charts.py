"""Curves of an analysis as numbers that the template draws with inline SVG."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.analyze.content import EXPRESSION_COLOURS, VALENCE_RANGE, Analysis, FloatArray
from tasks.report.drawing import WIDTH, Tick, gap_path, nice_ticks, time_ticks
from tasks.report.traces import bin_means, to_line
from tasks.report.words import number

if TYPE_CHECKING:
    from tasks.report.traces import Line

ROW_HEIGHT = 60
"""View box of one expression's row."""
VALENCE_HEIGHT = 240
"""View box of the valence."""
MOST_POINTS = 500
"""Of a curve: what a wide screen can show."""


@dataclass(frozen=True)
class Row:
    """One expression over time, `path` filled from 0 up to its probability."""

    name: str
    colour: str
    path: str
    alt: str


@dataclass(frozen=True)
class Charts:
    """Everything over time, on one axis."""

    valence: str
    """Each bin's lowest and highest single frame, filled."""
    smoothed: str
    rows: tuple[Row, ...]
    gaps: str
    row_gaps: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    alt: str


def draw_charts(analysis: Analysis, duration: float) -> Charts:
    """Valence and every expression over the clip.

    Args:
        analysis: of the clip.
        duration: where the axis ends, seconds.
    """
    bins = _num_bins(analysis, duration)
    low, high = VALENCE_RANGE
    known = analysis.valid
    times = analysis.times[known]

    def line(values: FloatArray) -> Line:
        return to_line(bin_means(times, values[known], duration=duration, num_bins=bins), duration)

    rows = tuple(
        _row(analysis, place, name, "".join(_area(line(analysis.probabilities[:, place].astype(np.float64)), duration)))
        for place, name in enumerate(analysis.classes)
    )
    spans = analysis.gaps(duration)
    height = VALENCE_HEIGHT / (high - low)
    scale = WIDTH / duration
    curve = "".join(_curve(line(analysis.smoothed), scale, high, height)) if known.any() else ""
    band = "".join(_band(times, analysis.valence[known], duration, bins, scale, high, height)) if known.any() else ""
    ticks = [Tick(round(100 * (high - y) / (high - low), 2), number(y, 1)) for y in nice_ticks(low, high, 4)]
    return Charts(
        valence=band,
        smoothed=curve,
        rows=rows,
        gaps=gap_path(spans, duration, VALENCE_HEIGHT),
        row_gaps=gap_path(spans, duration, ROW_HEIGHT),
        x_ticks=time_ticks(duration),
        y_ticks=tuple(ticks),
        alt=_alt(analysis),
    )


def _num_bins(analysis: Analysis, duration: float) -> int:
    """At most `MOST_POINTS`, and none narrower than a frame."""
    steps = np.diff(analysis.times)
    step = float(np.median(steps)) if len(steps) else duration
    return max(1, min(MOST_POINTS, int(duration / step + 0.5))) if step > 0 else 1


def _alt(analysis: Analysis) -> str:
    if not analysis.num_faces:
        return "No face, hence no curve."
    known = analysis.smoothed[analysis.valid]
    return (
        f"Valence estimate over time: mean {number(float(known.mean()), 2)}, from {number(float(known.min()), 2)} "
        f"to {number(float(known.max()), 2)}."
    )


def _row(analysis: Analysis, place: int, name: str, path: str) -> Row:
    alt = f"{name}: no face"
    if analysis.num_faces:
        values = analysis.probabilities[analysis.valid, place]
        alt = f"{name}: mean probability {100 * values.mean():.0f} %, highest {100 * values.max():.0f} %"
    return Row(name, EXPRESSION_COLOURS[name], path, alt)


def _area(line: Line, duration: float) -> Iterator[str]:
    """Filled path data of values 0 to 1, standing on the row's floor."""
    for piece in line:
        points = [(WIDTH * at / duration, ROW_HEIGHT * (1 - value)) for at, value in piece.tolist()]
        wide = max(1.0, 0.5 * WIDTH / MOST_POINTS) if len(points) == 1 else 0.0
        first, last = points[0][0] - wide, points[-1][0] + wide
        steps = "".join(f"L{x:.1f} {y:.1f}" for x, y in ((first, points[0][1]), *points, (last, points[-1][1])))
        yield f"M{first:.1f} {ROW_HEIGHT}{steps}L{last:.1f} {ROW_HEIGHT}z"


def _curve(line: Line, scale: float, high: float, height: float) -> Iterator[str]:
    for piece in line:
        points = [f"{scale * at:.1f} {height * (high - value):.1f}" for at, value in piece.tolist()]
        yield f"M{points[0]}" + ("".join(f"L{point}" for point in points[1:]) or "h2")


def _band(
    times: FloatArray, values: FloatArray, duration: float, bins: int, scale: float, high: float, height: float
) -> Iterator[str]:
    """A bar in each bin from its lowest to its highest frame: what smoothing hides."""
    place = np.clip((times / duration * bins).astype(np.int64), 0, bins - 1)
    lowest, highest = np.full(bins, np.inf), np.full(bins, -np.inf)
    np.minimum.at(lowest, place, values)
    np.maximum.at(highest, place, values)
    for one in np.flatnonzero(np.isfinite(lowest)).tolist():
        x, top = scale * (one + 0.5) * duration / bins, height * (high - highest[one])
        yield f"M{x:.1f} {top:.1f}v{max(height * (highest[one] - lowest[one]), 1.0):.1f}"
