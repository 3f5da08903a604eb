"""What dlib sees in rendered frames, and the geometry that the expressions are stated in."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import dlib
import numpy as np
import pytest
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from tasks.demo.expression import CORNER_ELEVATION, Identity, expressive_landmarks, neutral_landmarks
from tasks.demo.geometry import canonical_landmarks, displacement
from tasks.demo.portraits import NAMES, _inside, landmarks_68, load_portrait
from tasks.demo.render import FaceRenderer
from tasks.demo.subjects import RECORDINGS, Motion, make_motion, make_subject, portrait_of

FRAMES = 60
SWEEP = np.sin(np.linspace(0, 3 * np.pi, FRAMES))


def rendered(recording_id: str) -> NDArray[np.uint8]:
    motion = make_motion(recording_id, FRAMES, seed=0)
    renderer = FaceRenderer(make_subject(recording_id, seed=0), motion, seed=0)
    return np.concatenate([renderer.render(range(n, n + 5), SWEEP[n : n + 5]) for n in range(0, FRAMES, 5)])


def enlarged(frame: NDArray[np.uint8], box: Any) -> tuple[NDArray[np.uint8], Any]:
    """Twice the size, for dlib's landmarks are whole pixels."""
    edges = (2 * edge for edge in (box.left(), box.top(), box.right(), box.bottom()))
    return dlib.resize_image(frame, 2 * frame.shape[0], 2 * frame.shape[1]), dlib.rectangle(*edges)


def mouth_corner_elevation(landmarks: NDArray[np.float64]) -> float:
    """How far the mouth corners stand above the middle of the lips, in IOD; the more, the more of a smile.

    The middle is the mean of dlib's points 51, 57, 62 and 66, from the upper edge to the lower.
    """
    points = canonical_landmarks(landmarks)
    return float(points[[51, 57, 62, 66], 1].mean() - points[[48, 54], 1].mean())


def elevations(frames: NDArray[np.uint8]) -> list[float | None]:
    """Mouth corner elevation dlib measures in each frame, None where it finds no face."""
    detector = dlib.get_frontal_face_detector()
    found: list[float | None] = []
    for frame in frames:
        boxes = detector(frame, 0) or detector(frame, 1)
        found.append(mouth_corner_elevation(landmarks_68(*enlarged(frame, boxes[0]))) if len(boxes) else None)
    return found


@pytest.mark.parametrize("recording_id", ["P19", "P48", "P62"])
def test_dlib_finds_the_face_and_its_valence(recording_id: str) -> None:
    measured = elevations(rendered(recording_id))
    seen = np.array([value is not None for value in measured])
    assert seen.mean() >= 0.98
    heights = np.array([value for value in measured if value is not None])
    assert np.corrcoef(SWEEP[seen], heights)[0, 1] > 0.8


@pytest.mark.parametrize("recording_id", ["P16", "P48"])
@pytest.mark.parametrize("yaw", [0.0, 0.2])
@pytest.mark.parametrize("valence", [-1.0, -0.4, 0.0, 1.0])
def test_the_line_between_the_lips_is_where_it_was_designed(recording_id: str, valence: float, yaw: float) -> None:
    # dlib's predictor reads frowns weakly, and each portrait with an offset of its own: so the picture itself is read.
    subject = replace(
        make_subject(recording_id, seed=0),
        identity=Identity(),
        mirrored=False,
        width=400,
        height=400,
        iod_pixels=100.0,
        centre=(200.0, 140.0),
        grain=0.0,
        blur_pixels=0.5,
        side_light=0.0,
    )
    still = {field.name: np.zeros(1) for field in fields(Motion)} | {"scale": np.ones(1), "light": np.ones(1)}
    still["yaw"][:] = yaw
    frame = FaceRenderer(subject, Motion(**still), seed=0).render(range(1), np.array([valence]))[0].mean(axis=-1)
    neutral = neutral_landmarks(canonical_landmarks(load_portrait(subject.portrait).landmarks))
    corners = expressive_landmarks(neutral, Identity(), valence=valence)[[48, 54]]
    for share in (-0.7, -0.4, 0.0, 0.4, 0.7):
        x = corners[:, 0].mean() + share * (corners[1, 0] - corners[0, 0]) / 2 + 0.65 * yaw  # lips are 0.65 IOD deep
        top = round(140 + 100 * neutral[48, 1]) - 20
        darkest = top + frame[top : top + 40, round(200 + 100 * x)].argmin()
        designed = neutral[48, 1] + CORNER_ELEVATION * valence * (0.25 - share**2)
        assert (darkest - 140) / 100 == pytest.approx(designed, abs=0.025)


@pytest.mark.parametrize("valence", [-1.0, -0.4, 0.0, 0.7, 1.0])
def test_same_valence_same_mouth_on_both_portraits(valence: float) -> None:
    faces = []
    for name in NAMES:
        own = canonical_landmarks(load_portrait(name).landmarks)
        faces.append(expressive_landmarks(neutral_landmarks(own), Identity(), valence=valence, opening=0.3))
    first, second = (face[48:68] - face[48:68].mean(axis=0) for face in faces)
    assert first == pytest.approx(second, abs=1e-12)
    assert faces[0][17:27, 1].mean() == pytest.approx(faces[1][17:27, 1].mean(), abs=1e-12)
    assert mouth_corner_elevation(faces[0]) == pytest.approx(mouth_corner_elevation(faces[1]), abs=1e-12)


def test_elevation_rises_with_valence() -> None:
    own = canonical_landmarks(load_portrait("hopper").landmarks)
    neutral = neutral_landmarks(own)
    heights = [
        mouth_corner_elevation(expressive_landmarks(neutral, Identity(), valence=float(v)))
        for v in np.linspace(-1, 1, 9)
    ]
    assert all(later > earlier for earlier, later in pairwise(heights))
    assert heights[-1] - heights[0] == pytest.approx(2 * CORNER_ELEVATION, abs=0.02)


def test_test_subjects_wear_the_other_portrait() -> None:
    worn = {recording: portrait_of(recording) for recording in RECORDINGS}
    assert {worn[name] for name in ("P48", "P58", "P62")} == {"hopper"}
    assert {portrait for name, portrait in worn.items() if name not in ("P48", "P58", "P62")} == {"collins"}


def test_frames_do_not_depend_on_how_they_are_batched() -> None:
    subject, motion = make_subject("P21", seed=3), make_motion("P21", 8, seed=3)
    renderer = FaceRenderer(subject, motion, seed=3)
    valence = np.linspace(-1, 1, 8)
    together = renderer.render(range(8), valence)
    alone = np.concatenate([renderer.render(range(n, n + 1), valence[n : n + 1]) for n in range(8)])
    assert together.shape == (8, subject.height, subject.width, 3)
    assert np.abs(together.astype(int) - alone).max() <= 1


def test_valence_changes_the_mouth_and_not_the_wall() -> None:
    subject, motion = make_subject("P58", seed=0), make_motion("P58", 2, seed=0)
    still = replace(motion, opening=np.zeros(2), blink=np.zeros(2))
    renderer = FaceRenderer(subject, still, seed=0)
    sad, glad = (renderer.render(range(1), np.array([value]))[0].astype(int) for value in (-1.0, 1.0))
    changed = np.abs(sad - glad).max(axis=-1)
    x, y = (round(place) for place in subject.centre)
    mouth = slice(y + round(0.7 * subject.iod_pixels), y + round(1.4 * subject.iod_pixels))
    assert changed[mouth, x - 20 : x + 20].max() > 40
    assert changed[:, : x - round(1.8 * subject.iod_pixels)].max() == 0


def test_thin_plate_spline_against_scipy() -> None:
    rng = np.random.default_rng(0)
    here = rng.uniform(-1, 1, size=(12, 2))
    there = here + 0.1 * rng.standard_normal((12, 2))
    points = rng.uniform(-1, 1, size=(5, 4, 2))
    oracle = RBFInterpolator(here, there - here, kernel="thin_plate_spline")(points.reshape(-1, 2)).reshape(5, 4, 2)
    assert displacement(points, here, there) == pytest.approx(oracle, abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_mirrored_landmarks_are_those_of_the_mirrored_picture(name: str) -> None:
    portrait = load_portrait(name)
    mirror = portrait.mirrored()
    assert mirror.mirrored().landmarks == pytest.approx(portrait.landmarks)
    picture = mirror.pixels.astype(np.uint8)
    left, top = mirror.landmarks[17:].min(axis=0) - 10
    right, bottom = mirror.landmarks[17:].max(axis=0) + 10
    seen = landmarks_68(picture, dlib.rectangle(*(round(edge) for edge in (left, top, right, bottom))))
    assert np.abs(canonical_landmarks(seen) - canonical_landmarks(mirror.landmarks))[17:].mean() < 0.06


def test_outline_is_filled_as_matplotlib_fills_it() -> None:
    outline = np.array([(2.3, 1.2), (17.6, 3.4), (12.1, 9.7), (18.4, 17.9), (4.2, 15.3)])
    x, y = np.meshgrid(np.arange(20), np.arange(20))
    expected = Outline(np.vstack([outline, outline[:1]])).contains_points(np.column_stack([x.ravel(), y.ravel()]))
    assert np.array_equal(_inside(outline, 20, 20).ravel() > 0, expected)
