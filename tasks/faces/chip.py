"""Cutting the aligned face out of a picture."""

from __future__ import annotations

from functools import cache

import dlib
import numpy as np
import numpy.typing as npt

from models.alignment import FloatArray, similarity_transform, template
from schemas.tables import CHIP_SIZE, SIGNATURE_SIZE
from tasks.faces.decode import ByteArray, ColourMatrix, Picture

_MARGIN_PIXELS = 2
_LARGEST_SHORT_FACTOR = 16  # 16 x 16 pixels of 255 fit in 16 bits

_BLOCKS = round(SIGNATURE_SIZE**0.5)

Signature = npt.NDArray[np.float32]


def placement(landmarks: FloatArray) -> FloatArray:
    """Where a chip lies in its picture: the similarity transform from chip to picture, `[2, 3]`.

    Args:
        landmarks: `[5, xy]`, pixels of the picture.
    """
    return similarity_transform(_template(), landmarks)


def aligned_luma(picture: Picture, transform: FloatArray) -> ByteArray:
    """The luma of the aligned face, `[96, 96]`, limited range; 0 where the chip reaches beyond the picture.

    Args:
        picture: the frame.
        transform: of `placement`.
    """
    return _cut(picture.y, transform)


def signature_of(luma: ByteArray) -> Signature:
    """An aligned face in 24x24 blocks, `[576]`, mean 0 and length 1: two of them multiply to their correlation.

    Args:
        luma: `[96, 96]`, of `aligned_luma`.
    """
    rows = luma.reshape(_BLOCKS, -1, CHIP_SIZE).sum(axis=1, dtype=np.uint16)
    blocks = rows.reshape(_BLOCKS, _BLOCKS, -1).sum(axis=2, dtype=np.uint16)
    flat: Signature = blocks.astype(np.float32).ravel()
    flat -= flat.mean()
    flat /= max(float(np.sqrt(flat @ flat)), 1e-6)
    return flat


def finished_chip(luma: ByteArray, picture: Picture, transform: FloatArray, *, chip_format: str) -> ByteArray:
    """The aligned face as stored, from its luma and the picture's colour planes.

    Each plane is cut on its own, and only the chip is converted to RGB.

    Args:
        luma: of `aligned_luma`, for the same picture and transform.
        picture: the frame.
        transform: of `placement`.
        chip_format: `rgb96` or `gray96`.

    Returns: `[96, 96, 3]` RGB, or `[96, 96]` gray, full range. Where the chip reaches beyond the picture, black.
    """
    if chip_format == "gray96":
        return _rounded(full_range(luma))
    half = transform / 2
    half[:, 2] -= 0.25  # the centre of a plane's first pixel is that of four luma pixels: x' = (x + .5) / 2 - .5
    return rgb_from_planes(luma, _cut(picture.u, half), _cut(picture.v, half), picture.matrix)


def _cut(plane: ByteArray, transform: FloatArray) -> ByteArray:
    """One plane's chip, `[96, 96]`: dlib's bilinear cut, after a block mean where the face is much larger."""
    factor = int(np.hypot(transform[0, 0], transform[1, 0]))
    if factor >= 2:  # dlib's own pyramid would shift the chip by half a pixel of each level
        plane, origin = _shrunk(plane, transform, factor)
        transform = transform / factor
        transform[:, 2] += (0.5 - origin) / factor - 0.5
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
    end = low + blocks * factor
    if (low >= 0).all() and end[0] <= plane.shape[1] and end[1] <= plane.shape[0]:
        return _block_means(plane[low[1] : end[1], low[0] : end[0]], factor), low
    window = np.zeros((blocks[1] * factor, blocks[0] * factor), dtype=np.uint8)
    bottom_right = np.minimum(end, [plane.shape[1], plane.shape[0]])
    top_left = np.maximum(low, 0)
    if (bottom_right > top_left).all():
        (x0, y0), (x1, y1) = top_left, bottom_right
        window[y0 - low[1] : y1 - low[1], x0 - low[0] : x1 - low[0]] = plane[y0:y1, x0:x1]
    return _block_means(window, factor), low


def _block_means(window: ByteArray, factor: int) -> ByteArray:
    """Mean of each `factor` x `factor` block, rounded. Strided sums: numpy's mean over axes takes ten times as long."""
    wide: type[np.unsignedinteger] = np.uint16 if factor <= _LARGEST_SHORT_FACTOR else np.uint32
    rows = window[0::factor].astype(wide)
    for offset in range(1, factor):
        rows += window[offset::factor]
    sums = rows[:, 0::factor].copy()
    for offset in range(1, factor):
        sums += rows[:, offset::factor]
    means: ByteArray = np.rint(sums * np.float32(1 / (factor * factor))).astype(np.uint8)  # halves to even: no bias
    return means


def full_range(luma: ByteArray) -> npt.NDArray[np.float32]:
    """Limited-range luma (16 to 235) as 0 to 255; what lies beyond the picture stays 0."""
    values: npt.NDArray[np.float32] = np.maximum((luma.astype(np.float32) - 16) * (255 / 219), 0)
    return values


_RGB_FROM_YUV: dict[ColourMatrix, tuple[float, float, float, float]] = {
    "bt601": (1.402, 0.344136, 0.714136, 1.772),  # ITU-R BT.601-7, section 2.5
    "bt709": (1.5748, 0.187324, 0.468124, 1.8556),  # ITU-R BT.709-6, section 3
}
"""Red by Cr, green by -Cb and -Cr, blue by Cb, for full-range values."""


def rgb_from_planes(y: ByteArray, u: ByteArray, v: ByteArray, matrix: ColourMatrix) -> ByteArray:
    """Limited-range YCbCr of equal planes to full-range RGB, `[height, width, 3]`.

    Black where `y` is 0, which no limited-range black is: dlib puts it beyond the picture.
    """
    red_cr, green_cb, green_cr, blue_cb = _RGB_FROM_YUV[matrix]
    luma = (y.astype(np.float32) - 16) * (255 / 219)
    blue, red = (u.astype(np.float32) - 128) * (255 / 224), (v.astype(np.float32) - 128) * (255 / 224)
    rgb = np.empty((*y.shape, 3), dtype=np.float32)
    np.add(luma, red_cr * red, out=rgb[..., 0])
    np.subtract(luma, green_cb * blue + green_cr * red, out=rgb[..., 1])
    np.add(luma, blue_cb * blue, out=rgb[..., 2])
    if not y.all():
        rgb[y == 0] = 0
    return _rounded(rgb)


def _rounded(values: npt.NDArray[np.float32]) -> ByteArray:
    values += 0.5
    return np.clip(values, 0, 255, out=values).astype(np.uint8)


@cache
def _template() -> FloatArray:
    return template(CHIP_SIZE)


def brightness_and_sharpness(luma: ByteArray) -> tuple[float, float]:
    """Of an aligned face's luma: its mean (0 to 255), and the variance of its Laplacian, which falls as a face blurs.

    Args:
        luma: `[96, 96]`, limited range, of `aligned_luma`.
    """
    gray = full_range(luma)
    laplacian = gray[:-2, 1:-1] + gray[2:, 1:-1]
    laplacian += gray[1:-1, :-2]
    laplacian += gray[1:-1, 2:]
    laplacian -= 4 * gray[1:-1, 1:-1]
    return float(gray.mean()), float(laplacian.var())
