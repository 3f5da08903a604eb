"""Drawing straight into the planes of a yuv420p picture: what is decoded is encoded again without a detour by RGB."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tasks.report.ink import font

if TYPE_CHECKING:
    from PIL.Image import Image

ByteArray = npt.NDArray[np.uint8]
Planes = tuple[ByteArray, ByteArray, ByteArray]

GROUND = "#16181c"
WHITE = "#ffffff"
SOFT = "#a9adb5"

_LUMA = np.rint(16 + np.arange(256) * (219 / 255)).astype(np.uint8)
_CHROMA = np.rint(128 + (np.arange(256) - 128) * (224 / 255)).astype(np.uint8)


@cache
def yuv(colour: str) -> tuple[int, int, int]:
    """`#rrggbb` in limited-range BT.601 (ITU-R BT.601-7, section 2.5)."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return (
        round(16 + 219 * luma),
        round(128 + 224 * (blue - luma) / 1.772),
        round(128 + 224 * (red - luma) / 1.402),
    )


def even(pixels: float) -> int:
    """The nearest even number, at least 2: chroma has half the resolution."""
    return max(2, 2 * round(pixels / 2))


def planes_of(image: Image) -> Planes:
    """Limited-range yuv420p planes of an RGB or gray picture of even size."""
    from PIL import Image as pillow  # noqa: N813

    y, u, v = image.convert("RGB").convert("YCbCr").split()
    half = (image.width // 2, image.height // 2)
    u, v = (plane.resize(half, pillow.Resampling.BOX) for plane in (u, v))
    return _LUMA[np.asarray(y)], _CHROMA[np.asarray(u)], _CHROMA[np.asarray(v)]


@lru_cache(maxsize=4096)
def letters(text: str, pixels: int, *, bold: bool = False) -> ByteArray:
    """Coverage of a line of text, `[height, width]`, 0 to 255."""
    from PIL import Image as pillow  # noqa: N813
    from PIL import ImageDraw

    face = font(pixels, bold=bold)
    ascent, descent = face.getmetrics()
    image = pillow.new("L", (max(1, int(face.getlength(text)) + 2), ascent + descent))
    ImageDraw.Draw(image).text((0, 0), text, fill=255, font=face)
    return np.asarray(image)


@lru_cache(maxsize=64)
def _disc(radius: int, x: int, y: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """A disc's pixels around (x, y) of a small even square, and those of its chroma planes."""
    size = 2 * radius + 4
    row, column = np.mgrid[:size, :size]
    full = (row - y) ** 2 + (column - x) ** 2 <= (radius + 0.3) ** 2
    return full, full.reshape(size // 2, 2, size // 2, 2).sum(axis=(1, 3)) >= 2


class Canvas:
    """One yuv420p picture of even size, limited-range BT.601. Whatever is drawn outside it is cut off.

    `array` is `[height * 3 / 2, width]`, the layout that PyAV takes.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.array = np.empty((height * 3 // 2, width), np.uint8)
        flat, luma = self.array.reshape(-1), width * height
        self.y = flat[:luma].reshape(height, width)
        self.u = flat[luma : luma + luma // 4].reshape(height // 2, width // 2)
        self.v = flat[luma + luma // 4 :].reshape(height // 2, width // 2)

    def fill(self, left: int, top: int, right: int, bottom: int, colour: str) -> None:
        """A rectangle of half-open spans; its colour reaches to even edges, its light to the given ones."""
        left, right = sorted(min(max(at, 0), self.width) for at in (left, right))
        top, bottom = sorted(min(max(at, 0), self.height) for at in (top, bottom))
        if left == right or top == bottom:
            return
        luma, blue, red = yuv(colour)
        self.y[top:bottom, left:right] = luma
        half = np.s_[top // 2 : (bottom + 1) // 2, left // 2 : (right + 1) // 2]
        self.u[half] = blue
        self.v[half] = red

    def frame(self, left: int, top: int, right: int, bottom: int, colour: str, *, thickness: int) -> None:
        """A rectangle's outline, inside the given edges."""
        inner_top, inner_bottom = min(top + thickness, bottom), max(bottom - thickness, top)
        self.fill(left, top, right, inner_top, colour)
        self.fill(left, inner_bottom, right, bottom, colour)
        self.fill(left, inner_top, min(left + thickness, right), inner_bottom, colour)
        self.fill(max(right - thickness, left), inner_top, right, inner_bottom, colour)

    def disc(self, x: float, y: float, radius: int, colour: str) -> None:
        """A filled disc around a point; left out where it does not lie inside the picture as a whole."""
        column, row = round(x), round(y)
        left, top = (column - radius - 1) // 2 * 2, (row - radius - 1) // 2 * 2
        full, half = _disc(radius, column - left, row - top)
        if left < 0 or top < 0 or left + len(full) > self.width or top + len(full) > self.height:
            return
        luma, blue, red = yuv(colour)
        self.y[top : top + len(full), left : left + len(full)][full] = luma
        place = np.s_[top // 2 : top // 2 + len(half), left // 2 : left // 2 + len(half)]
        self.u[place][half] = blue
        self.v[place][half] = red

    def text(self, x: int, y: int, text: str, pixels: int, *, colour: str = WHITE, bold: bool = False) -> int:
        """A line of text with its upper left corner at (x, y), in a gray; where it ends."""
        mask = letters(text, pixels, bold=bold)
        x, y = max(x, 0), max(y, 0)
        mask = mask[: max(self.height - y, 0), : max(self.width - x, 0)]
        place = self.y[y : y + mask.shape[0], x : x + mask.shape[1]]
        light = yuv(colour)[0]
        place[:] = (place + (light - place.astype(np.int32)) * mask // 255).astype(np.uint8)
        return x + int(mask.shape[1])

    def paste(self, left: int, top: int, planes: Planes) -> None:
        """Planes of a picture with its corner at even (left, top), cut to even edges where they reach beyond."""
        for plane, source, at in ((self.y, planes[0], 1), (self.u, planes[1], 2), (self.v, planes[2], 2)):
            row, column = top // at, left // at
            height = min(source.shape[0], plane.shape[0] - row)
            width = min(source.shape[1], plane.shape[1] - column)
            plane[row : row + height, column : column + width] = source[:height, :width]
