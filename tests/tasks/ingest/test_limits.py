"""Bombs: small files that would unpack into huge pictures, or into more frames than anybody recorded."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import ProbeError
from schemas.settings import FacesSettings, IngestSettings
from tasks.ingest.boxes import declared_samples
from tasks.ingest.probe import Limits, probe_video
from tasks.ingest.stage import ingest_corpus
from tasks.store.failures import read_failures
from tasks.store.layout import Store

Ffmpeg = Callable[..., Path]

REPOSITORY = Path(__file__).parents[3]
PICTURE = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=2")
PIXELS = 64 * 48

_PEAK = """
import resource, sys
from pathlib import Path
from schemas.errors import ProbeError
from tasks.ingest.probe import probe_video
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    probe_video(Path(sys.argv[1]))
except ProbeError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", ("libx264",)),
        ("a.mov", ("png",)),
        ("a.avi", ("mjpeg",)),
        ("a.webm", ("libvpx-vp9", "-cpu-used", "8")),
        ("a.mpg", ("mpeg2video",)),
        ("a.ts", ("libx264",)),
        ("a.flv", ("flv1",)),
        ("a.mkv", ("ffv1",)),
        ("a.264", ("libx264",)),
    ],
)
def test_large_pictures_are_refused_by_size(tmp_path: Path, ffmpeg: Ffmpeg, name: str, codec: tuple[str, ...]) -> None:
    path = ffmpeg(*PICTURE, "-frames:v", "5", "-c:v", *codec, tmp_path / name)
    with pytest.raises(ProbeError, match=r"at most 3,071 pixels, found 64x48 \(3,072\).*raise max_pixels"):
        probe_video(path, limits=Limits(max_pixels=PIXELS - 1), declared_frame_rate=25)
    assert probe_video(path, limits=Limits(max_pixels=PIXELS), declared_frame_rate=25).num_frames == 5


def test_pictures_that_grow_on_the_way(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    small = ffmpeg(*PICTURE, "-c:v", "mpeg2video", tmp_path / "small.ts")
    large = ffmpeg("-f", "lavfi", "-i", "testsrc=s=800x600:r=25:d=1", "-c:v", "mpeg2video", tmp_path / "large.ts")
    grown = tmp_path / "grown.ts"
    grown.write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(ProbeError, match=r"at most 20,000 pixels, found 800x600 \(480,000\)"):
        probe_video(grown, limits=Limits(max_pixels=20_000))


def test_wide_pixels_count(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    """They are made square: 64x48 at 20:1 becomes 1280x48."""
    path = ffmpeg(*PICTURE, "-vf", "setsar=20/1", "-c:v", "libx264", tmp_path / "wide.mp4")
    with pytest.raises(ProbeError, match="found 1280x48"):
        probe_video(path, limits=Limits(max_pixels=PIXELS * 19))
    assert probe_video(path, limits=Limits(max_pixels=PIXELS * 20)).pixel_aspect == 20


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.264", "libx264")])
def test_too_many_frames(tmp_path: Path, ffmpeg: Ffmpeg, name: str, codec: str) -> None:
    path = ffmpeg(*PICTURE, "-c:v", codec, tmp_path / name)
    with pytest.raises(ProbeError, match=r"at most 49 frames, found 50 or more.*raise max_frames"):
        probe_video(path, limits=Limits(max_frames=49), declared_frame_rate=25)
    assert probe_video(path, limits=Limits(max_frames=50), declared_frame_rate=25).num_frames == 50


def constant_size_film(folder: Path, ffmpeg: Ffmpeg, count: int) -> Path:
    """Five raw pictures whose header declares `count` of them, all of one size: a table of 12 bytes."""
    path = ffmpeg(*PICTURE, "-frames:v", "5", "-c:v", "rawvideo", "-pix_fmt", "rgb24", folder / "raw.mov")
    data = bytearray(path.read_bytes())
    for box, offset in ((b"stsz", 12), (b"stts", 12), (b"stsc", 16)):
        struct.pack_into(">I", data, data.index(box) + offset, count)
    path.write_bytes(data)
    return path


def test_a_header_cannot_declare_more_frames_than_bytes(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    path = constant_size_film(tmp_path, ffmpeg, 5)
    assert declared_samples(path) == {"vide": 5}
    assert probe_video(path).num_frames == 5
    path = constant_size_film(tmp_path, ffmpeg, 3_000_000_000)
    with pytest.raises(ProbeError, match=r"fits its 4\d,\d{3} bytes, found one that declares 3,000,000,000 samples"):
        probe_video(path)


def test_declared_samples_of_sound_and_of_fragments(tmp_path: Path, ffmpeg: Ffmpeg, clip: Path) -> None:
    assert declared_samples(clip)["vide"] == 50
    sound = ffmpeg("-f", "lavfi", "-i", "sine=duration=1:sample_rate=8000", "-c:a", "pcm_s16le", tmp_path / "s.mov")
    assert declared_samples(sound) == {"soun": 8000}
    pieces = ffmpeg("-i", clip, "-an", "-c", "copy", "-movflags", "frag_keyframe+empty_moov", tmp_path / "f.mp4")
    assert declared_samples(pieces) == {"vide": 0, "moof": 50}
    assert declared_samples(ffmpeg("-i", clip, "-c", "copy", tmp_path / "a.mkv")) == {}


@pytest.mark.parametrize("make", ["picture", "frames"])
def test_memory_stays_small(tmp_path: Path, ffmpeg: Ffmpeg, make: str) -> None:
    if make == "picture":  # a gigabyte, decoded
        source = ("-f", "lavfi", "-i", "color=gray:s=12000x12000:r=25:d=0.04")
        path = ffmpeg(*source, "-c:v", "libx264", "-preset", "ultrafast", tmp_path / "bomb.mp4")
    else:  # 1.4 GB of index
        path = constant_size_film(tmp_path, ffmpeg, 40_000_000)
    command = [sys.executable, "-c", _PEAK, str(path)]
    done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=60)
    message, megabytes = done.stdout.splitlines()
    assert "144,000,000" in message or "40,000,000" in message
    assert int(megabytes) < 150


def test_limits_are_settings_that_cost_one_recording_and_no_key(tmp_path: Path, clip: Path) -> None:
    rows = f"recording,subject,video,ratings,partition,scale\nA,s,{clip},,,\n"
    (tmp_path / "manifest.csv").write_text(rows, encoding="utf-8")
    store = Store(tmp_path / "store")
    for settings in (IngestSettings(max_pixels=100), IngestSettings(max_frames=10)):
        assert ingest_corpus(tmp_path, store, settings).failed == 1
        assert [row["error"] for row in read_failures(store).to_pylist()] == ["ProbeError"]
    assert ingest_corpus(tmp_path, store, IngestSettings()).failed == 0
    assert FacesSettings(max_pixels=100).keyed() == FacesSettings().keyed()
