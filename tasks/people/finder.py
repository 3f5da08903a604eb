"""Following every face but the main person's, whose rows are those of `frames`.

The whole picture is searched every few frames and whenever something changes: at a cut, and where a face is lost. Each
face found is followed by a track of its own, as in `tasks.faces.track`, and looked at now and then for whose it is: at
its start, often at first, then every few seconds. A track never passes from one person to another unseen for longer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from models.alignment import FloatArray
from schemas.settings import FacesSettings
from tasks.faces.decode import Picture
from tasks.faces.detect import Box, Detection, Detector, find_landmarks
from tasks.faces.embedding import embed, recognition_chip
from tasks.faces.identity import Embedding
from tasks.faces.track import CutDetector, Face, Track

_SAME_PLACE = 0.5  # of the smaller box within the larger: two of one face, or a part of a face taken for another
_FIRST_INTERVAL = 10  # frames from a track's first embedding to its second; the intervals double from there
_LOOK_AGAIN = 5  # frames from one look at the whole picture to the next, at least


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One face in one frame; `track` counts the tracks of the segment, `embedding` is there where one was taken."""

    track: int
    face: Face
    embedding: Embedding | None


@dataclass
class _Followed:
    """A track, its number, and what has been seen of whose it is."""

    number: int
    track: Track
    embeddings: list[Embedding] = field(default_factory=list)
    age: int = 0
    next_embedding: int = 0
    taken: Embedding | None = None  # in this frame


class PeopleFinder:
    """Follows all faces but one, frame by frame; `reset` starts a segment.

    Args:
        settings: detector, thresholds and intervals.
    """

    def __init__(self, settings: FacesSettings) -> None:
        self._settings = settings
        self._detector = Detector(settings)
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next frame starts a segment."""
        self._followed: list[_Followed] = []
        self._cuts = CutDetector()
        self._position = -1
        self._started = 0
        self._next_look, self._last_look = 0, -_LOOK_AGAIN
        self._had_main = False

    def find(self, picture: Picture, main: Box | None) -> list[Seen]:
        """Look at the next frame.

        Args:
            picture: the frame.
            main: where the main person's face is; None where it is not seen.

        Returns: every other face, in the order in which their tracks began.
        """
        self._position += 1
        if self._cuts.is_cut(picture.y):
            self._followed = []
            self._next_look = self._position
        before = len(self._followed)
        taken = [] if main is None else [main]
        going_on = []
        for one in self._followed:
            if self._goes_on(one, picture, taken):
                going_on.append(one)
                taken.append(one.track.face.box)
        self._followed = going_on
        if len(going_on) < before or (self._had_main and main is None):
            self._next_look = min(self._next_look, max(self._position, self._last_look + _LOOK_AGAIN))
        self._had_main = main is not None
        if self._position >= self._next_look:
            self._look(picture, taken)
        return [Seen(track=one.number, face=one.track.face, embedding=one.taken) for one in self._followed]

    def _goes_on(self, one: _Followed, picture: Picture, taken: list[Box]) -> bool:
        """Follow a face into this frame; False where it is lost, another's, or one that is followed already."""
        one.taken = None

        def is_same(picture: Picture, found: Detection) -> bool:
            return self._recognise(one, picture, find_landmarks(picture.y, found.box))

        if not one.track.follow(picture, self._detector, self._settings, is_same):
            return False
        one.age += 1
        face = one.track.face
        if any(_is_same_place(face.box, box) for box in taken):
            return False
        is_due = one.taken is None and one.age >= one.next_embedding and face.source == "detected"
        return not is_due or self._recognise(one, picture, face.landmarks)

    def _recognise(self, one: _Followed, picture: Picture, landmarks: FloatArray) -> bool:
        """Take an embedding into a track, if it is of the same person."""
        embedding = embed([recognition_chip(picture, landmarks)])[0]
        if one.embeddings:
            mean = np.mean(one.embeddings, axis=0)
            if float(np.linalg.norm(embedding - mean)) > self._settings.identity.face_threshold:
                return False
        one.embeddings.append(embedding)
        one.taken = embedding
        one.next_embedding = one.age + min(max(one.age, _FIRST_INTERVAL), self._settings.people.embedding_interval)
        return True

    def _look(self, picture: Picture, taken: list[Box]) -> None:
        """Search the whole picture for faces that nobody follows."""
        self._last_look = self._position
        self._next_look = self._position + self._settings.people.interval
        for found in self._detector.every_size(picture.y):
            if any(_is_same_place(found.box, box) for box in taken):
                continue
            taken.append(found.box)
            one = _Followed(number=self._started, track=Track(picture, found))
            self._recognise(one, picture, one.track.face.landmarks)
            self._followed.append(one)
            self._started += 1


def _is_same_place(a: Box, b: Box) -> bool:
    """Whether half of the smaller of two boxes lies in the other."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width > 0 and height > 0 and width * height > _SAME_PLACE * smaller
