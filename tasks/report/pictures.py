"""Bars and curves as PNG, for markdown, which can show nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tasks.report.drawing import row_keys
from tasks.report.summary import ReportRow, ScoreTable
from tasks.report.words import clock

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tasks.report.traces import Line, Trace

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
        axes.axhline(0, color="#4d4d4d", linewidth=0.8)
        axes.set_xticks(range(len(names)), names)
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel(table.metric.upper())
        figure.legend(loc="outside lower center", ncols=2)
        return _png(figure)


def traces_png(traces: Sequence[Trace], value_range: tuple[float, float], *, model: str, single_frame: str) -> str:
    """The raters and their mean against the prediction, one panel for each recording, as a data URI."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_INCHES, 1.75 * len(traces) + 0.5), layout="constrained")
        panels = figure.subplots(len(traces), 1, squeeze=False)
        for axes, trace in zip(panels[:, 0], traces, strict=True):
            _trace(axes, trace, value_range, model=model, single_frame=single_frame)
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        return _png(figure)


def _trace(axes: Axes, trace: Trace, value_range: tuple[float, float], *, model: str, single_frame: str) -> None:
    for turn, (start, end) in enumerate(trace.gaps):
        axes.axvspan(start, end, color="#e9e4dc", linewidth=0, label="no face found" if turn == 0 else None)
    for turn, line in enumerate(trace.raters):
        _draw(axes, line, "each rater" if turn == 0 else None, colour="#b4b4b4", width=0.5)
    if single_frame:
        _draw(axes, trace.mean.single_frame, single_frame, colour="#E69F00", width=0.8, alpha=0.65)
    _draw(axes, trace.mean.rating, "mean over raters", colour="#1a1a1a", width=1.3)
    _draw(axes, trace.mean.prediction, model, colour="#0072B2", width=1.4)
    axes.set_title(f"{trace.recording_id}, {trace.partition}" + (f": {trace.missing}" if trace.missing else ""))
    axes.set_ylim(*value_range)
    axes.set_xlim(0, trace.duration_seconds)
    axes.xaxis.set_major_formatter(lambda at, _: clock(at))
    axes.axhline(0, color="#cccccc", linewidth=0.6, zorder=0)


def _draw(axes: Axes, line: Line, label: str | None, *, colour: str, width: float, alpha: float = 1.0) -> None:
    for turn, piece in enumerate(line):
        axes.plot(
            piece[:, 0],
            piece[:, 1],
            color=colour,
            linewidth=width,
            alpha=alpha,
            label=label if turn == 0 else None,
        )


def _png(figure: Figure) -> str:
    """The figure as a data URI, with no metadata, so that equal numbers give equal bytes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
