"""Curves and bars as numbers that the HTML template draws with inline SVG.

Shapes are in percent or in a stretched view box and labels are text of the page, so that a picture fills any width
and its letters keep their size: what a bitmap or a scaled SVG cannot do on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.report.summary import ReportRow, Role, ScoreTable
from tasks.report.words import clock, number

if TYPE_CHECKING:
    from tasks.report.quality import Span
    from tasks.report.traces import Line, Panel, Trace

WIDTH = 1000
HEIGHT = 240
"""View box of a panel of curves, stretched to the space there is."""

# Okabe and Ito's colours, which survive the common colour blindnesses; greys for what never saw a face.
_COLOURS: dict[Role, tuple[str, ...]] = {
    "model": ("#0072B2", "#56B4E9", "#D55E00"),
    "single-frame": ("#E69F00", "#F0E442"),
    "trivial": ("#767676", "#B4B4B4"),
    "ceiling": ("#009E73",),
    "control": ("#CC79A7",),
}
_HOLLOW: frozenset[Role] = frozenset({"ceiling", "control"})
_SHORTEST_GAP = 2.0  # units of WIDTH: a single lost frame stays visible


@dataclass(frozen=True)
class Key:
    """A colour in a picture and what it stands for."""

    label: str
    colour: str
    hollow: bool


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: percent of its length, and what stands there."""

    percent: float
    label: str


@dataclass(frozen=True)
class Bar:
    """One bar, percent of the axis; `label` stands at its end."""

    key: Key
    left: float
    width: float
    label: str
    label_percent: float


@dataclass(frozen=True)
class BarGroup:
    """The bars of one rater, or of the mean over raters."""

    name: str
    bars: tuple[Bar, ...]
    alt: str


@dataclass(frozen=True)
class BarChart:
    """Bars by rater, one for each report row."""

    groups: tuple[BarGroup, ...]
    ticks: tuple[Tick, ...]
    zero: float
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Curve:
    """One curve as SVG path data in the view box; `kind` is its CSS class."""

    kind: str
    path: str


@dataclass(frozen=True)
class Chart:
    """One panel of curves over time."""

    title: str
    curves: tuple[Curve, ...]
    gaps: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    alt: str


def row_keys(rows: Sequence[ReportRow]) -> list[Key]:
    """A colour for each report row: by role, then by turn."""
    seen: dict[Role, int] = {}
    keys = []
    for row in rows:
        turn = seen[row.role] = seen.get(row.role, -1) + 1
        colours = _COLOURS[row.role]
        keys.append(Key(row.label, colours[turn % len(colours)], row.role in _HOLLOW))
    return keys


def bar_chart(table: ScoreTable) -> BarChart:
    """Bars of one metric: a group for the mean over raters and for each rater."""
    values = [value for row in table.rows for value in (*row.values, row.mean) if value is not None]
    low, high = min((0.0, *values)), max((0.1, *values))
    low, high = (low - 0.06 * (high - low) if low < 0 else 0.0), high + 0.08 * (high - low)
    keys = row_keys([ReportRow(row.model_id, row.label, row.role) for row in table.rows])

    def percent(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    def group(name: str, column: Sequence[float | None]) -> BarGroup:
        bars = []
        for key, row, value in zip(keys, table.rows, column, strict=True):
            drawn = value or 0.0
            left, right = percent(min(drawn, 0.0)), percent(max(drawn, 0.0))
            label = number(value) if value is None or row.role == "model" else ""
            bars.append(Bar(key, left, round(right - left, 2), label, max(right, percent(0.0))))
        told = "; ".join(f"{key.label} {number(value)}" for key, value in zip(keys, column, strict=True))
        return BarGroup(name, tuple(bars), f"{name}: {told}")

    columns = [("mean over raters", [row.mean for row in table.rows])]
    columns += [(rater, [row.values[i] for row in table.rows]) for i, rater in enumerate(table.raters)]
    ticks = tuple(Tick(percent(value), _short(value)) for value in nice_ticks(low, high, 7))
    return BarChart(tuple(group(*column) for column in columns), ticks, percent(0.0), tuple(keys))


def mean_chart(trace: Trace, value_range: tuple[float, float]) -> Chart:
    """The raters' mean and its prediction, over every rater's thin curve."""
    return _chart(trace, trace.mean, trace.raters, value_range)


def rater_charts(trace: Trace, value_range: tuple[float, float]) -> tuple[Chart, ...]:
    """One panel for each rater."""
    return tuple(_chart(trace, panel, (), value_range) for panel in trace.panels)


def gap_path(gaps: Sequence[Span], duration: float, height: int = HEIGHT) -> str:
    """Rectangles over half-open spans of time, as path data; spans that touch on the picture become one."""
    duration = max((duration, *(end for _, end in gaps))) or 1.0
    merged: list[list[float]] = []
    for start, end in gaps:
        left = WIDTH * start / duration
        right = min(max(WIDTH * end / duration, left + _SHORTEST_GAP), float(WIDTH))
        if merged and left - merged[-1][1] < 1:
            merged[-1][1] = right
        else:
            merged.append([left, right])
    return "".join(f"M{left:.1f} 0H{right:.1f}V{height}H{left:.1f}z" for left, right in merged)


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` + 1 round values within `[low, high]`: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def time_ticks(duration: float) -> tuple[Tick, ...]:
    """Marks at round numbers of seconds or minutes."""
    step = next((step for step in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800) if duration / step <= 6), 3600)
    return tuple(Tick(round(100 * at / duration, 2), clock(at)) for at in range(0, int(duration) + 1, step))


def _chart(trace: Trace, panel: Panel, thin: Sequence[Line], value_range: tuple[float, float]) -> Chart:
    low, high = value_range
    lines = [("rater", line) for line in thin]
    lines += [("single", panel.single_frame), ("rating", panel.rating), ("prediction", panel.prediction)]
    curves = tuple(Curve(kind, "".join(_path(line, trace.duration_seconds, low, high))) for kind, line in lines if line)
    ticks = tuple(
        Tick(round(100 * (high - value) / (high - low), 2), _short(value)) for value in nice_ticks(low, high, 3)
    )
    scored = f" CCC {number(panel.ccc)} in this recording." if panel.ccc is not None else ""
    spans = f" No face in {len(trace.gaps)} spans." if trace.gaps else ""
    alt = f"{trace.recording_id}, {panel.title}: rating and prediction over {clock(trace.duration_seconds)}."
    return Chart(
        title=panel.title,
        curves=curves,
        gaps=gap_path(trace.gaps, trace.duration_seconds),
        x_ticks=time_ticks(trace.duration_seconds),
        y_ticks=ticks,
        alt=f"{alt}{scored}{spans}",
    )


def _path(line: Line, duration: float, low: float, high: float) -> Iterator[str]:
    """Path data in whole units of the view box, relative after each start: a few bytes for each point."""
    for piece in line:
        points = [
            (round(WIDTH * float(at) / duration), round(HEIGHT * (high - float(value)) / (high - low)))
            for at, value in piece
        ]
        (x, y), rest = points[0], points[1:]
        yield f"M{x} {y}l" if rest else f"M{x} {y}h1"
        last = (x, y)
        steps = []
        for x, y in rest:
            steps.append(f"{x - last[0]}{'' if y < last[1] else ' '}{y - last[1]}")
            last = (x, y)
        yield " ".join(steps).replace(" -", "-")


def _short(value: float) -> str:
    """A tick's label: no more decimals than it has."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return number(float(text), len(text.partition(".")[2]))
