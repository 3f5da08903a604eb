"""Finding the face: dlib's HOG detector where the face was, and over the whole picture when that fails."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import dlib
import numpy as np

from models.alignment import FloatArray
from schemas.settings import FacesSettings
from tasks.faces.decode import ByteArray

_SEARCH_FACE_PIXELS = 96.0  # the detector's window is 80 pixels; a face of this size leaves it room both ways
_SEARCH_MARGIN = 0.5  # of the last box's side, on every side
_UPSAMPLE_INTERVAL = 5  # frames between looks for small faces while none is there: they cost four times as much


@dataclass(frozen=True, kw_only=True)
class Face:
    """One face in one frame, in pixels of the upright, square-pixel picture.

    `box` is left, top, right, bottom; `landmarks` is `[5, xy]`; `num_other_faces` is None where only the surroundings
    of the last face were searched.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: FloatArray
    num_other_faces: int | None


class FaceFinder:
    """Follows one face through a segment. State is the last box; `reset` forgets it.

    Args:
        settings: thresholds and intervals.
    """

    def __init__(self, settings: FacesSettings) -> None:
        self._settings = settings
        self._detector, self._predictor = _models()
        self.reset()

    def reset(self) -> None:
        """Forget the last face: the next frame starts a segment."""
        self._last: tuple[float, float, float, float] | None = None
        self._position = -1

    def find(self, gray: ByteArray) -> Face | None:
        """The face of the next frame, or None.

        Args:
            gray: `[height, width]`, the luma plane.
        """
        self._position += 1
        found: tuple[Any, float] | None = None
        others: int | None = None
        if self._last is not None and self._position % self._settings.full_detection_interval:
            found = self._search_around(gray, self._last)
        if found is None:
            candidates = self._search_everywhere(gray)
            found = self._choose(candidates)
            others = max(0, len(candidates) - 1)
        if found is None:
            self._last = None
            return None
        box, score = found
        self._last = box
        return Face(box=box, score=score, landmarks=self._landmarks(gray, box), num_other_faces=others)

    def _search_around(
        self, gray: ByteArray, box: tuple[float, float, float, float]
    ) -> tuple[tuple[float, float, float, float], float] | None:
        left, top, right, bottom = box
        side = right - left
        margin = _SEARCH_MARGIN * side
        x0, y0 = max(0, int(left - margin)), max(0, int(top - margin))
        x1, y1 = min(gray.shape[1], int(right + margin) + 1), min(gray.shape[0], int(bottom + margin) + 1)
        crop = np.ascontiguousarray(gray[y0:y1, x0:x1])
        scale = _SEARCH_FACE_PIXELS / side
        rows, columns = round(crop.shape[0] * scale), round(crop.shape[1] * scale)
        small = dlib.resize_image(crop, rows, columns)
        scale_x, scale_y = crop.shape[1] / columns, crop.shape[0] / rows
        candidates = [
            (
                (
                    x0 + rect.left() * scale_x,
                    y0 + rect.top() * scale_y,
                    x0 + rect.right() * scale_x,
                    y0 + rect.bottom() * scale_y,
                ),
                score,
            )
            for rect, score in self._run(small, 0)
        ]
        return self._choose(candidates)

    def _search_everywhere(self, gray: ByteArray) -> list[tuple[tuple[float, float, float, float], float]]:
        found = self._run(gray, 0)
        if not found and self._settings.upsample and self._position % _UPSAMPLE_INTERVAL == 0:
            found = self._run(gray, self._settings.upsample)
        return [((rect.left(), rect.top(), rect.right(), rect.bottom()), score) for rect, score in found]

    def _run(self, gray: ByteArray, upsample: int) -> list[tuple[Any, float]]:
        rectangles, scores, _ = self._detector.run(gray, upsample, self._settings.detection_threshold)
        return list(zip(rectangles, scores, strict=True))

    def _choose(
        self, candidates: list[tuple[tuple[float, float, float, float], float]]
    ) -> tuple[tuple[float, float, float, float], float] | None:
        """The candidate that overlaps the last face most; the largest where there is no last face."""
        if not candidates:
            return None
        last = self._last
        if last is None:
            return max(candidates, key=lambda c: (c[0][2] - c[0][0], c[1]))
        return max(candidates, key=lambda c: (_overlap(c[0], last), c[1]))

    def _landmarks(self, gray: ByteArray, box: tuple[float, float, float, float]) -> FloatArray:
        rect = dlib.rectangle(*(round(edge) for edge in box))
        shape = self._predictor(gray, rect)
        return np.array([[shape.part(i).x, shape.part(i).y] for i in range(shape.num_parts)], dtype=np.float64)


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (areas - shared)


@cache
def _models() -> tuple[Any, Any]:
    """Detector and landmark predictor, loaded once in a process: a quarter of a second."""
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(landmark_model_path()))


@cache
def landmark_model_path() -> Path:
    """dlib's five-point predictor (eye corners and nose base, CC0), as `face_recognition_models` ships it.

    The package is never imported: that would need `pkg_resources`.
    """
    distribution = importlib.metadata.distribution("face_recognition_models")
    return Path(str(distribution.locate_file("face_recognition_models/models/shape_predictor_5_face_landmarks.dat")))
