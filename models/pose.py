"""Head pose from five landmarks: which way a face looks, roughly.

Scaled orthographic projection of five rigid points, fitted to the landmarks by damped least squares. Width and height
of the points are those of dlib's mean face, depths those of adult faces (Farkas 1994, Anthropometry of the Head and
Face: the outer corner of an eye lies behind the inner one, the base of the nose in front of both). Faces differ, dlib's
landmarks are whole pixels, and the points are few: take angles as good to some ten degrees, differences within one
recording as better.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.alignment import TEMPLATE_48

FloatArray = npt.NDArray[np.float64]

_OUTER_CORNERS_MM = 89.5  # exocanthion to exocanthion, mean of men and women
_DEPTH_MM = np.array([0.0, 9.0, 0.0, 9.0, 27.0])
_ITERATIONS = 12
_STEP = 1e-4
_DAMPING = 1e-3
_LARGEST = np.radians([75.0, 60.0])


def _face_points() -> FloatArray:
    """The five points in millimetres, `[5, xyz]`: x to the picture's right, y down, z towards the camera; centred."""
    centre = TEMPLATE_48[:4].mean(axis=0)
    flat = TEMPLATE_48 - centre
    mirrored = flat[[2, 3, 0, 1, 4]] * [-1, 1]
    flat = (flat + mirrored) / 2  # the mean face is all but symmetric
    millimetres = flat * (_OUTER_CORNERS_MM / (flat[0, 0] - flat[2, 0]))
    points = np.column_stack([millimetres, _DEPTH_MM])
    return np.asarray(points - points.mean(axis=0))


FACE_POINTS: FloatArray = _face_points()


def rotated(yaw: FloatArray, pitch: FloatArray, roll: FloatArray) -> FloatArray:
    """The picture's side of `FACE_POINTS` turned by three angles, `[face, 5, xy]` in millimetres.

    Args:
        yaw, pitch, roll: `[face]` radians, as in `head_pose`; yaw is turned first, then pitch, then roll.
    """
    x, y, z = FACE_POINTS.T
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, z = cos * x + sin * z, -sin * x + cos * z
    cos, sin = np.cos(pitch)[:, None], np.sin(pitch)[:, None]
    y = cos * y - sin * z
    cos, sin = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def head_pose(landmarks: FloatArray) -> FloatArray:
    """Yaw, pitch and roll of faces.

    Args:
        landmarks: `[face, 5, xy]`, pixels, dlib's order.

    Returns: `[face, 3]`, degrees. Yaw grows as the face turns to the picture's right (-75 to 75), pitch as it looks up
        (-60 to 60), roll as it tilts clockwise in the picture (-180 to 180). The mean face is 0, 0, 0. Looking up or
        down changes five points little: pitch is the least certain.
    """
    centred = landmarks - landmarks.mean(axis=1, keepdims=True)
    eyes = centred[:, [0, 1]].mean(axis=1) - centred[:, [2, 3]].mean(axis=1)
    roll = np.arctan2(eyes[:, 1], eyes[:, 0])
    angles = np.column_stack([np.zeros((len(centred), 2)), roll])
    size = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
    wanted = centred / np.maximum(size, 1e-9)
    for _ in range(_ITERATIONS):
        angles += _step(angles, wanted)
        angles[:, :2] = np.clip(angles[:, :2], -_LARGEST, _LARGEST)
    degrees = np.degrees(angles)
    degrees[:, 2] = (degrees[:, 2] + 180) % 360 - 180
    return np.asarray(degrees)


def _step(angles: FloatArray, wanted: FloatArray) -> FloatArray:
    """One damped Gauss-Newton step towards points `wanted`, which have no shift and a length of 1."""
    residual = wanted - _projected(angles)
    columns = []
    for number in range(3):
        ahead = angles.copy()
        ahead[:, number] += _STEP
        columns.append((_projected(ahead) - _projected(angles)) / _STEP)
    jacobian = np.stack(columns, axis=-1).reshape(len(angles), 10, 3)
    normal = jacobian.transpose(0, 2, 1) @ jacobian + _DAMPING * np.eye(3)
    gradient = (jacobian * residual.reshape(len(angles), 10, 1)).sum(axis=1)
    return np.asarray(np.linalg.solve(normal, gradient[..., None])[..., 0])


def _projected(angles: FloatArray) -> FloatArray:
    points = rotated(*angles.T)
    return np.asarray(points / np.sqrt((points**2).sum(axis=(1, 2), keepdims=True)))
