"""The canonical face frame, and smooth warps between sets of points in it.

Canonical coordinates: the origin half-way between the eye centres, the unit the distance between them (inter-ocular
distance, IOD), x along the eyes to the picture's right, y down. An expression stated here means the same on any face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)
_CHUNK = 1024  # points at a time: little memory, and what fits the cache
_RIDGE = 1e-6  # keeps the thin-plate system solvable where the lips meet


@dataclass(frozen=True)
class Grid:
    """A lattice over a box of the canonical plane: [rows, columns] points, the first and last on the box's edges."""

    left: float
    right: float
    top: float
    bottom: float
    step: float

    @property
    def shape(self) -> tuple[int, int]:
        return round((self.bottom - self.top) / self.step) + 1, round((self.right - self.left) / self.step) + 1

    def points(self) -> FloatArray:
        """Lattice points [rows, columns, 2] (x, y)."""
        rows, columns = self.shape
        x, y = np.meshgrid(np.linspace(self.left, self.right, columns), np.linspace(self.top, self.bottom, rows))
        return np.stack([x, y], axis=-1)


FACE_GRID = Grid(left=-1.6, right=1.6, top=-1.2, bottom=2.16, step=0.04)
"""Where the face is warped; nothing moves on its rim."""


def to_canonical(landmarks: FloatArray) -> FloatArray:
    """Matrix [2, 3] from pixels to the canonical frame of a face, by its eye centres.

    Args:
        landmarks: [68, 2] (x, y) in pixels, dlib's order.
    """
    left, right = landmarks[LEFT_EYE].mean(axis=0), landmarks[RIGHT_EYE].mean(axis=0)
    across = right - left
    scale = float(across @ across)
    turn = np.array([[across[0], across[1]], [-across[1], across[0]]]) / scale
    return np.column_stack([turn, -turn @ (left + right) / 2])


def apply_affine(matrix: FloatArray, points: FloatArray) -> FloatArray:
    """Points [..., 2] through an affine matrix [2, 3]."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def inverse_affine(matrix: FloatArray) -> FloatArray:
    """The affine matrix [2, 3] that undoes `matrix`."""
    turn = np.linalg.inv(matrix[:, :2])
    return np.column_stack([turn, -turn @ matrix[:, 2]])


def canonical_landmarks(landmarks: FloatArray) -> FloatArray:
    """Landmarks [68, 2] in IOD units, whatever the size, place and roll of the face in the picture."""
    return apply_affine(to_canonical(landmarks), landmarks)


def displacement(grid: FloatArray, here: FloatArray, there: FloatArray) -> FloatArray:
    """Thin-plate spline (Bookstein 1989) that takes `here` to `there`, as displacements on a grid.

    A picture is warped backwards: with the points' new places as `here` and the old ones as `there`, output at p is
    read at p + displacement(p).

    Args:
        grid: [..., 2] where to evaluate.
        here: [point, 2].
        there: [point, 2].

    Returns: displacements [..., 2].
    """
    count = len(here)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(here, here) + _RIDGE * np.eye(count)
    system[:count, count:] = np.column_stack([np.ones(count), here])
    system[count:, :count] = system[:count, count:].T
    weights = np.linalg.solve(system, np.vstack([there - here, np.zeros((3, 2))]))
    flat = grid.reshape(-1, 2)
    moved = np.column_stack([np.ones(len(flat)), flat]) @ weights[count:]
    for start in range(0, len(flat), _CHUNK):
        moved[start : start + _CHUNK] += _kernel(flat[start : start + _CHUNK], here) @ weights[:count]
    return moved.reshape(grid.shape)


def rim_window(grid: Grid) -> FloatArray:
    """Weights [rows, columns, 1]: 1 inside, falling smoothly to 0 on the rim, so that a warp ends there."""
    rows, columns = grid.shape
    sides = []
    for count in (rows, columns):
        inward = np.minimum(np.arange(count), np.arange(count)[::-1]) * grid.step / 0.35
        ramp = np.clip(inward, 0, 1)
        sides.append(ramp * ramp * (3 - 2 * ramp))
    window: FloatArray = sides[0][:, None, None] * sides[1][None, :, None]
    return window


def _kernel(first: FloatArray, second: FloatArray) -> FloatArray:
    squared = (first[:, None, 0] - second[:, 0]) ** 2 + (first[:, None, 1] - second[:, 1]) ** 2
    kernel: FloatArray = squared * np.log(np.maximum(squared, 1e-12))
    return kernel
