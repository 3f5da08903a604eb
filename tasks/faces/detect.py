"""Where faces are: dlib's detectors over a whole picture or around a box, and dlib's five landmarks."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import dlib
import numpy as np

from models.alignment import FloatArray
from schemas.settings import FacesSettings
from tasks.faces.decode import ByteArray

_SEARCH_FACE_PIXELS = 88.0  # the detector's window is 80 pixels; a face of this size leaves it room both ways
_SEARCH_MARGIN = 0.4  # of the box's side, on every side
_LEAST_CROP_PIXELS = 16

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the upright, square-pixel picture."""


@dataclass(frozen=True)
class Detection:
    """One face that a detector found."""

    box: Box
    score: float

    @property
    def side(self) -> float:
        return self.box[2] - self.box[0]


class Detector:
    """dlib's frontal HOG detector, or its CNN detector, which finds turned and half-hidden faces at 20 times the cost.

    Args:
        settings: `detector`, `detection_threshold`, `upsample`.
    """

    def __init__(self, settings: FacesSettings) -> None:
        self._settings = settings
        self._model = _detector(settings.detector)

    def everywhere(self, gray: ByteArray, *, small: bool) -> list[Detection]:
        """Every face of a picture, largest first.

        Args:
            gray: `[height, width]`.
            small: where nothing is found, double the picture as often as the settings say: faces under 80 pixels.
        """
        found = self._run(gray, 0)
        if not found and small and self._settings.upsample:
            found = self._run(gray, self._settings.upsample)
        return sorted(found, key=_by_size)

    def every_size(self, gray: ByteArray) -> list[Detection]:
        """Every face of a picture down to the smallest that the settings allow, beside large ones too; largest first.

        Args:
            gray: `[height, width]`.
        """
        return sorted(self._run(gray, self._settings.upsample), key=_by_size)

    def around(self, gray: ByteArray, box: Box) -> list[Detection]:
        """Faces of about the size of `box` in its surroundings, scaled to what the detector needs; best overlap first.

        Args:
            gray: `[height, width]`.
            box: where the face was.
        """
        side = box[2] - box[0]
        margin = _SEARCH_MARGIN * side
        x0, y0 = max(0, int(box[0] - margin)), max(0, int(box[1] - margin))
        x1, y1 = min(gray.shape[1], int(box[2] + margin) + 1), min(gray.shape[0], int(box[3] + margin) + 1)
        if x1 - x0 < _LEAST_CROP_PIXELS or y1 - y0 < _LEAST_CROP_PIXELS:
            return []
        crop = np.ascontiguousarray(gray[y0:y1, x0:x1])
        scale = _SEARCH_FACE_PIXELS / side
        rows, columns = round(crop.shape[0] * scale), round(crop.shape[1] * scale)
        x, y = crop.shape[1] / columns, crop.shape[0] / rows
        found = [
            Detection((x0 + left * x, y0 + top * y, x0 + right * x, y0 + bottom * y), one.score)
            for one in self._run(dlib.resize_image(crop, rows, columns), 0)
            for left, top, right, bottom in [one.box]
        ]
        return sorted(found, key=lambda one: (-overlap(one.box, box), -one.score, one.box))

    def _run(self, gray: ByteArray, upsample: int) -> list[Detection]:
        threshold = self._settings.detection_threshold
        if self._settings.detector == "cnn":
            marked = [(one.rect, one.confidence) for one in self._model(gray, upsample)]
            pairs = [(rect, score) for rect, score in marked if score >= threshold]
        else:
            rectangles, scores, _ = self._model.run(gray, upsample, threshold)
            pairs = list(zip(rectangles, scores, strict=True))
        return [
            Detection((rect.left(), rect.top(), rect.right(), rect.bottom()), float(score)) for rect, score in pairs
        ]


def _by_size(one: Detection) -> tuple[float, float, Box]:
    return (-one.side, -one.score, one.box)


def find_landmarks(gray: ByteArray, box: Box) -> FloatArray:
    """dlib's five landmarks of the face in `box`, `[5, xy]`, whole pixels."""
    shape = _predictor()(gray, dlib.rectangle(*(round(edge) for edge in box)))
    return np.array([[point.x, point.y] for point in shape.parts()], dtype=np.float64)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return shared / (areas - shared)


def load_models() -> None:
    """Load what every segment needs, while there is nothing else to do: a third of a second, once in a process."""
    _detector("hog")
    _predictor()


@cache
def _detector(name: Literal["hog", "cnn"]) -> Any:
    if name == "cnn":
        return dlib.cnn_face_detection_model_v1(str(model_file("mmod_human_face_detector.dat")))
    return dlib.get_frontal_face_detector()


@cache
def _predictor() -> Any:
    return dlib.shape_predictor(str(landmark_model_path()))


@cache
def landmark_model_path() -> Path:
    """dlib's five-point predictor (eye corners and nose base, CC0), as `face_recognition_models` ships it."""
    return model_file("shape_predictor_5_face_landmarks.dat")


def model_file(name: str) -> Path:
    """A file of `face_recognition_models`, which is never imported: that would need `pkg_resources`."""
    distribution = importlib.metadata.distribution("face_recognition_models")
    return Path(str(distribution.locate_file(f"face_recognition_models/models/{name}")))
