"""Colours and letters of every picture that is drawn pixel by pixel: the overlay and the contact sheets."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

FACE_COLOURS = {"detected": "#56B4E9", "tracked": "#0072B2", "none": "#D55E00"}
"""By `face_source`. Okabe and Ito's colours: a face is blue, its absence is not, for every common kind of eye."""

FACE_WORDS = {"detected": "detected", "tracked": "tracked", "none": "no face"}
"""By `face_source`: what stands beside the colour, so that no meaning hangs on the colour alone."""

CURVE_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#CC79A7", "#FFFFFF", "#0072B2")
"""Okabe and Ito's colours for curves on a dark ground, the most distinct ones first."""


@cache
def font(pixels: int, *, bold: bool = False) -> FreeTypeFont:
    """DejaVu Sans, which matplotlib ships, at a height in pixels."""
    from PIL import ImageFont

    spec = importlib.util.find_spec("matplotlib")  # found, not imported: importing it takes longer than a short overlay
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / f"DejaVuSans{'-Bold' if bold else ''}.ttf"), pixels)
