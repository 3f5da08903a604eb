"""The detector and the finder beside a plain full-frame dlib detection, on two public-domain portraits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import dlib
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from skimage import data

from schemas.settings import FacesSettings
from schemas.tables import SIGNATURE_SIZE
from tasks.faces.chip import aligned_luma, placement, signature_of
from tasks.faces.decode import Picture
from tasks.faces.detect import Detector, landmark_model_path
from tasks.faces.embedding import embed, recognition_chip
from tasks.faces.identity import Embedding, Identities, Person
from tasks.faces.track import Face, FaceFinder, Look

from .conftest import portrait

ByteArray = npt.NDArray[np.uint8]

SETTINGS = FacesSettings()
EVERY_FRAME = FacesSettings(detection_interval=1)
NOBODY = Identities(())


class Finder:
    """A finder that is given gray pictures, and whose largest face is the main one."""

    def __init__(self, settings: FacesSettings = SETTINGS) -> None:
        self._finder = FaceFinder(settings, NOBODY)
        self.reset = self._finder.reset

    def look(self, gray: ByteArray) -> Look:
        half = np.full(((gray.shape[0] + 1) // 2, (gray.shape[1] + 1) // 2), 128, dtype=np.uint8)
        return self._finder.find(Picture(y=gray, u=half, v=half, pts=0, time_base=Fraction(1, 25)))

    def find(self, gray: ByteArray) -> Face | None:
        return self.look(gray).face


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
        look = Finder().look(gray)
        face = look.face
        assert face is not None
        rect = plain(gray)
        assert face.box == (rect.left(), rect.top(), rect.right(), rect.bottom())
        assert distance(face, gray, rect) < 0.02
        assert look.num_other_faces == 0
        assert face.source == "detected"
        assert face.score > 0


def test_the_picture_right_eye_comes_first(hopper: ByteArray) -> None:
    face = Finder().find(hopper)
    assert face is not None
    x, y = face.landmarks.T
    assert x[0] > x[1] > x[4] > x[3] > x[2]
    assert y[4] > y[:4].max()


@pytest.mark.parametrize("settings", [SETTINGS, EVERY_FRAME], ids=["tracked", "detected"])
@pytest.mark.parametrize("step", [(0, 0), (3, 1), (-4, 2), (5, -3)])
def test_following_finds_what_a_plain_detection_finds(
    hopper: ByteArray, step: tuple[int, int], settings: FacesSettings
) -> None:
    finder = Finder(settings)
    for number in range(13):
        gray = np.ascontiguousarray(np.roll(hopper, (step[1] * number, step[0] * number), axis=(0, 1)))
        look = finder.look(gray)
        assert look.face is not None
        rect = plain(gray)
        assert overlap(look.face, rect) > 0.5
        assert distance(look.face, gray, rect) < 0.12
        assert (look.num_other_faces is None) == (number > 0)
        detected = number % settings.detection_interval == 0
        assert look.face.source == ("detected" if detected else "tracked")


def test_a_tracked_face_tells_how_like_the_one_before_it_is(hopper: ByteArray) -> None:
    finder = Finder()
    finder.find(hopper)
    same = finder.find(hopper)
    noisy = finder.find((hopper * 0.6 + np.random.default_rng(1).normal(0, 25, hopper.shape)).clip(0, 255).astype("u1"))
    assert same is not None
    assert noisy is not None
    assert same.score == pytest.approx(1, abs=0.02)
    assert 0.8 <= noisy.score < same.score


@pytest.mark.parametrize("size", [90, 140, 260, 400])
def test_faces_of_any_size_are_followed(hopper: ByteArray, size: int) -> None:
    scale = size / 187
    picture = Image.fromarray(hopper).resize((round(512 * scale), round(600 * scale)), Image.Resampling.LANCZOS)
    gray = np.asarray(picture)
    finder = Finder(FacesSettings(detection_interval=2))
    for _ in range(4):
        face = finder.find(gray)
        assert face is not None
        assert overlap(face, plain(gray)) > 0.5
        assert distance(face, gray, plain(gray)) < 0.15


def test_a_lost_face_is_found_again(hopper: ByteArray) -> None:
    wall = np.random.default_rng(4).normal(90, 4, hopper.shape).clip(0, 255).astype(np.uint8)
    finder = Finder()
    seen = [finder.find(picture) is not None for picture in (wall, hopper, hopper, wall, wall, hopper)]
    assert seen == [False, True, True, False, False, True]


def test_a_face_that_fades_into_another_thing_is_dropped(hopper: ByteArray) -> None:
    """The landmark predictor always answers; only the likeness to the face before can tell that nothing is there."""
    rng = np.random.default_rng(5)
    finder = Finder(FacesSettings(detection_interval=1000))
    finder.find(hopper)
    covered = hopper.copy()
    box = plain(hopper)
    place = np.s_[box.top() - 40 : box.bottom() + 40, box.left() - 40 : box.right() + 40]
    covered[place] = rng.integers(0, 256, covered[place].shape, dtype=np.uint8)
    assert finder.find(covered) is None


def test_somebody_else_in_the_same_place_is_not_followed(
    hopper: ByteArray, astronaut: ByteArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cut: the rest of the picture stays. The detector finds a face where the main person's was."""
    room = np.random.default_rng(6).integers(16, 235, (1000, 1000), dtype=np.uint8)
    mine, other = room.copy(), room.copy()
    theirs = plain(astronaut)
    scale = plain(hopper).width() / theirs.width()
    stranger = np.asarray(Image.fromarray(astronaut).resize((round(512 * scale), round(512 * scale))))
    place = plain(hopper)
    mine[:600, :512] = hopper
    x, y = round(theirs.left() * scale) - place.left(), round(theirs.top() * scale) - place.top()
    shown = np.s_[place.top() - 30 : place.bottom() + 30, place.left() - 30 : place.right() + 30]
    other[:600, :512] = hopper
    other[shown] = stranger[y:, x:][shown]
    finder = FaceFinder(SETTINGS, NOBODY)
    monkeypatch.setattr(finder, "_is_main", lambda picture, _: np.array_equal(picture.y, mine))
    half = np.full((500, 500), 128, dtype=np.uint8)
    seen = [
        finder.find(Picture(y=gray, u=half, v=half, pts=0, time_base=Fraction(1, 25))) for gray in (mine, mine, other)
    ]
    assert [look.face is not None for look in seen] == [True, True, False]
    assert seen[2].num_other_faces == 1


def face_at(source: ByteArray, face: dlib.rectangle, side: int, left: int, top: int, seed: int) -> ByteArray:
    """A room of noise with one face from `source`, `side` pixels wide, its box at `left`, `top`."""
    room = np.random.default_rng(seed).integers(16, 235, (600, 900), dtype=np.uint8)
    scale = side / face.width()
    scaled = np.asarray(Image.fromarray(source).resize([round(edge * scale) for edge in source.shape[::-1]]))
    x, y, reach = round(face.left() * scale), round(face.top() * scale), side // 5
    room[top - reach : top + side + reach, left - reach : left + side + reach] = scaled[
        y - reach : y + side + reach, x - reach : x + side + reach
    ]
    return room


def picture(gray: ByteArray) -> Picture:
    half = np.full((gray.shape[0] // 2, gray.shape[1] // 2), 128, dtype=np.uint8)
    return Picture(y=gray, u=half, v=half, pts=0, time_base=Fraction(1, 25))


def test_after_a_cut_only_a_face_that_is_not_unmistakable_is_recognised_anew(
    hopper: ByteArray, astronaut: ByteArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main person in two places, then a stranger in the very place where the main person was."""
    asked: list[int] = []

    def counted(chips: Sequence[ByteArray]) -> list[Embedding]:
        asked.append(len(chips))
        return embed(chips)

    monkeypatch.setattr("tasks.faces.track.embed", counted)
    mine, theirs = plain(hopper), plain(astronaut)
    first = face_at(hopper, mine, 180, 100, 100, 1)
    again, stranger = face_at(hopper, mine, 182, 500, 300, 2), face_at(astronaut, theirs, 182, 500, 300, 3)
    landmarks = landmarks_of(first, plain(first))
    person = Person(
        num_sightings=1,
        first_seen_seconds=0,
        last_seen_seconds=0,
        median_box_side=180,
        reference=embed([recognition_chip(picture(first), landmarks)])[0],
        signatures=np.zeros((0, SIGNATURE_SIZE), dtype=np.float32),
    )
    finder = FaceFinder(SETTINGS, Identities((person,)))
    seen = [finder.find(picture(gray)).face is not None for gray in (first, again, first, stranger, again, stranger)]
    assert seen == [True, True, True, False, True, False]
    assert len(asked) == 3  # the first face, and each appearance of the stranger

    asked.clear()
    finder.reset()
    assert finder.find(picture(first)).face is not None
    assert len(asked) == 1  # a segment knows nothing of another
    signature = signature_of(aligned_luma(picture(first), placement(landmarks)))
    told = FaceFinder(SETTINGS, Identities((replace(person, signatures=signature[None]),)))
    asked.clear()
    assert told.find(picture(first)).face is not None
    assert told.find(picture(again)).face is not None
    jumped = told.find(picture(face_at(hopper, mine, 181, 506, 304, 4)))
    assert jumped.face is not None
    assert jumped.face.source == "detected"
    assert jumped.num_other_faces is None  # in its place: nobody else was looked for
    assert not asked
    assert told.find(picture(stranger)).face is None


def test_a_jump_is_followed_by_a_look_at_the_whole_picture(hopper: ByteArray) -> None:
    canvas = np.full((600, 1100), 90, dtype=np.uint8)
    left, right = canvas.copy(), canvas.copy()
    left[:, :512], right[:, -512:] = hopper, hopper
    finder = Finder()
    first, second = finder.find(left), finder.find(right)
    assert first is not None
    assert second is not None
    assert second.source == "detected"
    assert second.box[0] - first.box[0] == pytest.approx(588, abs=40)


def test_other_faces_are_counted_and_not_mixed_up(hopper: ByteArray) -> None:
    small = np.asarray(Image.fromarray(hopper).resize((320, 375)))
    both = np.full((600, 860), 90, dtype=np.uint8)
    both[:, :512] = hopper
    both[100:475, 530:850] = small
    finder = Finder(FacesSettings(detection_interval=2))
    first = finder.look(both)
    assert first.face is not None
    assert first.num_other_faces == 1
    assert first.face.box[2] < 512  # the larger one
    for _ in range(4):
        face = finder.find(both)
        assert face is not None
        assert face.box[2] < 512
    finder.reset()
    assert finder.look(both).num_other_faces == 1


def test_the_whole_picture_is_looked_at_now_and_then(hopper: ByteArray) -> None:
    finder = Finder(FacesSettings(full_detection_interval=3))
    told = [finder.look(hopper).num_other_faces for _ in range(7)]
    assert told == [0, None, None, 0, None, None, 0]


def test_a_high_threshold_finds_nothing(hopper: ByteArray) -> None:
    assert Finder(FacesSettings(detection_threshold=50.0)).find(hopper) is None


def test_faces_at_the_border_are_no_error(hopper: ByteArray) -> None:
    for settings in (SETTINGS, EVERY_FRAME):
        for cut in (130, 160, 190, 230, 260):
            finder = Finder(settings)
            finder.find(hopper)
            for rows, columns in (np.s_[:, cut:], np.s_[cut:, :], np.s_[300 - cut :, 330 - cut :]):
                rest = hopper[rows, columns]
                shifted = np.zeros_like(hopper)
                shifted[: rest.shape[0], : rest.shape[1]] = rest
                finder.find(shifted)


def test_the_cnn_detector_finds_the_same_face(hopper: ByteArray) -> None:
    small = np.asarray(Image.fromarray(hopper).resize((256, 300)))
    (found,) = Detector(FacesSettings(detector="cnn")).everywhere(small, small=False)
    rect = dlib.get_frontal_face_detector()(small, 0)[0]
    assert found.box[0] == pytest.approx(rect.left(), abs=rect.width() / 4)
    assert found.side == pytest.approx(rect.width(), rel=0.3)
    assert found.score > 0.5
