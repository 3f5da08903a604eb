"""Faces and saliency maps as pictures inside a page."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt

_HEAT = np.array([213, 94, 0], dtype=np.float32)  # Okabe and Ito's vermilion
_STRONGEST = 99.0  # percentile of the map that is drawn at full strength
_COVER = 0.85  # of the face, at full strength


def face_uri(picture: npt.NDArray[np.uint8]) -> str:
    """A face `[height, width, channel]` as the data URI of a PNG."""
    from PIL import Image

    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def heat_uri(picture: npt.NDArray[np.uint8], strength: npt.NDArray[np.float32]) -> str:
    """A face with a map `[size, size]`, >= 0, laid over it, as a data URI."""
    from PIL import Image

    height, width = picture.shape[:2]
    scale = float(np.percentile(strength, _STRONGEST)) or 1.0
    small = Image.fromarray(np.clip(strength / scale, 0, 1).astype(np.float32)).resize((width, height))
    cover = _COVER * np.asarray(small)[:, :, None]
    mixed = picture.astype(np.float32) * (1 - cover) + _HEAT * cover
    return face_uri(mixed.round().astype(np.uint8))
