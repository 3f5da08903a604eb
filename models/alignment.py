"""Where a face goes in its chip: the template and the least-squares similarity transform.

K aligns dlib landmarks to fixed positions so that eyes and nose coincide. The template is dlib's mean face placed on
the eye centres (14.99, 17.41) and (34.20, 17.17) of a 48x48 chip, for dlib's five points in dlib's order: outer and
inner corner of the picture's right eye, outer and inner corner of the left one, nose base.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

TEMPLATE_48: FloatArray = np.array(
    [[38.10, 16.84], [30.30, 17.50], [11.08, 17.18], [18.90, 17.64], [24.78, 32.15]], dtype=np.float64
)
"""`[point, xy]` in pixels of a 48x48 chip; pixel centres have whole coordinates."""


def template(size: int) -> FloatArray:
    """The five template points for a chip of side `size`, `[point, xy]` in pixels.

    Pixel centres have whole coordinates, so sizes scale about the chip's corner: `x' = (x + .5) s / 48 - .5`.
    """
    return (TEMPLATE_48 + 0.5) * (size / 48) - 0.5


def similarity_transform(source: FloatArray, target: FloatArray) -> FloatArray:
    """The rotation, scale and shift (no mirror) that brings `source` nearest to `target` in least squares.

    Args:
        source: `[point, xy]`, at least two different points.
        target: `[point, xy]`, the same number.

    Returns: `[2, 3]`; a point p maps to `M[:, :2] @ p + M[:, 2]`.

    Raises:
        ValueError: the shapes differ, or all points of `source` coincide.

    Source: Umeyama 1991, restricted to proper rotations in the plane, where it has this closed form.
    """
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2:
        raise ValueError(f"expected two arrays [point, 2] of one shape, got {source.shape} and {target.shape}")
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred, wanted = source - source_mean, target - target_mean
    spread = float((centred**2).sum())
    if spread == 0:
        raise ValueError("expected at least two different points, got one point repeated")
    cosine = float((centred * wanted).sum()) / spread
    sine = float((centred[:, 0] * wanted[:, 1] - centred[:, 1] * wanted[:, 0]).sum()) / spread
    linear = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([linear, target_mean - linear @ source_mean])
