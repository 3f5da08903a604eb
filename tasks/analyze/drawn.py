"""The video of an analysis: the clip's own pictures with the face, its expressions, and the running valence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.cards import ExpressionCard
from tasks.analyze.clips import Clip
from tasks.analyze.content import EXPRESSION_COLOURS, VALENCE_RANGE, Analysis
from tasks.analyze.plan import KEY_MARK, SMOOTHING_SECONDS
from tasks.faces.decode import shown_size
from tasks.ingest.recordings import Recording
from tasks.overlay.canvas import SOFT, Canvas, even
from tasks.overlay.inputs import frame_parts
from tasks.overlay.layout import Layout, Painter, lay_out
from tasks.overlay.stage import write_drawn
from tasks.overlay.trace import PAGE_SECONDS, Trace
from tasks.report.timeline import Timeline, read_timeline
from tasks.report.words import number
from tasks.store.layout import Store
from tasks.store.parts import code_version

_GROOVE = "#2c3038"


def write_video(store: Store, recording: Recording, clip: Clip, analysis: Analysis, *, card: ExpressionCard) -> None:
    """Write the annotated video of a clip.

    Raises:
        DecodeError: the pictures are not those that the rows were made from.
        StoreError: the folder cannot be written.
    """
    timeline = read_timeline(frame_parts(store, recording))
    duration = max(recording.duration_seconds, float(timeline.times[-1]), 1e-3)
    trace = valence_trace(analysis, duration)
    layout = lay_out(shown_size(recording), trace)
    painter = ExpressionPainter(layout, timeline, trace, duration=duration, analysis=analysis)
    comment = f"AffectFlow {code_version()}, expressions by {card.model_id}; {KEY_MARK}{analysis.key}"
    write_drawn(store, recording, clip.video, partial(painter.paint, others=()), comment=comment)


def valence_trace(analysis: Analysis, duration: float) -> Trace:
    """The smoothed valence as the overlay's running trace, on a scale that is the same for every clip."""
    return Trace(
        titles=(f"valence estimate, mean over {SMOOTHING_SECONDS:g} s", "above 0 pleasant, below 0 unpleasant"),
        raters=("valence",),
        times=analysis.times,
        values=analysis.smoothed.astype(np.float32)[:, None],
        band=None,
        value_range=VALENCE_RANGE,
        page_seconds=min(PAGE_SECONDS, duration),
    )


class ExpressionPainter(Painter):
    """The overlay's painter with a bar for each expression in the panel, in place of the measures of quality."""

    def __init__(
        self, layout: Layout, timeline: Timeline, trace: Trace, *, duration: float, analysis: Analysis
    ) -> None:
        super().__init__(layout, timeline, trace, duration=duration, tag="")
        self._classes, self._probabilities = analysis.classes, analysis.probabilities

    def _values(self, row: dict[str, Any]) -> list[tuple[str, str]]:
        return []

    def _place(self, row: dict[str, Any]) -> list[str]:
        return [""] * (len(self._classes) + 1) + super()._place(row)

    def _paint_panel(self, row: dict[str, Any]) -> None:
        super()._paint_panel(row)
        layout = self.layout
        top = layout.margin + layout.panel_width - 2 * layout.margin + even(layout.margin / 2)
        paint_bars(
            self.canvas,
            layout,
            round(top + 1.5 * layout.line),
            self._classes,
            self._probabilities[row["frame_index"]],
        )


def paint_bars(
    canvas: Canvas, layout: Layout, top: int, classes: Sequence[str], probabilities: npt.NDArray[np.float32]
) -> None:
    """A line for each class: its bar, its name, its probability in per cent; the most probable one is in bold.

    Args:
        canvas: drawn on.
        layout: of the canvas.
        top: where the first line begins, pixels.
        classes: names, in the order of the lines.
        probabilities: `[class]`; NaN draws empty bars.
    """
    left, width = layout.left_width + layout.margin, layout.panel_width - 2 * layout.margin
    known = bool(np.isfinite(probabilities).all())
    best = int(probabilities.argmax()) if known else -1
    bar_left = left + even(width * 0.47)
    bar_width = left + width - bar_left - even(width * 0.24)
    for place, (name, value) in enumerate(zip(classes, probabilities.tolist(), strict=True)):
        y = even(top) + place * even(layout.line)
        upper, lower = y + even(layout.line * 0.2), y + even(layout.line * 0.85)
        canvas.fill(bar_left, upper, bar_left + bar_width, lower, _GROOVE)
        text = "-"
        if known:
            canvas.fill(bar_left, upper, bar_left + round(bar_width * value), lower, EXPRESSION_COLOURS[name])
            text = f"{number(100 * value, 0)} %"
        colour = "#ffffff" if place == best else SOFT
        canvas.text(left, y, name, layout.letter, colour=colour, bold=place == best)
        canvas.text(bar_left + bar_width + even(layout.margin / 2), y, text, layout.letter, colour=colour)
