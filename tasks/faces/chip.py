"""Cutting the aligned face out of a picture."""

from __future__ import annotations

from functools import cache

import dlib
import numpy as np
import numpy.typing as npt

from models.alignment import FloatArray, similarity_transform, template
from schemas.tables import CHIP_SIZE
from tasks.faces.decode import ByteArray, Picture

_MARGIN_PIXELS = 2


def aligned_chip(picture: Picture, landmarks: FloatArray, *, chip_format: str) -> ByteArray:
    """The aligned face as stored.

    Each plane is cut on its own, and only the chip is converted to RGB.

    Args:
        picture: the frame.
        landmarks: `[5, xy]`, pixels of the picture.
        chip_format: `rgb96` or `gray96`.

    Returns: `[96, 96, 3]` RGB, or `[96, 96]` gray, full range. Where the chip reaches beyond the picture, black.
    """
    y = _cut(picture.y, landmarks)
    if chip_format == "gray96":
        return _full_range(y)
    half = (landmarks + 0.5) / 2 - 0.5
    u, v = _cut(picture.u, half), _cut(picture.v, half)
    return _rgb(y, u, v)


def _cut(plane: ByteArray, points: FloatArray) -> ByteArray:
    """One plane's chip, `[96, 96]`: dlib's bilinear cut, after a block mean where the face is much larger."""
    transform = similarity_transform(_template(), points)
    factor = int(np.hypot(transform[0, 0], transform[1, 0]))
    if factor >= 2:  # dlib's own pyramid would shift the chip by half a pixel of each level
        plane, origin = _shrunk(plane, transform, factor)
        transform = similarity_transform(_template(), (points - origin + 0.5) / factor - 0.5)
    chip: ByteArray = dlib.extract_image_chip(plane, _details(transform))
    return chip


def _details(transform: FloatArray) -> dlib.chip_details:
    """dlib's name for a transform from chip to picture: where the outermost pixels' centres lie, before turning.

    Made from points, dlib would put these a chip's 96 instead of 95 pixels apart, and half a pixel of the picture off.
    """
    last = CHIP_SIZE - 1
    half = last / 2 * np.hypot(transform[0, 0], transform[1, 0])
    x, y = transform[:, :2] @ [last / 2, last / 2] + transform[:, 2]
    angle = float(np.arctan2(transform[1, 0], transform[0, 0]))
    return dlib.chip_details(
        dlib.drectangle(x - half, y - half, x + half, y + half), dlib.chip_dims(CHIP_SIZE, CHIP_SIZE), angle
    )


def _shrunk(plane: ByteArray, transform: FloatArray, factor: int) -> tuple[ByteArray, npt.NDArray[np.int64]]:
    """The chip's surroundings, each `factor` x `factor` block replaced by its mean, and their origin in `plane`."""
    last = CHIP_SIZE - 1
    corners = np.array([[0, 0], [last, 0], [0, last], [last, last]]) @ transform[:, :2].T + transform[:, 2]
    reach = _MARGIN_PIXELS * factor
    low = np.floor(corners.min(axis=0)).astype(np.int64) - reach
    high = np.ceil(corners.max(axis=0)).astype(np.int64) + reach
    blocks = -(-(high - low) // factor)
    window = np.zeros((blocks[1] * factor, blocks[0] * factor), dtype=np.uint8)
    bottom_right = np.minimum(low + blocks * factor, [plane.shape[1], plane.shape[0]])
    top_left = np.maximum(low, 0)
    if (bottom_right > top_left).all():
        (x0, y0), (x1, y1) = top_left, bottom_right
        window[y0 - low[1] : y1 - low[1], x0 - low[0] : x1 - low[0]] = plane[y0:y1, x0:x1]
    means = window.reshape(blocks[1], factor, blocks[0], factor).mean(axis=(1, 3))
    return np.rint(means).astype(np.uint8), low


def _full_range(y: ByteArray) -> ByteArray:
    return _rounded((y.astype(np.float32) - 16) * (255 / 219))


def _rgb(y: ByteArray, u: ByteArray, v: ByteArray) -> ByteArray:
    """Limited-range BT.601 to full-range RGB (ITU-R BT.601-7, section 2.5), `[height, width, 3]`."""
    outside = y == 0  # beyond the picture all planes are 0, which no limited-range black is
    luma = (y.astype(np.float32) - 16) * (255 / 219)
    blue, red = (u.astype(np.float32) - 128) * (255 / 224), (v.astype(np.float32) - 128) * (255 / 224)
    rgb = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=-1)
    rgb[outside] = 0
    return _rounded(rgb)


def _rounded(values: npt.NDArray[np.float32]) -> ByteArray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


@cache
def _template() -> FloatArray:
    return template(CHIP_SIZE)


def brightness_and_sharpness(chip: ByteArray) -> tuple[float, float]:
    """Mean luma (0 to 255) of a chip, and the variance of its Laplacian, which falls as the face blurs."""
    gray = chip.astype(np.float32)
    if gray.ndim == 3:
        gray = gray @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    inner = gray[1:-1, 1:-1]
    laplacian = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * inner
    return float(gray.mean()), float(laplacian.var())
