"""Which frames the first pass looks at, and that they are the decoder's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas.settings import MAX_PIXELS
from tasks.faces.decode import FrameStream
from tasks.faces.sampling import SampledPictures, Samples, choose_samples

from .conftest import Films, run_ffmpeg

SIZE = (320, 240)
RATE = 25


def chosen(
    keys: list[int], frames: int = 1000, *, interval: float = 5.0, most: int = 120, seekable: bool = True
) -> Samples:
    times = np.arange(frames) / RATE
    is_key = np.zeros(frames, dtype=np.bool_)
    is_key[keys] = True
    return choose_samples(times, is_key, interval_seconds=interval, most=most, seekable=seekable)


def test_samples_are_one_from_each_stretch() -> None:
    for keys in (list(range(0, 1000, 10)), list(range(0, 1000, 110)), [0]):
        for seekable in (True, False):
            samples = chosen(keys, seekable=seekable)
            assert np.array_equal(np.array(samples.positions) // 125, np.arange(8))
            assert samples.by_seeking == (seekable and len(keys) > 1)
    for every in (10, 300):
        sparse = chosen(list(range(0, 4000, every)), 4000)
        assert all(position % every == 0 for position in sparse.positions)
        assert len({position // 125 for position in sparse.positions}) == len(sparse.positions) >= 10


def test_the_number_of_samples_is_bounded() -> None:
    assert len(chosen([0], 20).positions) == 3
    assert len(chosen([0], 1).positions) == 1
    assert len(chosen([0], 90_000, most=50).positions) == 50
    assert chosen([], 0).positions == ()


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_sampled_pictures_are_those_of_the_decoder(films: Films, degrees: int, tmp_path: Path) -> None:
    path = run_ffmpeg("-display_rotation", str(degrees), "-i", films.portrait(), "-c", "copy", tmp_path / "turned.mp4")
    size = SIZE if degrees % 180 == 0 else SIZE[::-1]
    with FrameStream(path, size=size) as stream:
        expected = [replace(one, y=one.y.copy(), u=one.u.copy(), v=one.v.copy()) for one in stream]
    pts = np.array([picture.pts for picture in expected])
    pictures = SampledPictures(path, pts, size=size, max_pixels=MAX_PIXELS)
    for found in (pictures.sought((100, 0, 33)), pictures.passing((0, 33, 100))):
        seen = {picture.pts: picture for picture in found if picture is not None}
        assert set(seen) == {int(pts[0]), int(pts[33]), int(pts[100])}
        for position in (0, 33, 100):
            ours, theirs = seen[int(pts[position])], expected[position]
            for a, b in ((ours.y, theirs.y), (ours.u, theirs.u), (ours.v, theirs.v)):
                assert np.abs(a.astype(int) - b).max() <= 1
