"""Bars and curves as PNG, for markdown, which can show nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tasks.report.drawing import drawn_of, row_keys
from tasks.report.summary import ReportRow, Score, ScoreTable
from tasks.report.words import clock

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tasks.report.traces import Trace

_DPI = 110
_WIDTH_INCHES = 8.6
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8a8a",
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "xtick.color": "#4d4d4d",
    "ytick.color": "#4d4d4d",
    "legend.frameon": False,
}


def bars_png(table: ScoreTable) -> str:
    """Grouped bars of one metric by rater, as a data URI."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    table = drawn_of(table)
    names = [*table.raters, "mean"]
    keys = row_keys([ReportRow(row.model_id, row.label, row.role) for row in table.rows])
    width = 0.82 / len(table.rows)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(max(_WIDTH_INCHES, 0.6 * len(names)), 3.4), layout="constrained")
        axes = figure.add_subplot()
        for turn, (key, row) in enumerate(zip(keys, table.rows, strict=True)):
            at = [place + (turn - (len(keys) - 1) / 2) * width for place in range(len(names))]
            heights = [0.0 if value is None else value for value in (*row.values, row.mean)]
            fill = "white" if key.hollow else key.colour
            axes.bar(at, heights, width * 0.9, label=key.label, color=fill, edgecolor=key.colour, linewidth=0.8)
            _whiskers(axes, at, [*row.scores, row.summary])
        axes.axhline(0, color="#4d4d4d", linewidth=0.8)
        axes.set_xticks(range(len(names)), names)
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel(table.metric.upper())
        figure.legend(loc="outside lower center", ncols=2)
        return _png(figure)


def traces_png(traces: Sequence[Trace], value_range: tuple[float, float], *, model: str) -> str:
    """The raters' band and their mean against the prediction, a panel for each recording, as a data URI."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_INCHES, 1.75 * len(traces) + 0.5), layout="constrained")
        panels = figure.subplots(len(traces), 1, squeeze=False)
        for axes, trace in zip(panels[:, 0], traces, strict=True):
            _trace(axes, trace, value_range, model=model)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
        return _png(figure)


def _whiskers(axes: Axes, at: Sequence[float], scores: Sequence[Score]) -> None:
    for place, score in zip(at, scores, strict=True):
        if score.low is not None and score.high is not None:
            axes.vlines(place, score.low, score.high, color="#1a1a1a", linewidth=0.8)


def _trace(axes: Axes, trace: Trace, value_range: tuple[float, float], *, model: str) -> None:
    glance = trace.glance
    for turn, (start, end) in enumerate(trace.gaps):
        axes.axvspan(start, end, color="#e9e4dc", linewidth=0, label="no face found" if turn == 0 else None)
    axes.fill_between(glance.at, glance.low, glance.high, color="#cfd4d8", linewidth=0, label="all raters")
    axes.plot(glance.at, glance.rating, color="#1a1a1a", linewidth=1.3, label="rating")
    axes.plot(glance.at, glance.prediction, color="#0072B2", linewidth=1.4, label=model)
    axes.set_title(f"{trace.recording_id}, {trace.partition}" + (f": {trace.missing}" if trace.missing else ""))
    axes.set_ylim(*value_range)
    axes.set_xlim(0, trace.duration_seconds)
    axes.xaxis.set_major_formatter(lambda at, _: clock(at))
    axes.axhline(0, color="#cccccc", linewidth=0.6, zorder=0)


def _png(figure: Figure) -> str:
    """The figure as a data URI, with no metadata, so that equal numbers give equal bytes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
