"""Where everything stands in an overlay's pictures, and the drawing of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from tasks.faces.decode import Picture
from tasks.overlay.canvas import GROUND, SOFT, WHITE, Canvas, even, letters, planes_of
from tasks.overlay.trace import Plot, Trace, draw_page
from tasks.report.ink import FACE_COLOURS, FACE_WORDS, font
from tasks.report.timeline import Timeline, chip_image, shares_bar
from tasks.report.words import clock, number, precise_clock

_PANEL_WIDTH, _PANEL_HEIGHT = 150, 350
"""Room that the panel's chip and its longest list of values need at scale 1, pixels."""
_MEASURES = (
    # column, what stands beside it, decimals, unit
    ("detection_score", "score", 2, ""),
    ("tracking_score", "tracking", 3, ""),
    ("sharpness", "sharpness", 0, ""),
    ("brightness", "brightness", 0, ""),
    ("yaw", "yaw", 0, "°"),
    ("pitch", "pitch", 0, "°"),
    ("roll", "roll", 0, "°"),
    ("num_other_faces", "other faces", 0, ""),
)


_OTHER = "#d7dae0"


@dataclass(frozen=True)
class Layout:
    """Sizes in pixels, all even: the picture at (0, 0), the trace below it, the panel beside, the strip below all.

    The panel ends in the raters' values, `values_height`, beside the trace.
    """

    scale: float
    picture: tuple[int, int]
    panel_width: int
    upper_height: int
    values_height: int
    strip_height: int

    @property
    def left_width(self) -> int:
        return even(self.picture[0] + 0.9)

    @property
    def trace_top(self) -> int:
        return even(self.picture[1] + 0.9)

    @property
    def values_top(self) -> int:
        return self.upper_height - self.values_height

    @property
    def width(self) -> int:
        return self.left_width + self.panel_width

    @property
    def height(self) -> int:
        return self.upper_height + self.strip_height

    @property
    def margin(self) -> int:
        return even(8 * self.scale)

    @property
    def letter(self) -> int:
        return round(12 * self.scale)

    @property
    def line(self) -> int:
        return round(16 * self.scale)


def lay_out(picture: tuple[int, int], trace: Trace | None) -> Layout:
    """The layout around a picture of (width, height)."""
    scale = min(max(min(picture[1] / _PANEL_HEIGHT, picture[0] / 300), 1.0), 3.0)
    values_height = even((16 * len(trace.raters) + 30) * scale) if trace else 0
    trace_height = max(values_height, even(140 * scale)) if trace else 0
    return Layout(
        scale=scale,
        picture=picture,
        panel_width=even(_PANEL_WIDTH * scale),
        upper_height=max(even(picture[1] + 0.9) + trace_height, even(_PANEL_HEIGHT * scale) + values_height),
        values_height=values_height,
        strip_height=even(36 * scale),
    )


class Painter:
    """Draws one picture after another onto one canvas; what does not change is drawn once."""

    def __init__(self, layout: Layout, timeline: Timeline, trace: Trace | None, *, duration: float, tag: str) -> None:
        self.layout, self.canvas = layout, Canvas(layout.width, layout.height)
        self._timeline, self._trace, self._duration, self._tag = timeline, trace, duration, tag
        self._page = -1
        self.canvas.fill(0, 0, layout.width, layout.height, GROUND)
        self._strip = planes_of(_strip(layout, timeline, duration))
        self._plot = Plot(
            width=layout.left_width,
            height=layout.upper_height - layout.trace_top,
            margin=even(38 * layout.scale),
            head=2 * layout.line + layout.margin,
            foot=layout.line,
            letter=round(11 * layout.scale),
        )

    def paint(self, picture: Picture, row: dict[str, Any], others: Sequence[dict[str, Any]]) -> Canvas:
        """The picture with its row and those of other people in it; the canvas is the same object each time."""
        self.canvas.paste(0, 0, (picture.y, picture.u, picture.v))
        for other in others:
            self._paint_other(other)
        if row["face_valid"]:
            self._paint_face(row)
        else:
            self._paint_absence()
        self._paint_panel(row)
        if self._trace is not None:
            self._paint_trace(self._trace, row)
        self._paint_strip(row["time_seconds"])
        return self.canvas

    def _paint_face(self, row: dict[str, Any]) -> None:
        canvas, thick = self.canvas, even(2 * self.layout.scale)
        colour = FACE_COLOURS[row["face_source"]]
        width, height = self.layout.picture
        if row["box_left"] is not None:
            left, top, right, bottom = self._box(row)
            canvas.frame(left - 1, top - 1, right + 1, bottom + 1, WHITE, thickness=1)
            canvas.frame(left, top, right, bottom, colour, thickness=thick)
        if row["landmarks"] is not None:
            radius = max(2, round(1.6 * self.layout.scale))
            for x, y in np.reshape(row["landmarks"], (-1, 2)).tolist():
                if 0 <= x < width and 0 <= y < height:
                    canvas.disc(x, y, radius + 1, "#000000")
                    canvas.disc(x, y, radius, "#F0E442")

    def _paint_other(self, row: dict[str, Any]) -> None:
        """Somebody else: a plain box with the person's number."""
        canvas, layout = self.canvas, self.layout
        left, top, right, bottom = self._box(row)
        canvas.frame(left, top, right, bottom, _OTHER, thickness=even(layout.scale))
        text = f"person {row['person']}"
        width, height = even(letters(text, layout.letter).shape[1] + layout.margin), even(layout.line)
        y = top - height if top >= height else min(bottom, layout.picture[1] // 2 * 2 - height)
        canvas.fill(left, y, min(left + width, layout.left_width), y + height, GROUND)
        canvas.text(left + layout.margin // 2, y, text, layout.letter, colour=_OTHER)

    def _box(self, row: dict[str, Any]) -> list[int]:
        """A row's box on even pixels, cut off at the picture's edges."""
        edges = (row[f"box_{side}"] for side in ("left", "top", "right", "bottom"))
        return [
            min(max(2 * round(edge / 2), 0), most) for edge, most in zip(edges, self.layout.picture * 2, strict=True)
        ]

    def _paint_absence(self) -> None:
        layout, canvas = self.layout, self.canvas
        width, height = (2 * (side // 2) for side in layout.picture)
        canvas.frame(0, 0, width, height, FACE_COLOURS["none"], thickness=even(3 * layout.scale))
        bottom = even(layout.line * 1.4)
        canvas.fill(0, 0, even(6.5 * layout.letter), bottom, FACE_COLOURS["none"])
        canvas.text(layout.margin, (bottom - layout.line) // 2, "no face", layout.letter, bold=True)

    def _paint_panel(self, row: dict[str, Any]) -> None:
        layout, canvas = self.layout, self.canvas
        left, right = layout.left_width, layout.width
        canvas.fill(left, 0, right, layout.values_top, GROUND)
        margin, side = layout.margin, layout.panel_width - 2 * layout.margin
        x, y = left + margin, margin
        if row["chip"] is not None:
            chip = Image.fromarray(chip_image(row["chip"])).resize((side, side), Image.Resampling.BILINEAR)
            canvas.paste(x, y, planes_of(chip))
        else:
            canvas.frame(x, y, x + side, y + side, "#4a4f59", thickness=2)
            word = "no chip" if row["face_valid"] else "no face"
            canvas.text(x + side // 4, y + side // 2 - layout.line // 2, word, layout.letter, colour=SOFT)
        y += side + even(margin / 2)
        source = row["face_source"]
        swatch = even(10 * layout.scale)
        top = 2 * round((y + (layout.line - swatch) / 2) / 2)
        canvas.fill(x, top, x + swatch, top + swatch, FACE_COLOURS[source])
        canvas.text(x + swatch + margin, y, FACE_WORDS[source], layout.letter, bold=True)
        for name, value in self._values(row):
            y += layout.line
            canvas.text(x, y, name, layout.letter, colour=SOFT)
            canvas.text(x + round(80 * layout.scale), y, value, layout.letter)
        for line in self._place(row):
            y += layout.line
            canvas.text(x, y, line, layout.letter, colour=SOFT)

    def _values(self, row: dict[str, Any]) -> list[tuple[str, str]]:
        """Measures that the row has."""
        return [
            (name, f"{number(row[column], digits)}{unit}")
            for column, name, digits, unit in _MEASURES
            if row.get(column) is not None
        ]

    def _place(self, row: dict[str, Any]) -> list[str]:
        """Which frame this is, when, and of what kind of corpus."""
        frame = f"frame {row['frame_index']} of {self._timeline.num_frames}"
        return [frame, f"at {precise_clock(row['time_seconds'])}", *([self._tag] if self._tag else [])]

    def _paint_trace(self, trace: Trace, row: dict[str, Any]) -> None:
        layout, canvas, plot = self.layout, self.canvas, self._plot
        page, top = trace.page_of(row["time_seconds"]), layout.trace_top
        if page != self._page:
            self._page, self._drawn = page, planes_of(draw_page(trace, plot, page))
        canvas.paste(0, top, self._drawn)
        x = round(plot.x(trace, row["time_seconds"]))
        canvas.y[top + plot.head : top + plot.height - plot.foot, x : x + max(1, round(layout.scale))] = 235
        values = trace.values[row["frame_index"]]
        dot = max(2, round(2 * layout.scale))
        for value, colour in zip(values.tolist(), trace.colours, strict=True):
            if np.isfinite(value):
                canvas.disc(x, top + plot.y(trace, value), dot, colour)
        self._paint_values(trace, values.tolist())

    def _paint_values(self, trace: Trace, values: list[float]) -> None:
        """Each curve's value at this moment."""
        layout, canvas = self.layout, self.canvas
        left, y = layout.left_width, layout.values_top
        canvas.fill(left, y, layout.width, layout.upper_height, GROUND)
        x, letter = left + layout.margin, round(11 * layout.scale)
        y += even(14 * layout.scale)
        swatch = even(8 * layout.scale)
        for name, value, colour in zip(trace.raters, values, trace.colours, strict=True):
            top = 2 * round((y + (layout.line - swatch) / 2) / 2)
            canvas.fill(x, top, x + swatch, top + swatch, colour)
            canvas.text(x + swatch + layout.margin // 2, y, _short(name), letter, colour=SOFT)
            text = number(value if np.isfinite(value) else None, 2)
            canvas.text(x + round(80 * layout.scale), y, text, letter)
            y += layout.line

    def _paint_strip(self, seconds: float) -> None:
        layout, canvas = self.layout, self.canvas
        top = layout.upper_height
        canvas.paste(0, top, self._strip)
        left, width = _strip_span(layout)
        x = left + round(min(max(seconds, 0.0) / self._duration, 1.0) * (width - 1))
        bar = even(4 * layout.scale) + even(12 * layout.scale)
        thick = max(2, round(1.5 * layout.scale))
        canvas.y[top : top + bar + even(2 * layout.scale), x - 1 : x - 1 + thick] = 235


def _short(name: str) -> str:
    """A rater's name on one line of at most eight letters, whatever its file called them."""
    flat = " ".join(name.split())
    return flat if len(flat) <= 8 else f"{flat[:7]}\N{HORIZONTAL ELLIPSIS}"


def _strip_span(layout: Layout) -> tuple[int, int]:
    return layout.margin, layout.width - 2 * layout.margin


def _strip(layout: Layout, timeline: Timeline, duration: float) -> Image.Image:
    """The whole recording in one bar, and in words below it."""
    image = Image.new("RGB", (layout.width, layout.strip_height), GROUND)
    left, width = _strip_span(layout)
    top, height = even(4 * layout.scale), even(12 * layout.scale)
    image.paste(shares_bar(timeline, width, height, duration), (left, top))
    draw, letter = ImageDraw.Draw(image), font(round(11 * layout.scale))
    x, y = float(left), top + height + layout.line * 0.6
    for name, share in timeline.shares.items():
        swatch = round(8 * layout.scale)
        draw.rectangle([x, y - swatch / 2, x + swatch, y + swatch / 2], fill=FACE_COLOURS[name])
        text = f"{FACE_WORDS[name]} {100 * share:.1f} %"
        draw.text((x + 1.5 * swatch, y), text, fill=SOFT, font=letter, anchor="lm")
        x += 1.5 * swatch + draw.textlength(text, font=letter) + 2 * layout.margin
    draw.text((left + width, y), clock(duration), fill=SOFT, font=letter, anchor="rm")
    return image
