"""A contact sheet as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.tables import CHIP_SIZE
from tasks.report.drawing import time_ticks
from tasks.report.ink import FACE_COLOURS, FACE_WORDS, font
from tasks.report.sheet import NUM_GAPS, NUM_SAMPLED, Cell, Sheet
from tasks.report.timeline import chip_image, shares_bar
from tasks.report.words import clock, count, number, precise_clock

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

MARGIN = 20
_SPACE = 8
WIDTH = 2 * MARGIN + NUM_SAMPLED * CHIP_SIZE + (NUM_SAMPLED - 1) * _SPACE
STRIP_TOP, STRIP_HEIGHT = 66, 26
_GAP_LINE = 18
_GAP_COLUMNS = 3
_CELL_HEIGHT = CHIP_SIZE + 36
_PAPER, _INK, _SOFT, _RULE = "#fffefb", "#1c1b19", "#57534c", "#d9d4ca"
_COLOURS = 256


def draw_sheet(sheet: Sheet, *, tag: str) -> Image:
    """The sheet as RGB, `WIDTH` pixels wide.

    Args:
        sheet: what it shows.
        tag: what it must say of the corpus; "" if nothing.
    """
    from PIL import Image as pillow  # noqa: N813
    from PIL import ImageDraw

    gap_lines = -(-min(len(sheet.gaps), NUM_GAPS) // _GAP_COLUMNS)
    gaps_top = STRIP_TOP + STRIP_HEIGHT + 34
    sampled_top = gaps_top + 24 + gap_lines * _GAP_LINE + 14
    worst_top = sampled_top + 26 + _CELL_HEIGHT + 8
    height = worst_top + (26 + _CELL_HEIGHT if sheet.worst else 0) + MARGIN // 2
    image = pillow.new("RGB", (WIDTH, height), _PAPER)
    draw = ImageDraw.Draw(image)
    _draw_head(draw, sheet, tag)
    image.paste(
        shares_bar(sheet.timeline, WIDTH - 2 * MARGIN, STRIP_HEIGHT, sheet.duration_seconds), (MARGIN, STRIP_TOP)
    )
    _draw_axis(draw, sheet)
    _draw_gaps(draw, sheet, gaps_top)
    _heading(draw, MARGIN, sampled_top, "Sampled evenly over time")
    for turn, cell in enumerate(sheet.sampled):
        _draw_cell(image, draw, cell, MARGIN + turn * (CHIP_SIZE + _SPACE), sampled_top + 26)
    left = MARGIN
    for heading, cells in sheet.worst:
        _heading(draw, left, worst_top, heading)
        for cell in cells:
            _draw_cell(image, draw, cell, left, worst_top + 26)
            left += CHIP_SIZE + _SPACE
        left = max(left, MARGIN)
    return image


def with_palette(image: Image) -> Image:
    """The same in 256 colours, a third of the bytes: those that carry meaning stay what they are, faces stay faces."""
    fixed = [*FACE_COLOURS.values(), _PAPER, _INK, _SOFT]
    found = image.quantize(_COLOURS - len(fixed))
    numbers = found.getpalette() or []
    numbers = numbers[: 3 * (_COLOURS - len(fixed))]
    found.putpalette([*numbers, *(int(colour[at : at + 2], 16) for colour in fixed for at in (1, 3, 5))])
    return image.quantize(palette=found)


def _draw_head(draw: ImageDraw, sheet: Sheet, tag: str) -> None:
    draw.text((MARGIN, 14), sheet.recording_id, fill=_INK, font=font(22, bold=True))
    x = MARGIN + draw.textlength(sheet.recording_id, font=font(22, bold=True)) + 16
    about = f"{count(sheet.timeline.num_frames, 'frame')}, {clock(sheet.duration_seconds)}"
    draw.text((x, 22), f"{about}. {tag}" if tag else about, fill=_SOFT, font=font(14))
    right = float(WIDTH - MARGIN)
    for name, share in reversed(sheet.timeline.shares.items()):
        text = f"{FACE_WORDS[name]} {number(100 * share, 1)} %"
        right -= draw.textlength(text, font=font(14))
        draw.text((right, 46), text, fill=_INK, font=font(14), anchor="lt")
        draw.rectangle([right - 18, 46, right - 6, 58], fill=FACE_COLOURS[name])
        right -= 40


def _draw_axis(draw: ImageDraw, sheet: Sheet) -> None:
    width, y = WIDTH - 2 * MARGIN, STRIP_TOP + STRIP_HEIGHT
    for tick in time_ticks(sheet.duration_seconds):
        x = MARGIN + tick.percent / 100 * width
        draw.line([(x, y), (x, y + 5)], fill=_SOFT)
        anchor = "lt" if tick.percent < 2 else "rt" if tick.percent > 98 else "mt"
        draw.text((x, y + 8), tick.label, fill=_SOFT, font=font(12), anchor=anchor)


def _draw_gaps(draw: ImageDraw, sheet: Sheet, top: int) -> None:
    if not sheet.gaps:
        _heading(draw, MARGIN, top, "A face in every frame")
        return
    more = f", the {NUM_GAPS} longest" if len(sheet.gaps) > NUM_GAPS else ""
    _heading(draw, MARGIN, top, f"Without a face: {count(len(sheet.gaps), 'span')}{more}")
    column_width = (WIDTH - 2 * MARGIN) // _GAP_COLUMNS
    for turn, (start, end) in enumerate(sheet.gaps[:NUM_GAPS]):
        x = MARGIN + turn % _GAP_COLUMNS * column_width
        y = top + 24 + turn // _GAP_COLUMNS * _GAP_LINE
        text = f"{precise_clock(start)} to {precise_clock(end)}"
        draw.text((x, y), text, fill=_INK, font=font(13))
        draw.text((x + 170, y), f"{number(end - start, 2)} s", fill=_SOFT, font=font(13))


def _heading(draw: ImageDraw, x: int, y: int, text: str) -> None:
    draw.text((x, y), text, fill=_INK, font=font(14, bold=True))


def _draw_cell(image: Image, draw: ImageDraw, cell: Cell, x: int, y: int) -> None:
    from PIL import Image as pillow  # noqa: N813

    if cell.chip is not None:
        image.paste(pillow.fromarray(chip_image(cell.chip)).convert("RGB"), (x, y))
    else:
        colour = FACE_COLOURS["none"] if cell.source == "none" else _RULE
        draw.rectangle([x, y, x + CHIP_SIZE - 1, y + CHIP_SIZE - 1], fill="#f6f3ec", outline=colour, width=2)
        word = FACE_WORDS["none"] if cell.source == "none" else "no chip"
        draw.text((x + CHIP_SIZE / 2, y + CHIP_SIZE / 2), word, fill=_SOFT, font=font(13), anchor="mm")
    draw.rectangle([x, y + CHIP_SIZE, x + CHIP_SIZE - 1, y + CHIP_SIZE + 2], fill=FACE_COLOURS[cell.source])
    draw.text((x, y + CHIP_SIZE + 5), precise_clock(cell.time_seconds), fill=_INK, font=font(12))
    if cell.note:
        draw.text((x, y + CHIP_SIZE + 19), cell.note, fill=_SOFT, font=font(12))
