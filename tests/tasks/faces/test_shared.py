"""On real clips, beside a plain detection of every whole frame: nothing missed, and back soon after an absence."""

from __future__ import annotations

from pathlib import Path

import dlib
import numpy as np
import pytest

from schemas.settings import FacesSettings

from .conftest import Ingester, by_pyav, extract, frames

MOST_FRAMES_LATE = 5


@pytest.mark.shared
@pytest.mark.parametrize(("name", "upsample"), [("face_noface.mov", 0), ("obama_speech.mp4", 1)])
def test_a_face_that_comes_back_is_found_soon(shared_data: Path, ingested: Ingester, name: str, upsample: int) -> None:
    path = shared_data / "videos" / name
    made = ingested(A=path)
    settings = FacesSettings()
    extract(made, settings=settings)
    ours = frames(made, settings=settings)["face_valid"].to_numpy(zero_copy_only=False)
    detector = dlib.get_frontal_face_detector()
    theirs = np.array([len(detector(one.planes[0], upsample)) > 0 for one in by_pyav(path)])
    assert len(ours) == len(theirs)
    assert theirs.any()
    assert ours[theirs].mean() >= 0.995
    begins = np.flatnonzero(theirs & ~np.concatenate([[False], theirs[:-1]]))
    for begin in begins:
        assert ours[begin : begin + MOST_FRAMES_LATE + 1].any()
