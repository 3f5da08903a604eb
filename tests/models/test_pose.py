"""Head pose: angles that went into a projection come out again, beside scipy's rotations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.transform import Rotation

from models.alignment import TEMPLATE_48
from models.pose import FACE_POINTS, head_pose

FloatArray = npt.NDArray[np.float64]


def photographed(yaw: float, pitch: float, roll: float, *, scale: float = 1.3) -> FloatArray:
    """The face's points turned by scipy, yaw first, and seen from far away; y and pitch grow in opposite ways."""
    turned = Rotation.from_euler("yxz", [yaw, pitch, roll], degrees=True).apply(FACE_POINTS)
    shifted: FloatArray = scale * turned[:, :2] + [640.0, 360.0]
    return shifted


@pytest.mark.parametrize("yaw", [-40.0, -15.0, 0.0, 25.0])
@pytest.mark.parametrize("pitch", [-30.0, 0.0, 12.0])
@pytest.mark.parametrize("roll", [-35.0, 0.0, 170.0])
@pytest.mark.parametrize("scale", [0.4, 3.0])
def test_angles_come_back(yaw: float, pitch: float, roll: float, scale: float) -> None:
    found = head_pose(photographed(yaw, pitch, roll, scale=scale)[None])[0]
    np.testing.assert_allclose(found, [yaw, pitch, roll], atol=0.3)


def test_the_mean_face_looks_straight_ahead() -> None:
    np.testing.assert_allclose(head_pose(TEMPLATE_48[None])[0], [0, 0, 0], atol=1.0)


def test_signs() -> None:
    """By hand: a nose to the right of the eyes' middle, nearer to them, and eyes whose right one is lower."""
    right, up, tilted = TEMPLATE_48.copy(), TEMPLATE_48.copy(), TEMPLATE_48.copy()
    right[4, 0] += 4
    up[4, 1] -= 4
    tilted[[0, 1], 1] += 5
    yaw, _, _ = head_pose(right[None])[0]
    _, pitch, _ = head_pose(up[None])[0]
    _, _, roll = head_pose(tilted[None])[0]
    assert yaw > 10
    assert pitch > 5
    assert roll > 5


def test_whole_pixels_cost_a_few_degrees() -> None:
    rng = np.random.default_rng(0)
    angles = rng.uniform([-25, -15, -20], [25, 10, 20], (300, 3))
    seen = np.stack([photographed(*row, scale=1.0) for row in angles])
    errors = np.abs(head_pose(np.rint(seen)) - angles)
    assert np.median(errors, axis=0).max() < 2
    assert np.percentile(errors, 95, axis=0).max() < 8


def test_many_faces_are_each_alone() -> None:
    faces = np.stack([photographed(10, -5, 3), photographed(-30, 8, 100)])
    np.testing.assert_allclose(head_pose(faces)[1], head_pose(faces[1:])[0], atol=1e-9)
    assert head_pose(np.empty((0, 5, 2))).shape == (0, 3)
