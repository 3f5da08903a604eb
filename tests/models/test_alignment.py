"""The similarity transform beside skimage's and beside scipy's least squares."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import optimize
from skimage.transform import SimilarityTransform

from models.alignment import TEMPLATE_48, similarity_transform, template

FloatArray = npt.NDArray[np.float64]


def applied(transform: FloatArray, points: FloatArray) -> FloatArray:
    moved: FloatArray = points @ transform[:, :2].T + transform[:, 2]
    return moved


@pytest.mark.parametrize("seed", range(6))
def test_it_is_skimages(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = rng.normal(100, 30, (5, 2))
    target = TEMPLATE_48 + rng.normal(0, 2, (5, 2))
    theirs = SimilarityTransform.from_estimate(source, target)
    np.testing.assert_allclose(similarity_transform(source, target), theirs.params[:2], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_no_other_similarity_is_nearer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source, target = rng.normal(0, 10, (7, 2)), rng.normal(5, 8, (7, 2))

    def residual(p: FloatArray) -> FloatArray:
        a, b, x, y = p
        flat: FloatArray = (applied(np.array([[a, -b, x], [b, a, y]]), source) - target).ravel()
        return flat

    best = optimize.least_squares(residual, [1.0, 0.0, 0.0, 0.0], xtol=1e-15, ftol=1e-15, gtol=1e-15)
    a, b, x, y = best.x
    np.testing.assert_allclose(similarity_transform(source, target), [[a, -b, x], [b, a, y]], atol=1e-6)


@pytest.mark.parametrize("degrees", [0, 33, 90, 180, -120])
@pytest.mark.parametrize("scale", [0.2, 1.0, 7.0])
def test_a_similarity_is_recovered_and_never_a_mirror(degrees: float, scale: float) -> None:
    angle = np.radians(degrees)
    true = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target = TEMPLATE_48 @ true.T + [3.0, -9.0]
    found = similarity_transform(TEMPLATE_48, target)
    np.testing.assert_allclose(found[:, :2], true, atol=1e-9)
    np.testing.assert_allclose(applied(found, TEMPLATE_48), target, atol=1e-9)
    mirrored = similarity_transform(TEMPLATE_48, TEMPLATE_48 * [-1, 1])
    assert np.linalg.det(mirrored[:, :2]) >= 0


def test_what_has_no_transform_is_an_error() -> None:
    with pytest.raises(ValueError, match="two arrays"):
        similarity_transform(np.zeros((5, 2)), np.zeros((4, 2)))
    with pytest.raises(ValueError, match="two arrays"):
        similarity_transform(np.zeros((5, 3)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="one point repeated"):
        similarity_transform(np.ones((5, 2)), TEMPLATE_48)


def test_the_template_of_the_specification() -> None:
    expected = [[38.10, 16.84], [30.30, 17.50], [11.08, 17.18], [18.90, 17.64], [24.78, 32.15]]
    np.testing.assert_array_equal(template(48), expected)
    np.testing.assert_allclose(template(96), 2 * (np.array(expected) + 0.5) - 0.5, atol=1e-12)
    eyes = template(48)[[0, 1, 2, 3]].reshape(2, 2, 2).mean(axis=1)
    np.testing.assert_allclose(eyes, [[34.20, 17.17], [14.99, 17.41]], atol=0.011)


def test_templates_scale_as_pictures_do() -> None:
    """A dot drawn on the 96 template, the picture halved by 2x2 means: it stands on the 48 template."""
    rows, columns = np.mgrid[:96, :96]
    for (x, y), wanted in zip(template(96), template(48), strict=True):
        dot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)
        small = dot.reshape(48, 2, 48, 2).mean(axis=(1, 3))
        at = np.mgrid[:48, :48]
        centroid = [(at[1] * small).sum() / small.sum(), (at[0] * small).sum() / small.sum()]
        np.testing.assert_allclose(centroid, wanted, atol=0.02)
