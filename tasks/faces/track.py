"""Following faces through the frames of a segment: any one, and the main person's above all.

Between detections the landmarks of one frame carry the box to the next, and the aligned face is compared with the one
before; the detector looks anew at the face's surroundings every few frames and whenever that check fails, and at the
whole picture at the start, now and then, when the face is lost, and after a cut unless the main person is where she or
he was and cannot be mistaken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.alignment import FloatArray
from schemas.settings import FacesSettings
from tasks.faces.chip import Signature, aligned_luma, placement, signature_of
from tasks.faces.decode import ByteArray, Picture
from tasks.faces.detect import Box, Detection, Detector, find_landmarks, overlap
from tasks.faces.embedding import embed, recognition_chip
from tasks.faces.identity import Identities

_SMALL_FACE_INTERVAL = 5  # frames between looks for small faces while none is there: they cost four times as much
_BOX_WEIGHT = 0.3  # of a new detection in the place of the box about the landmarks: the detector's steps are coarse
_SCALE_RANGE = (0.8, 1.25)  # of the face, from one frame to the next
_SAME_FACE_OVERLAP = 0.3  # of a detection with the box that the landmarks carried there
_CUT_CORRELATION = 0.7  # of two pictures that follow each other; people before a camera stay above 0.9
_THUMBNAIL_PIXELS = 32
_LEAST_CONTRAST = 12.0  # standard deviation of a picture's levels; a sensor's noise in the dark is about 5
_UNMISTAKABLE = 0.92  # correlation of aligned faces; those of different people stay below 0.76 on the clips at hand
_MOST_SIGNATURES = 64  # of the main person: those of the first pass, and of faces recognised in the segment
_REJUDGE_INTERVAL = 5  # frames until a face that was another person's is looked at again: 60 ms each


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face in one frame, in pixels of the upright, square-pixel picture.

    `landmarks` is `[5, xy]`; `transform` `[2, 3]` and `luma` `[96, 96]` are those of its chip (tasks.faces.chip).
    `score` is the detector's where `source` is `detected`, and the likeness to the frame before (correlation, at most
    1) where it is `tracked`.
    """

    box: Box
    source: Literal["detected", "tracked"]
    score: float
    landmarks: FloatArray
    transform: FloatArray
    luma: ByteArray


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one frame shows. `num_other_faces` is None where only the face's surroundings were searched."""

    face: Face | None
    num_other_faces: int | None


class Track:
    """One face being followed; `face` is what the last frame showed of it, `signature` how it looked.

    Args:
        picture: the frame that it is first seen in.
        one: where the detector saw it there.
    """

    face: Face
    _placing: FloatArray
    signature: Signature
    _age: int  # frames since a detection

    def __init__(self, picture: Picture, one: Detection) -> None:
        landmarks = find_landmarks(picture.y, one.box)
        self._keep(picture, one.box, landmarks, placing=_placing(one.box, landmarks), score=one.score)

    @property
    def expected(self) -> Box:
        """Where the box would be, had the face not moved."""
        return _box_about(self.face.landmarks, self._placing)

    def follow(
        self,
        picture: Picture,
        detector: Detector,
        settings: FacesSettings,
        is_same: Callable[[Picture, Detection], bool],
    ) -> bool:
        """Find the face in the frame that follows: by its landmarks, or by the detector where these no longer do.

        Args:
            picture: the frame.
            detector: looks at the face's surroundings.
            settings: thresholds and intervals.
            is_same: asked of a face in this one's place that does not look like it: whether it is this one.

        Returns: False where it is lost; the track then stays at the frame before.
        """
        if self._age + 1 < settings.detection_interval and self._carry(picture, settings.tracking_threshold):
            return True
        expected = self.expected
        near = detector.around(picture.y, expected)
        if not near or overlap(near[0].box, expected) < _SAME_FACE_OVERLAP:
            return False
        landmarks = find_landmarks(picture.y, near[0].box)
        if not self.resembles(picture, landmarks, settings) and not is_same(picture, near[0]):
            return False
        self.accept(picture, near[0], landmarks)
        return True

    def resembles(self, picture: Picture, landmarks: FloatArray, settings: FacesSettings) -> bool:
        """Whether the face at some landmarks, aligned, looks like this one in the frame before."""
        luma = aligned_luma(picture, placement(landmarks))
        return float(signature_of(luma) @ self.signature) >= settings.tracking_threshold

    def accept(self, picture: Picture, one: Detection, landmarks: FloatArray) -> None:
        """Go on with a detection of the same face, and the landmarks found in its box."""
        placing = _BOX_WEIGHT * _placing(one.box, landmarks) + (1 - _BOX_WEIGHT) * self._placing
        box = _box_about(landmarks, placing)
        self._keep(picture, box, find_landmarks(picture.y, box), placing=placing, score=one.score)

    def _carry(self, picture: Picture, threshold: float) -> bool:
        """The face by its landmarks alone, if it still looks like the one before."""
        box = self.expected
        landmarks = find_landmarks(picture.y, box)
        least, most = _SCALE_RANGE
        if not least < _spread(landmarks) / _spread(self.face.landmarks) < most:
            return False
        transform = placement(landmarks)
        luma = aligned_luma(picture, transform)
        signature = signature_of(luma)
        likeness = float(signature @ self.signature)
        if likeness < threshold:
            return False
        self.signature, self._age = signature, self._age + 1
        self.face = Face(box=box, source="tracked", score=likeness, landmarks=landmarks, transform=transform, luma=luma)
        return True

    def _keep(self, picture: Picture, box: Box, landmarks: FloatArray, *, placing: FloatArray, score: float) -> None:
        transform = placement(landmarks)
        luma = aligned_luma(picture, transform)
        self._placing, self.signature, self._age = placing, signature_of(luma), 0
        self.face = Face(box=box, source="detected", score=score, landmarks=landmarks, transform=transform, luma=luma)


class CutDetector:
    """Tells where one scene ends and another begins."""

    def __init__(self) -> None:
        self._thumbnail: Signature | None = None

    def is_cut(self, gray: ByteArray) -> bool:
        """Whether the picture `[height, width]` has little to do with the one before; False for the first.

        Pictures without contrast (a dark room, a blank screen) are no scene: noise would make each of them a cut.
        """
        step = max(1, min(gray.shape) // _THUMBNAIL_PIXELS)
        points = gray[step // 2 :: step, step // 2 :: step]
        values = points.astype(np.float32).ravel()
        values -= values.mean()
        contrast = float(np.sqrt(values @ values / values.size))
        thumbnail = values / (contrast * np.sqrt(np.float32(values.size))) if contrast >= _LEAST_CONTRAST else None
        last, self._thumbnail = self._thumbnail, thumbnail
        return last is not None and thumbnail is not None and float(thumbnail @ last) < _CUT_CORRELATION


class FaceFinder:
    """Follows the main person's face, frame by frame; `reset` starts a segment.

    Args:
        settings: detector, thresholds and intervals.
        identities: the recording's persons, the main one first; with none, the largest face is the main one.
    """

    def __init__(self, settings: FacesSettings, identities: Identities) -> None:
        self._settings, self._identities = settings, identities
        self._detector = Detector(settings)
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame starts a segment."""
        self._track: Track | None = None
        self._strangers: list[Box] = []
        self._cuts = CutDetector()
        self._position = -1
        persons = self._identities.persons
        self._known = list(persons[0].signatures) if persons else []

    def find(self, picture: Picture) -> Look:
        """Look at the next frame."""
        self._position += 1
        if self._cuts.is_cut(picture.y):
            self._track = self._after_cut(picture)
            self._strangers = []
            if self._track is not None:
                return Look(face=self._track.face, num_other_faces=None)
        if self._track is None or self._position % self._settings.full_detection_interval == 0:
            return self._look_everywhere(picture)
        if self._track.follow(picture, self._detector, self._settings, self._is_still_main):
            return Look(face=self._track.face, num_other_faces=None)
        return self._look_everywhere(picture)

    def _after_cut(self, picture: Picture) -> Track | None:
        """The main person where she or he was before a jump within a scene, if that cannot be mistaken."""
        if self._track is None or self._position % self._settings.full_detection_interval == 0:
            return None
        expected = self._track.expected
        near = self._detector.around(picture.y, expected)
        if not near or overlap(near[0].box, expected) < _SAME_FACE_OVERLAP:
            return None
        track = Track(picture, near[0])
        return track if self._is_unmistakable(track.signature) else None

    def _look_everywhere(self, picture: Picture) -> Look:
        small = self._position % _SMALL_FACE_INTERVAL == 0
        found = self._detector.everywhere(picture.y, small=small)
        chosen = self._choose(picture, found)
        if chosen is None:
            self._track = None
            return Look(face=None, num_other_faces=len(found))
        if self._track is None:
            self._track = Track(picture, chosen)
        else:
            self._track.accept(picture, chosen, find_landmarks(picture.y, chosen.box))
        return Look(face=self._track.face, num_other_faces=len(found) - 1)

    def _choose(self, picture: Picture, found: Sequence[Detection]) -> Detection | None:
        """The face that continues the track; without one, the largest that is the main person's."""
        if self._track is not None and found:
            expected = self._track.expected
            nearest = max(found, key=lambda one: overlap(one.box, expected))
            in_place = overlap(nearest.box, expected) >= _SAME_FACE_OVERLAP
            if in_place and (
                self._track.resembles(picture, find_landmarks(picture.y, nearest.box), self._settings)
                or self._is_main(picture, nearest)
            ):
                return nearest
            self._track = None
        if self._position % _REJUDGE_INTERVAL == 0:
            self._strangers = []
        known, self._strangers = self._strangers, []
        for one in found:
            if any(overlap(one.box, box) > 0.5 for box in known) or not self._is_main(picture, one):
                self._strangers.append(one.box)
            else:
                return one
        return None

    def _is_still_main(self, picture: Picture, one: Detection) -> bool:
        """`_is_main` of a face in the track's place; somebody else there ends the track, else its place would do."""
        if self._is_main(picture, one):
            return True
        self._track, self._strangers = None, [one.box]
        return False

    def _is_main(self, picture: Picture, one: Detection) -> bool:
        if not self._identities.persons:
            return True
        landmarks = find_landmarks(picture.y, one.box)
        signature = signature_of(aligned_luma(picture, placement(landmarks)))
        if self._is_unmistakable(signature):
            return True
        embedding = embed([recognition_chip(picture, landmarks)])[0]
        is_main = self._identities.whose(embedding, threshold=self._settings.identity.face_threshold).person == 0
        if is_main:  # a face that was only alike is not kept: likeness to likeness would lead astray
            self._known = [*self._known, signature][-_MOST_SIGNATURES:]
        return is_main

    def _is_unmistakable(self, signature: Signature) -> bool:
        return any(float(signature @ known) >= _UNMISTAKABLE for known in self._known)


def _spread(landmarks: FloatArray) -> float:
    centred = landmarks - landmarks.mean(axis=0)
    return float(np.sqrt((centred * centred).sum()))


def _placing(box: Box, landmarks: FloatArray) -> FloatArray:
    """Where a box lies about landmarks, in units of their spread: its centre's x and y from their mean, its side."""
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    return np.array([*(centre - landmarks.mean(axis=0)), box[2] - box[0]]) / _spread(landmarks)


def _box_about(landmarks: FloatArray, placing: FloatArray) -> Box:
    """The box that `placing` puts about landmarks."""
    x, y = landmarks.mean(axis=0)
    right, down, side = (placing * _spread(landmarks)).tolist()
    half = side / 2
    return (float(x + right - half), float(y + down - half), float(x + right + half), float(y + down + half))
