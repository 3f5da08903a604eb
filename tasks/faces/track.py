"""Following the main person's face through the frames of a segment.

Between detections the landmarks of one frame carry the box to the next, and the aligned face is compared with the one
before; the detector looks anew at the face's surroundings every few frames and whenever that check fails, and at the
whole picture at the start, now and then, after a cut and when the face is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.alignment import FloatArray
from schemas.settings import FacesSettings
from tasks.faces.chip import aligned_luma, placement
from tasks.faces.decode import ByteArray, Picture
from tasks.faces.detect import Box, Detection, Detector, find_landmarks, overlap
from tasks.faces.embedding import embed, recognition_chip
from tasks.faces.identity import Identities

_SMALL_FACE_INTERVAL = 5  # frames between looks for small faces while none is there: they cost four times as much
_BOX_WEIGHT = 0.3  # of a new detection in the place of the box about the landmarks: the detector's steps are coarse
_SCALE_RANGE = (0.8, 1.25)  # of the face, from one frame to the next
_SAME_FACE_OVERLAP = 0.3  # of a detection with the box that the landmarks carried there
_CUT_CORRELATION = 0.7  # of two pictures that follow each other; people before a camera stay above 0.9
_THUMBNAIL_PIXELS = 48
_REJUDGE_INTERVAL = 5  # frames until a face that was another person's is looked at again: 60 ms each

_Signature = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Face:
    """The main person's face in one frame, in pixels of the upright, square-pixel picture.

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


@dataclass(frozen=True)
class _Track:
    """A face being followed: where, how its box lies about its landmarks, its looks, frames since a detection."""

    landmarks: FloatArray
    placing: FloatArray
    signature: _Signature
    age: int


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
        self._track: _Track | None = None
        self._strangers: list[Box] = []
        self._thumbnail: _Signature | None = None
        self._position = -1

    def find(self, picture: Picture) -> Look:
        """Look at the next frame."""
        self._position += 1
        if self._is_cut(picture.y):
            self._track = None
            self._strangers = []
        if self._track is None or self._position % self._settings.full_detection_interval == 0:
            return self._look_everywhere(picture)
        if self._track.age + 1 < self._settings.detection_interval:
            face = self._carried(picture, self._track)
            if face is not None:
                return Look(face=face, num_other_faces=None)
            broken = True
        else:
            broken = False
        face = self._look_around(picture, self._track, broken=broken)
        return self._look_everywhere(picture) if face is None else Look(face=face, num_other_faces=None)

    def _carried(self, picture: Picture, track: _Track) -> Face | None:
        """The face by its landmarks alone, if it still looks like the one before."""
        box = _box_about(track.landmarks, track.placing)
        landmarks = find_landmarks(picture.y, box)
        least, most = _SCALE_RANGE
        if not least < _spread(landmarks) / _spread(track.landmarks) < most:
            return None
        transform = placement(landmarks)
        luma = aligned_luma(picture, transform)
        signature = _signature(luma)
        likeness = float(signature @ track.signature)
        if likeness < self._settings.tracking_threshold:
            return None
        self._track = _Track(landmarks, track.placing, signature, track.age + 1)
        return Face(box=box, source="tracked", score=likeness, landmarks=landmarks, transform=transform, luma=luma)

    def _look_around(self, picture: Picture, track: _Track, *, broken: bool) -> Face | None:
        expected = _box_about(track.landmarks, track.placing)
        near = self._detector.around(picture.y, expected)
        if not near or overlap(near[0].box, expected) < _SAME_FACE_OVERLAP:
            return None
        if broken and not self._is_main(picture, near[0]):
            return None
        return self._accept(picture, near[0], track)

    def _look_everywhere(self, picture: Picture) -> Look:
        small = self._position % _SMALL_FACE_INTERVAL == 0
        found = self._detector.everywhere(picture.y, small=small)
        chosen = self._choose(picture, found)
        if chosen is None:
            self._track = None
            return Look(face=None, num_other_faces=len(found))
        return Look(face=self._accept(picture, chosen, self._track), num_other_faces=len(found) - 1)

    def _choose(self, picture: Picture, found: Sequence[Detection]) -> Detection | None:
        """The face that continues the track; without one, the largest that is the main person's."""
        if self._track is not None and found:
            expected = _box_about(self._track.landmarks, self._track.placing)
            nearest = max(found, key=lambda one: overlap(one.box, expected))
            if overlap(nearest.box, expected) >= _SAME_FACE_OVERLAP:
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

    def _is_main(self, picture: Picture, one: Detection) -> bool:
        if not self._identities.persons:
            return True
        chip = recognition_chip(picture, find_landmarks(picture.y, one.box))
        match = self._identities.whose(embed([chip])[0], threshold=self._settings.identity.threshold)
        return match.person == 0

    def _accept(self, picture: Picture, one: Detection, track: _Track | None) -> Face:
        landmarks = find_landmarks(picture.y, one.box)
        placing, box = _placing(one.box, landmarks), one.box
        if track is not None:
            placing = _BOX_WEIGHT * placing + (1 - _BOX_WEIGHT) * track.placing
            box = _box_about(landmarks, placing)
            landmarks = find_landmarks(picture.y, box)
        transform = placement(landmarks)
        luma = aligned_luma(picture, transform)
        self._track = _Track(landmarks, placing, _signature(luma), 0)
        return Face(box=box, source="detected", score=one.score, landmarks=landmarks, transform=transform, luma=luma)

    def _is_cut(self, gray: ByteArray) -> bool:
        step = max(1, min(gray.shape) // _THUMBNAIL_PIXELS)
        thumbnail = _normalised(gray[step // 2 :: step, step // 2 :: step])
        last, self._thumbnail = self._thumbnail, thumbnail
        return last is not None and float(thumbnail @ last) < _CUT_CORRELATION


def _signature(luma: ByteArray) -> _Signature:
    """An aligned face in 24x24 blocks, mean 0 and length 1: two of them multiply to their correlation."""
    rows = luma.reshape(24, 4, 96).sum(axis=1, dtype=np.uint16)
    return _normalised(rows.reshape(24, 24, 4).sum(axis=2, dtype=np.uint16))


def _normalised(values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> _Signature:
    flat = values.astype(np.float32).ravel()
    flat -= flat.mean()
    return flat / max(float(np.sqrt(flat @ flat)), 1e-6)


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
