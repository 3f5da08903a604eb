"""Valence on a face: where every landmark goes, in absolute units, the same on both portraits.

A portrait's own expression is taken away first: its mouth and brows are warped to one common neutral
(`neutral_landmarks`). From there an expression is a shape of the mouth, brows, lids and cheeks in inter-ocular units
(IOD), so that the same valence gives the same mouth whoever wears it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.demo.geometry import FACE_GRID, LEFT_EYE, RIGHT_EYE, FloatArray, displacement, rim_window

CORNER_ELEVATION = 0.15  # mouth corners above the middle of the lips at valence 1, IOD; minus that at -1
VALENCE_LEVELS = np.linspace(-1, 1, 9)
_MOUTH, _BROWS = slice(48, 68), slice(17, 27)
_NEUTRAL_GAP, _CLOSED_GAP, _OPEN_GAP = 0.03, 0.012, 0.13  # between the lips, IOD
_BROW_HEIGHT = -0.29
_INNER_BROW = np.array([0.0, 0.15, 0.4, 0.8, 1.0, 1.0, 0.8, 0.4, 0.15, 0.0])  # 17..26: how much of it is inner brow
_CHEEKS = np.array([[-0.62, 0.62], [0.62, 0.62], [-0.42, 0.5], [0.42, 0.5]])
_FOREHEAD = np.array([[x, -0.75] for x in (-0.9, -0.45, 0.0, 0.45, 0.9)])


@dataclass(frozen=True)
class Identity:
    """What makes one subject's face another's: factors around 1, offsets in IOD around 0."""

    face_width: float = 1.0
    jaw_length: float = 1.0
    nose_width: float = 1.0
    nose_length: float = 1.0
    eye_size: float = 1.0
    lips: float = 1.0
    mouth_width: float = 1.0
    mouth_height: float = 0.0
    brow_height: float = 0.0


@dataclass(frozen=True)
class ExpressionFields:
    """Backward displacements on `geometry.FACE_GRID`, in IOD.

    `mouth` [valence level, closed or open, rows, columns, 2] is interpolated; `brow_raise` [rows, columns, 2] is added.
    """

    mouth: NDArray[np.float32]
    brow_raise: NDArray[np.float32]


def mouth_landmarks(
    valence: float, opening: float, *, gap: float | None = None, identity: Identity | None = None
) -> FloatArray:
    """dlib's points 48..67 [20, 2] around the middle of the lips, in IOD.

    Args:
        valence: -1..1; raises and spreads the corners, or lowers and narrows them.
        opening: 0..1, lips closed to open as in speech.
        gap: between the lips; made from `opening` unless given.
        identity: whose mouth.
    """
    person = identity or Identity()
    half = 0.5 * person.mouth_width * (0.80 + (0.14 if valence > 0 else 0.07) * valence) * (1 - 0.06 * opening)
    elevation = CORNER_ELEVATION * valence
    gap = _CLOSED_GAP + (_OPEN_GAP - _CLOSED_GAP) * opening if gap is None else gap
    upper, lower = (person.lips * (base - 0.015 * valence) for base in (0.085, 0.115))

    def lip(s: list[float], edge: float, thickness: list[float]) -> FloatArray:
        across = np.array(s)
        bow = 1 - across**2
        # The lower lip does most of an opening.
        parted = gap * bow * (0.75 if edge > 0 else 0.25) * edge
        y = elevation * (0.25 - across**2) + parted + np.array(thickness)
        return np.column_stack([half * across, y])

    outer_upper = lip([-1, -0.62, -0.26, 0, 0.26, 0.62, 1], -1, [-upper * t for t in (0, 0.62, 1, 0.85, 1, 0.62, 0)])
    outer_lower = lip([0.62, 0.26, 0, -0.26, -0.62], 1, [lower * t for t in (0.68, 1, 1.04, 1, 0.68)])
    inner_upper = lip([-0.86, -0.32, 0, 0.32, 0.86], -1, [0.0] * 5)
    inner_lower = lip([0.32, 0, -0.32], 1, [0.0] * 3)
    return np.vstack([outer_upper, outer_lower, inner_upper, inner_lower])


def neutral_landmarks(own: FloatArray, *, mouth_y: float = 1.04) -> FloatArray:
    """A portrait's landmarks [68, 2] (canonical) without its expression: common mouth and brow height, own bones."""
    neutral = own.copy()
    neutral[_MOUTH] = mouth_landmarks(0, 0, gap=_NEUTRAL_GAP) + np.array([own[33, 0], mouth_y])
    neutral[_BROWS, 1] += _BROW_HEIGHT - own[_BROWS, 1].mean()
    return neutral


def expressive_landmarks(
    neutral: FloatArray,
    identity: Identity,
    *,
    valence: float = 0.0,
    opening: float = 0.0,
    brow_raise: float = 0.0,
) -> FloatArray:
    """Where the neutral landmarks [68, 2] go, in IOD: one subject's bones, wearing one expression.

    `valence` -1..1; `opening` and `brow_raise` 0..1.
    """
    smile, frown = max(valence, 0.0), max(-valence, 0.0)
    points = _shaped(neutral, identity)
    middle = neutral[[48, 54], 0].mean(), neutral[48, 1] + identity.mouth_height
    points[_MOUTH] = mouth_landmarks(valence, opening, identity=identity) + np.array(middle)
    points[5:12, 1] += 0.06 * opening
    brow = -0.04 * smile + frown * (0.085 * _INNER_BROW - 0.01) - 0.07 * brow_raise
    points[_BROWS, 1] += brow + identity.brow_height
    points[_BROWS, 0] -= 0.04 * frown * _INNER_BROW * np.sign(points[_BROWS, 0])
    for eye in (LEFT_EYE, RIGHT_EYE):
        middle_y = points[eye, 1].mean()
        opened = identity.eye_size * (1 - 0.22 * smile - 0.10 * frown)
        points[eye, 1] = middle_y + (points[eye, 1] - middle_y) * opened - 0.012 * smile
    return points


def expression_fields(neutral: FloatArray, identity: Identity) -> ExpressionFields:
    """Backward displacements for one subject: every valence level with lips closed and open, and raised brows."""
    lattice, window = FACE_GRID.points(), rim_window(FACE_GRID)

    def field(**expression: float) -> FloatArray:
        points = expressive_landmarks(neutral, identity, **expression)
        here = np.vstack([points, _soft_points(expression.get("valence", 0.0))])
        there = np.vstack([neutral, _soft_points(0.0)])
        return displacement(lattice, here, there) * window

    mouth = [[field(valence=float(v), opening=o) for o in (0.0, 1.0)] for v in VALENCE_LEVELS]
    rest = mouth[len(VALENCE_LEVELS) // 2][0]
    return ExpressionFields(
        mouth=np.array(mouth, dtype=np.float32),
        brow_raise=(field(brow_raise=1.0) - rest).astype(np.float32),
    )


def neutral_field(own: FloatArray, neutral: FloatArray, lattice: FloatArray) -> FloatArray:
    """Backward displacements [..., 2] that take a portrait's own expression away."""
    still = _soft_points(0.0)
    return displacement(lattice, np.vstack([neutral, still]), np.vstack([own, still]))


def lip_gap(neutral: FloatArray, points: FloatArray, *, softness: float) -> FloatArray:
    """1 between the lips of a neutral face, 0 on them, for points [..., 2]; the edge falls over `softness` IOD."""
    half = (neutral[64, 0] - neutral[60, 0]) / 2
    middle = neutral[[60, 64]].mean(axis=0)
    across = np.clip((points[..., 0] - middle[0]) / half, -1, 1)
    bow = (1 - across**2) * _NEUTRAL_GAP
    y = points[..., 1] - neutral[48, 1] - 0.25 * bow
    inside: FloatArray = np.clip((bow / 2 - np.abs(y)) / softness + 1, 0, 1) * (np.abs(across) < 1)
    return inside


def eyelids(neutral: FloatArray, points: FloatArray) -> list[tuple[FloatArray, FloatArray, FloatArray]]:
    """For each eye, where points [..., 2] lie on the closed lid (0..1), on its lashes (0..1), and on the skin below."""
    found = []
    for eye in (LEFT_EYE, RIGHT_EYE):
        corners = neutral[eye]
        middle = corners.mean(axis=0)
        half = (corners[:, 0].max() - corners[:, 0].min()) / 2
        x = (points[..., 0] - middle[0]) / (half * 1.15)
        y = points[..., 1] - middle[1]
        bow = np.clip(1 - x**2, 0, 1)
        lid = np.clip((0.115 * bow**0.7 - np.abs(y)) / 0.035, 0, 1)
        lashes = np.clip(1.3 - np.abs(y - 0.055 * bow) / 0.018, 0, 1) * np.sqrt(bow)
        below = ((np.abs(x) < 0.6) & (np.abs(y - 0.15) < 0.035)).astype(np.float64)
        found.append((lid, lashes, below))
    return found


def _soft_points(valence: float) -> FloatArray:
    """Cheeks and forehead, which dlib does not mark: [9, 2]."""
    smile = max(valence, 0.0)
    lift = smile * np.column_stack([0.03 * np.sign(_CHEEKS[:, 0]), np.full(4, -0.06)])
    return np.vstack([_CHEEKS + lift, _FOREHEAD])


def _shaped(neutral: FloatArray, identity: Identity) -> FloatArray:
    """Landmarks [68, 2] with another person's bones; the eye centres stay, for they are the unit."""
    points = neutral.copy()
    points[0:17, 0] *= identity.face_width
    lower_jaw = np.clip((neutral[0:17, 1] - 0.5) / 1.2, 0, 1)
    points[0:17, 1] += (identity.jaw_length - 1) * 1.2 * lower_jaw
    points[27:36, 1] *= identity.nose_length
    centre = neutral[27:36, 0].mean()
    points[31:36, 0] = centre + (points[31:36, 0] - centre) * identity.nose_width
    points[_BROWS, 0] *= 1 + 0.5 * (identity.face_width - 1)
    return points
