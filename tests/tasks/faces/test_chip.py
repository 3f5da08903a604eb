"""Chips beside other people's transforms and sampling: skimage's similarity, scipy's bilinear, ffmpeg's colours."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage
from skimage.transform import SimilarityTransform

from models.alignment import template
from tasks.faces.chip import aligned_luma, brightness_and_sharpness, finished_chip, placement, rgb_from_planes
from tasks.faces.decode import ColourMatrix, Picture

FloatArray = npt.NDArray[np.float64]
ByteArray = npt.NDArray[np.uint8]

TEMPLATE = template(96)
SCALES = [0.5, 0.77, 1.0, 1.4, 1.99, 2.0, 2.6, 3.3, 5.0]


def picture_of(y: FloatArray, u: FloatArray | None = None, v: FloatArray | None = None) -> Picture:
    height, width = y.shape
    gray = np.full(((height + 1) // 2, (width + 1) // 2), 128.0)
    planes = [np.rint(p).clip(0, 255).astype(np.uint8) for p in (y, gray if u is None else u, gray if v is None else v)]
    return Picture(y=planes[0], u=planes[1], v=planes[2], pts=0, time_base=Fraction(1, 25))


def aligned_chip(picture: Picture, landmarks: FloatArray, *, chip_format: str) -> ByteArray:
    transform = placement(landmarks)
    return finished_chip(aligned_luma(picture, transform), picture, transform, chip_format=chip_format)


def placed(scale: float, degrees: float, centre: tuple[float, float]) -> FloatArray:
    """Landmarks of a face whose chip is `scale` times as large in the picture, turned, with the chip's middle there."""
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved: FloatArray = (TEMPLATE - 47.5) @ turn.T + np.array(centre)
    return moved


def sampled(plane: FloatArray, landmarks: FloatArray) -> FloatArray:
    """The chip by skimage's least squares and scipy's bilinear sampling, cut to whole levels; 0 beyond the picture."""
    transform = SimilarityTransform.from_estimate(TEMPLATE, landmarks)
    rows, columns = np.mgrid[:96, :96]
    points = transform(np.column_stack([columns.ravel(), rows.ravel()]))
    found: FloatArray = ndimage.map_coordinates(plane, [points[:, 1], points[:, 0]], order=1, mode="constant", cval=0)
    return np.floor(found + 1e-6).reshape(96, 96)


def waves(height: int, width: int, period: float, phase: float = 0.0) -> FloatArray:
    rows, columns = np.mgrid[:height, :width]
    angle = 2 * np.pi / period
    value: FloatArray = 125 + 50 * np.sin(angle * columns + phase) + 45 * np.cos(angle * rows - phase)
    return value


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("degrees", [0.0, 17.0, -40.0])
def test_gray_chips_are_bilinear_samples(scale: float, degrees: float) -> None:
    plane = np.rint(waves(820, 800, 30 * scale))
    landmarks = placed(scale, degrees, (401.3, 409.8))
    chip = aligned_chip(picture_of(plane), landmarks, chip_format="gray96").astype(float)
    expected = ((sampled(plane, landmarks) - 16) * 255 / 219).clip(0, 255)
    # 30 chip pixels a wave: a tenth of a pixel off would be 2.4 levels; means of blocks flatten it by up to 1.5 %
    assert np.abs(chip - expected).max() <= (1.7 if scale < 2 else 3.0)
    assert abs(float((chip - expected).mean())) < 0.15


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("degrees", [0.0, 12.0, -30.0])
def test_landmarks_land_on_the_template(scale: float, degrees: float) -> None:
    """A bright dot is drawn at each landmark; its centroid in the chip stands on the template."""
    landmarks = placed(scale, degrees, (350.0, 310.0))
    rows, columns = np.mgrid[:620, :700]
    width = 1.5 * max(1.0, scale)
    for wanted, (x, y) in zip(TEMPLATE, landmarks, strict=True):
        plane = 16 + 200 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2))
        chip = aligned_chip(picture_of(plane), landmarks, chip_format="gray96").astype(float)
        weight = np.where(chip > 30, chip, 0)
        at = np.mgrid[:96, :96]
        centroid = np.array([(at[1] * weight).sum(), (at[0] * weight).sum()]) / weight.sum()
        assert np.abs(centroid - wanted).max() < 0.1


@pytest.mark.parametrize("scale", [0.8, 1.3, 2.4, 4.0])
def test_noisy_landmarks_are_fitted_by_least_squares(scale: float) -> None:
    rng = np.random.default_rng(7)
    plane = np.rint(waves(620, 700, 30 * scale, 1.0))
    landmarks = placed(scale, 5.0, (350.0, 300.0)) + rng.normal(0, 3 * scale, (5, 2))
    chip = aligned_chip(picture_of(plane), landmarks, chip_format="gray96").astype(float)
    expected = ((sampled(plane, landmarks) - 16) * 255 / 219).clip(0, 255)
    assert np.abs(chip - expected).max() < 2.7


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.7, 2.5, 5.0])
def test_colour_planes_are_cut_at_half_size(scale: float) -> None:
    y = np.rint(0.5 * waves(620, 700, 40 * scale, 0.4) + 60)
    u, v = (np.rint(0.3 * waves(310, 350, 20 * scale, phase) + 90) for phase in (1.0, 2.0))
    landmarks = placed(scale, 10.0, (350.0, 310.0))
    chip = aligned_chip(picture_of(y, u, v), landmarks, chip_format="rgb96").astype(float)
    half = (landmarks + 0.5) / 2 - 0.5  # 4:2:0 with chroma in the middle of its four pixels
    luma, blue, red = (sampled(p, q) for p, q in ((y, landmarks), (u, half), (v, half)))
    luma, blue, red = (luma - 16) / 219, (blue - 128) / 224, (red - 128) / 224
    kr, kb = 0.299, 0.114
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    expected = 255 * np.stack([r, (luma - kr * r - kb * b) / (1 - kr - kb), b], axis=-1).clip(0, 1)
    assert np.abs(chip - expected).max() <= 5
    assert np.abs(chip - expected).mean() < 1.0


@pytest.mark.parametrize(("matrix", "name"), [("bt601", "ITU601"), ("bt709", "ITU709")])
def test_rgb_is_ffmpegs(matrix: ColourMatrix, name: str) -> None:
    rng = np.random.default_rng(3)
    y = rng.integers(16, 236, (96, 96), dtype=np.uint8)
    u, v = (rng.integers(70, 190, (96, 96), dtype=np.uint8) for _ in range(2))
    frame = av.VideoFrame(96, 96, "yuv444p")
    for plane, values in zip(frame.planes, (y, u, v), strict=True):
        padded = np.zeros((96, plane.line_size), np.uint8)
        padded[:, :96] = values
        plane.update(padded.tobytes())
    theirs = frame.reformat(format="rgb24", src_colorspace=name, dst_colorspace=name).to_ndarray()
    difference = np.abs(rgb_from_planes(y, u, v, matrix).astype(int) - theirs.astype(int))
    assert difference.max() <= 2
    assert difference.mean() < 0.7


def test_beyond_the_picture_is_black() -> None:
    y, half = np.full((200, 240), 180.0), np.full((100, 120), 140.0)
    landmarks = placed(1.5, 0.0, (10.0, 20.0))
    chip = aligned_chip(picture_of(y, half, half), landmarks, chip_format="rgb96")
    assert (chip[:10, :10] == 0).all()
    assert (chip[60:, 60:] > 100).all()
    far = aligned_chip(picture_of(y, half, half), landmarks - 5000, chip_format="rgb96")
    assert (far == 0).all()
    huge = aligned_chip(picture_of(y, half, half), placed(6.0, 0.0, (10.0, 20.0)), chip_format="gray96")
    assert huge[-1, -1] == 0


def test_shapes_and_the_order_of_colours() -> None:
    y, u, v = np.full((240, 240), 81.0), np.full((120, 120), 90.0), np.full((120, 120), 240.0)  # Rec. 601's pure red
    landmarks = placed(1.0, 0.0, (120.0, 120.0))
    red = aligned_chip(picture_of(y, u, v), landmarks, chip_format="rgb96")
    assert red.shape == (96, 96, 3)
    assert red.dtype == np.uint8
    np.testing.assert_allclose(red[48, 48].astype(int), [255, 0, 0], atol=2)
    assert aligned_chip(picture_of(y, u, v), landmarks, chip_format="gray96").shape == (96, 96)


def test_brightness_and_sharpness() -> None:
    rng = np.random.default_rng(2)
    noise: ByteArray = rng.integers(16, 236, (96, 96), dtype=np.uint8)
    gray = (noise.astype(float) - 16) * 255 / 219
    brightness, sharpness = brightness_and_sharpness(noise)
    assert brightness == pytest.approx(gray.mean(), rel=1e-4)
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    assert sharpness == pytest.approx(ndimage.convolve(gray, kernel)[1:-1, 1:-1].var(), rel=1e-3)
    blurred = ndimage.gaussian_filter(noise.astype(float), 2).astype(np.uint8)
    assert brightness_and_sharpness(blurred)[1] < sharpness / 50
