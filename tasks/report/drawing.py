"""Curves and bars as numbers that the HTML template draws with inline SVG.

Shapes are in percent or in a stretched view box and labels are text of the page, so that a picture fills any width
and its letters keep their size: what a bitmap or a scaled SVG cannot do on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tasks.report.summary import ReportRow, Role, Score, ScoreTable
from tasks.report.words import clock, interval_of, mean_heading, number

if TYPE_CHECKING:
    from tasks.report.quality import Span
    from tasks.report.scatter import Scatter
    from tasks.report.traces import Trace

    Points = Sequence[tuple[float, float]]

WIDTH = 1000
HEIGHT = 240
"""View box of a panel of curves, stretched to the space there is."""

# Okabe and Ito's colours, which survive the common colour blindnesses; greys for what never saw a face.
_COLOURS: dict[Role, tuple[str, ...]] = {
    "model": ("#0072B2", "#56B4E9", "#D55E00", "#00334F", "#F2A07B"),
    "single-frame": ("#E69F00", "#F0E442"),
    "trivial": ("#767676", "#B4B4B4"),
    "human": ("#000000", "#4D4D4D"),
    "ceiling": ("#009E73",),
    "control": ("#CC79A7", "#7D3F63"),
}
_HOLLOW: frozenset[Role] = frozenset({"human", "ceiling", "control"})
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
    """One bar, percent of the axis, with the ends of its interval; `label` stands at `label_percent`."""

    key: Key
    left: float
    width: float
    low: float | None
    high: float | None
    label: str
    label_percent: float


@dataclass(frozen=True)
class HumanLine:
    """How well people do, percent of the axis: a line across the bars of a group; `turn` tells the lines apart."""

    label: str
    percent: float
    turn: int


@dataclass(frozen=True)
class BarGroup:
    """The bars of one rater, or of the mean over raters."""

    name: str
    bars: tuple[Bar, ...]
    humans: tuple[HumanLine, ...]
    alt: str


@dataclass(frozen=True)
class BarChart:
    """Bars by rater, one for each report row that is no person and has a colour; `num_left_out` rows have none."""

    groups: tuple[BarGroup, ...]
    ticks: tuple[Tick, ...]
    zero: float
    keys: tuple[Key, ...]
    humans: tuple[str, ...]
    num_left_out: int


@dataclass(frozen=True)
class Curve:
    """One curve as SVG path data in the view box; `kind` is its CSS class."""

    kind: str
    path: str


@dataclass(frozen=True)
class Chart:
    """One panel of curves; `note` stands beside its title."""

    title: str
    curves: tuple[Curve, ...]
    gaps: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    alt: str
    note: str = ""


def drawn_of(table: ScoreTable) -> ScoreTable:
    """The table with as many rows of each role as there are colours for it, the first ones: no two bars look alike."""
    seen: dict[Role, int] = {}
    rows = []
    for row in table.rows:
        seen[row.role] = seen.get(row.role, 0) + 1
        if seen[row.role] <= len(_COLOURS[row.role]):
            rows.append(row)
    return replace(table, rows=tuple(rows))


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
    """Bars of one metric with their intervals: a group for the mean and for each column; people are lines."""
    num_rows, table = len(table.rows), drawn_of(table)
    columns = [(mean_heading(table), [row.summary for row in table.rows])]
    columns += [(name, [row.scores[at] for row in table.rows]) for at, name in enumerate(table.raters)]
    ends = [end for _, cells in columns for cell in cells for end in (cell.value, cell.low, cell.high)]
    known = [end for end in ends if end is not None]
    low, high = min((0.0, *known)), max((0.1, *known))
    low, high = (low - 0.06 * (high - low) if low < 0 else 0.0), high + 0.08 * (high - low)
    keys = row_keys([ReportRow(row.model_id, row.label, row.role) for row in table.rows])
    people = [row.role == "human" for row in table.rows]

    def percent(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    def bar(key: Key, cell: Score, role: Role) -> Bar:
        drawn = cell.value or 0.0
        left, right = percent(min(drawn, 0.0)), percent(max(drawn, 0.0))
        whiskers = [None if end is None else percent(end) for end in (cell.low, cell.high)]
        label = number(cell.value) if cell.value is None or role == "model" else ""
        place = max(right, percent(0.0), *(end for end in whiskers if end is not None))
        return Bar(key, left, round(right - left, 2), whiskers[0], whiskers[1], label, place)

    def group(name: str, cells: Sequence[Score]) -> BarGroup:
        told = "; ".join(
            f"{key.label} {number(cell.value)} {interval_of(cell)}".rstrip()
            for key, cell in zip(keys, cells, strict=True)
        )
        rows = list(zip(keys, cells, table.rows, people, strict=True))
        bars = tuple(bar(key, cell, row.role) for key, cell, row, is_human in rows if not is_human)
        lines = [(key.label, cell.value) for key, cell, _, is_human in rows if is_human]
        humans = tuple(
            HumanLine(label, percent(value), turn) for turn, (label, value) in enumerate(lines) if value is not None
        )
        return BarGroup(name, bars, humans, f"{name}: {told}")

    ticks = tuple(Tick(percent(value), _short(value)) for value in nice_ticks(low, high, 7))
    return BarChart(
        tuple(group(name, cells) for name, cells in columns),
        ticks,
        percent(0.0),
        tuple(key for key, is_human in zip(keys, people, strict=True) if not is_human),
        tuple(key.label for key, is_human in zip(keys, people, strict=True) if is_human),
        num_rows - len(table.rows),
    )


def glance_chart(trace: Trace, value_range: tuple[float, float]) -> Chart:
    """A recording as a thumbnail: the band of all raters, the rating, the prediction."""
    glance, span, end = trace.glance, value_range, trace.duration_seconds
    at = glance.at.tolist()
    band = [(x, low, high) for x, low, high in zip(at, glance.low.tolist(), glance.high.tolist(), strict=True)]
    known = [(x, low, high) for x, low, high in band if not math.isnan(low)]
    around = [(x, high) for x, _, high in known] + [(x, low) for x, low, _ in reversed(known)]
    curves = [Curve("band", f"{path(around, (0.0, end), span)}z")] if known else []
    for kind, values in (("rating", glance.rating), ("prediction", glance.prediction)):
        points = list(zip(at, values.tolist(), strict=True))
        if drawn := path(points, (0.0, end), span):
            curves.append(Curve(kind, drawn))
    what = trace.shown[0] if trace.shown else "nothing"
    score = trace.ccc.get(what)
    note = "" if score is None else f"CCC {number(score, 2)}"
    alt = f"{trace.recording_id}, {what}: rating and prediction over {clock(end)}. {note}".strip()
    return Chart(trace.recording_id, tuple(curves), gap_path(trace.gaps, end) if trace.gaps else "", (), (), alt, note)


def line_chart(
    title: str,
    series: Sequence[tuple[str, Points]],
    *,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    alt: str,
    note: str = "",
    mark: float | None = None,
) -> Chart:
    """Curves over a plain axis, each with the CSS class named; points with NaN break a curve.

    `mark` is a place on the x axis that a vertical line points out.
    """
    (left, right), (low, high) = x_range, y_range
    curves = [Curve(kind, drawn) for kind, points in series if (drawn := path(points, x_range, y_range))]
    if mark is not None:
        x = WIDTH * (mark - left) / ((right - left) or 1.0)
        curves.insert(0, Curve("mark", f"M{x:.0f} 0V{HEIGHT}"))
    x_ticks = tuple(
        Tick(round(100 * (x - left) / ((right - left) or 1.0), 2), _short(x)) for x in nice_ticks(left, right, 5)
    )
    y_ticks = tuple(Tick(round(100 * (high - y) / (high - low), 2), _short(y)) for y in nice_ticks(low, high, 4))
    return Chart(title, tuple(curves), "", x_ticks, y_ticks, alt, note)


def path(points: Points, x_range: tuple[float, float], y_range: tuple[float, float]) -> str:
    """Path data in whole units of the view box, relative after each start: a few bytes for each point."""
    pieces: list[list[tuple[int, int]]] = [[]]
    for x, y in points:
        if math.isnan(y):
            pieces.append([])
            continue
        at = WIDTH * (x - x_range[0]) / ((x_range[1] - x_range[0]) or 1.0)
        pieces[-1].append((round(at), round(HEIGHT * (y_range[1] - y) / (y_range[1] - y_range[0]))))
    return "".join(_relative(piece) for piece in pieces if piece)


def density_paths(scatter: Scatter) -> list[tuple[int, str]]:
    """The cells of a scatter by darkness, as path data in units of a cell, rating to the right, prediction upwards."""
    side = len(scatter.levels)
    drawn: dict[int, list[str]] = {}
    for row, levels in enumerate(scatter.levels):
        column = 0
        while column < side:
            level, start = levels[column], column
            while column < side and levels[column] == level:
                column += 1
            if level:
                drawn.setdefault(level, []).append(f"M{start} {side - 1 - row}h{column - start}v1h-{column - start}z")
    return [(level, "".join(parts)) for level, parts in sorted(drawn.items())]


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


def _relative(points: Sequence[tuple[int, int]]) -> str:
    (x, y), rest = points[0], points[1:]
    if not rest:
        return f"M{x} {y}h1"
    steps = []
    for right, down in rest:
        steps.append(f"{right - x}{'' if down < y else ' '}{down - y}")
        x, y = right, down
    return f"M{points[0][0]} {points[0][1]}l" + " ".join(steps).replace(" -", "-")


def _short(value: float) -> str:
    """A tick's label: no more decimals than it has."""
    text = f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) < 0.01 else f"{value:.2f}".rstrip("0").rstrip(".")
    return number(float(text), len(text.partition(".")[2]))
