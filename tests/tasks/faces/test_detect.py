"""The finder beside a plain full-frame dlib detection, on two public-domain portraits."""

from __future__ import annotations

import dlib
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from skimage import data

from schemas.settings import FacesSettings
from tasks.faces.detect import Face, FaceFinder, landmark_model_path

from .conftest import portrait

ByteArray = npt.NDArray[np.uint8]

SETTINGS = FacesSettings()


@pytest.fixture(scope="module")
def astronaut() -> ByteArray:
    picture = data.astronaut()  # type: ignore[no-untyped-call]
    return np.asarray(Image.fromarray(picture).convert("L"))


@pytest.fixture(scope="module")
def hopper() -> ByteArray:
    return np.asarray(portrait().convert("L"))


def plain(gray: ByteArray) -> dlib.rectangle:
    detector = dlib.get_frontal_face_detector()
    return max(detector(gray, 0) or detector(gray, 1), key=lambda rect: rect.width())


def landmarks_of(gray: ByteArray, rect: dlib.rectangle) -> npt.NDArray[np.float64]:
    shape = dlib.shape_predictor(str(landmark_model_path()))(gray, rect)
    return np.array([[p.x, p.y] for p in shape.parts()], dtype=np.float64)


def overlap(face: Face, rect: dlib.rectangle) -> float:
    left, top, right, bottom = face.box
    width = min(right, rect.right()) - max(left, rect.left())
    height = min(bottom, rect.bottom()) - max(top, rect.top())
    shared = max(0.0, width) * max(0.0, height)
    areas = (right - left) * (bottom - top) + float(rect.width() * rect.height())
    return float(shared / (areas - shared))


def distance(face: Face, gray: ByteArray, rect: dlib.rectangle) -> float:
    """Largest distance of a landmark from the plain detection's, over the distance of the eyes."""
    expected = landmarks_of(gray, rect)
    eyes = np.linalg.norm(expected[:2].mean(axis=0) - expected[2:4].mean(axis=0))
    return float(np.linalg.norm(face.landmarks - expected, axis=1).max() / eyes)


def test_the_first_frame_is_the_plain_detection(astronaut: ByteArray, hopper: ByteArray) -> None:
    for gray in (astronaut, hopper):
        face = FaceFinder(SETTINGS).find(gray)
        assert face is not None
        rect = plain(gray)
        assert face.box == (rect.left(), rect.top(), rect.right(), rect.bottom())
        assert distance(face, gray, rect) < 0.02
        assert face.num_other_faces == 0
        assert face.score > 0


def test_the_picture_right_eye_comes_first(hopper: ByteArray) -> None:
    face = FaceFinder(SETTINGS).find(hopper)
    assert face is not None
    x, y = face.landmarks.T
    assert x[0] > x[1] > x[4] > x[3] > x[2]
    assert y[4] > y[:4].max()


@pytest.mark.parametrize("step", [(0, 0), (3, 1), (-4, 2), (8, -6)])
def test_following_finds_what_a_plain_detection_finds(hopper: ByteArray, step: tuple[int, int]) -> None:
    finder = FaceFinder(SETTINGS)
    for number in range(6):
        gray = np.ascontiguousarray(np.roll(hopper, (step[1] * number, step[0] * number), axis=(0, 1)))
        face = finder.find(gray)
        assert face is not None
        rect = plain(gray)
        assert overlap(face, rect) > 0.5
        assert distance(face, gray, rect) < 0.12
        assert (face.num_other_faces is None) == (number > 0)


@pytest.mark.parametrize("size", [90, 140, 260, 400])
def test_faces_of_any_size_are_followed(hopper: ByteArray, size: int) -> None:
    scale = size / 187
    picture = Image.fromarray(hopper).resize((round(512 * scale), round(600 * scale)), Image.Resampling.LANCZOS)
    gray = np.asarray(picture)
    finder = FaceFinder(SETTINGS)
    found = [finder.find(gray) for _ in range(3)]
    for face in found:
        assert face is not None
        assert overlap(face, plain(gray)) > 0.5
        assert distance(face, gray, plain(gray)) < 0.15


def test_a_lost_face_is_found_again(hopper: ByteArray) -> None:
    wall = np.full_like(hopper, 90)
    finder = FaceFinder(SETTINGS)
    seen = [finder.find(picture) is not None for picture in (wall, hopper, hopper, wall, wall, hopper)]
    assert seen == [False, True, True, False, False, True]


def test_a_jump_is_followed_by_a_look_at_the_whole_picture(hopper: ByteArray) -> None:
    canvas = np.full((600, 1100), 90, dtype=np.uint8)
    left, right = canvas.copy(), canvas.copy()
    left[:, :512], right[:, -512:] = hopper, hopper
    finder = FaceFinder(SETTINGS)
    first, second = finder.find(left), finder.find(right)
    assert first is not None
    assert second is not None
    assert second.box[0] - first.box[0] == pytest.approx(588, abs=40)


def test_other_faces_are_counted_and_not_mixed_up(hopper: ByteArray) -> None:
    small = np.asarray(Image.fromarray(hopper).resize((320, 375)))
    both = np.full((600, 860), 90, dtype=np.uint8)
    both[:, :512] = hopper
    both[100:475, 530:850] = small
    finder = FaceFinder(SETTINGS)
    first = finder.find(both)
    assert first is not None
    assert first.num_other_faces == 1
    assert first.box[2] < 512  # the larger one
    for _ in range(4):
        face = finder.find(both)
        assert face is not None
        assert face.box[2] < 512
    finder.reset()
    again = finder.find(both)
    assert again is not None
    assert again.num_other_faces == 1


def test_the_whole_picture_is_looked_at_now_and_then(hopper: ByteArray) -> None:
    finder = FaceFinder(SETTINGS.model_copy(update={"full_detection_interval": 3}))
    told = []
    for _ in range(7):
        face = finder.find(hopper)
        assert face is not None
        told.append(face.num_other_faces)
    assert told == [0, None, None, 0, None, None, 0]


def test_a_high_threshold_finds_nothing(hopper: ByteArray) -> None:
    assert FaceFinder(SETTINGS.model_copy(update={"detection_threshold": 50.0})).find(hopper) is None


def test_faces_at_the_border_are_no_error(hopper: ByteArray) -> None:
    for cut in (130, 160, 190, 230, 260):
        finder = FaceFinder(SETTINGS)
        finder.find(hopper)
        for picture in (hopper[:, cut:], hopper[cut:], hopper[:300, :330]):
            finder.find(np.ascontiguousarray(picture))
