"""Decoding beside PyAV: every frame, its own time, its pixels; segments by seek are the whole, cut."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import DecodeError, DecoderDiedError, SourceError
from tasks.faces.chip import rgb_from_planes
from tasks.faces.decode import FrameStream, Picture, decoder_version, upright_size
from tasks.ingest.probe import probe_video

from .conftest import Films, by_pyav, run_ffmpeg

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
SOURCE = ("-f", "lavfi", "-i", "testsrc2=s=80x60:r=25:d=2")


def vfr(path: Path) -> Path:
    chosen = "select='not(eq(mod(n,3),1))*not(between(n,20,31))'"
    return run_ffmpeg(*SOURCE, "-vf", chosen, "-fps_mode", "vfr", *X264, "-g", "8", path)


def b_frames(path: Path) -> Path:
    return run_ffmpeg(*SOURCE, "-c:v", "libx264", "-bf", "3", "-g", "12", "-pix_fmt", "yuv420p", path)


def late_start(path: Path) -> Path:
    """Sound from 0, the first picture at 0.4 s."""
    sound = ("-f", "lavfi", "-i", "sine=duration=2")
    return run_ffmpeg("-itsoffset", "0.4", *SOURCE, *sound, *X264, "-bf", "2", "-c:a", "aac", path)


def shifted(path: Path) -> Path:
    """The whole container starts at 7 s."""
    return run_ffmpeg(*SOURCE, *X264, "-g", "10", "-output_ts_offset", "7", path)


def mpeg1(path: Path) -> Path:
    return run_ffmpeg(*SOURCE, "-c:v", "mpeg1video", "-g", "9", "-bf", "2", "-q:v", "3", path)


def vp8(path: Path) -> Path:
    return run_ffmpeg(*SOURCE, "-c:v", "libvpx", "-b:v", "300k", "-deadline", "realtime", "-g", "15", path)


def hevc(path: Path) -> Path:
    options = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=12:bframes=2")
    return run_ffmpeg(*SOURCE, *options, "-pix_fmt", "yuv420p", path)


def odd_size(path: Path) -> Path:
    source = ("-f", "lavfi", "-i", "testsrc2=s=81x61:r=25:d=1")
    return run_ffmpeg(*source, "-c:v", "ffv1", "-g", "5", "-pix_fmt", "yuv420p", path)


FILMS: dict[str, Callable[[Path], Path]] = {
    "vfr.mkv": vfr,
    "vfr.mp4": vfr,
    "b_frames.mp4": b_frames,
    "late_start.mp4": late_start,
    "late_start.mkv": late_start,
    "shifted.mkv": shifted,
    "shifted.ts": shifted,
    "mpeg1.mpg": mpeg1,
    "vp8.webm": vp8,
    "hevc.mp4": hevc,
    "odd_size.mkv": odd_size,
}


@pytest.fixture(params=sorted(FILMS))
def film(request: pytest.FixtureRequest, films: Films) -> Path:
    path = films.path(request.param)
    return path if path.exists() else FILMS[request.param](path)


def decode(path: Path, *, seek_seconds: float | None = None, from_keyframe: bool = False) -> list[Picture]:
    probe = probe_video(path)
    size = upright_size(
        width=probe.width, height=probe.height, rotation=probe.rotation, pixel_aspect=probe.pixel_aspect
    )
    matrix = probe.colour_matrix
    with FrameStream(path, size=size, matrix=matrix, seek_seconds=seek_seconds, from_keyframe=from_keyframe) as stream:
        return [kept(picture) for picture in stream]


def kept(picture: Picture) -> Picture:
    """A picture that the stream cannot write over."""
    return replace(picture, y=picture.y.copy(), u=picture.u.copy(), v=picture.v.copy())


def assert_same(one: Picture, other: Picture) -> None:
    assert one.pts == other.pts
    for name in ("y", "u", "v"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_frames_times_and_pixels_are_pyavs(film: Path) -> None:
    expected, found = by_pyav(film), decode(film)
    index = probe_video(film)
    assert len(found) == len(expected) == index.num_frames
    for position, (frame, picture) in enumerate(zip(expected, found, strict=True)):
        assert picture.pts == frame.pts == index.pts[position]
        assert abs(index.time_seconds[position] - frame.time_seconds) < 1e-9
        for plane, name in zip(frame.planes, ("y", "u", "v"), strict=True):
            mine = getattr(picture, name)
            assert mine.shape == plane.shape
            assert np.abs(mine.astype(int) - plane.astype(int)).max() <= 1, (position, name)


# Streams without an index (.ts, .mpg) cannot be sought to a frame: test_stage shows what is done instead.
@pytest.mark.parametrize("film", sorted(n for n in FILMS if not n.endswith((".ts", ".mpg"))), indirect=True)
def test_segments_by_seek_are_the_whole_pixel_for_pixel(film: Path) -> None:
    whole = decode(film)
    times = probe_video(film).time_seconds
    for first, end in ((1, 9), (7, 8), (10, 25), (len(whole) - 5, len(whole)), (len(whole) - 1, len(whole))):
        stop = min(end, len(whole))
        found = decode(film, seek_seconds=float(times[first - 1] + times[first]) / 2)[: stop - first]
        assert len(found) == stop - first
        for one, other in zip(found, whole[first:stop], strict=True):
            assert_same(one, other)


@pytest.mark.parametrize("film", sorted(n for n in FILMS if not n.endswith((".ts", ".mpg"))), indirect=True)
def test_from_a_key_frame_on_nothing_is_lost(film: Path) -> None:
    whole, index = decode(film), probe_video(film)
    for key in np.flatnonzero(index.is_keyframe)[1:4]:
        before, at = index.time_seconds[key - 1 : key + 1].tolist()
        found = decode(film, seek_seconds=at + (at - before) / 2, from_keyframe=True)
        found = [picture for picture in found if picture.pts >= index.pts[key]]
        assert len(found) == len(whole) - key
        for one, other in zip(found, whole[key:], strict=True):
            assert_same(one, other)


def test_late_pictures_are_late(films: Films) -> None:
    for name in ("late_start.mp4", "late_start.mkv"):
        path = films.path(name) if films.path(name).exists() else late_start(films.path(name))
        assert probe_video(path).time_seconds[0] == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (270, 3)])
def test_rotation_metadata_turns_the_picture(films: Films, degrees: int, turns: int) -> None:
    straight = films.path("straight.mp4")
    if not straight.exists():
        run_ffmpeg(*SOURCE, *X264, "-g", "10", straight)
    turned = films.path(f"turned{degrees}.mp4")
    run_ffmpeg("-display_rotation", str(degrees), "-i", straight, "-c", "copy", turned)
    before, after = decode(straight), decode(turned)
    assert len(before) == len(after)
    for one, other in list(zip(before, after, strict=True))[::12]:
        for name in ("y", "u", "v"):  # ffmpeg's display_rotation counts anticlockwise, as numpy's rot90 does
            np.testing.assert_array_equal(getattr(other, name), np.rot90(getattr(one, name), turns))


def test_pixels_become_square(films: Films) -> None:
    straight, wide = films.path("square.mp4"), films.path("wide.mp4")
    run_ffmpeg(*SOURCE, *X264, straight)
    run_ffmpeg(*SOURCE, "-vf", "setsar=3/2", *X264, wide)
    first, other = decode(straight)[10], decode(wide)[10]
    assert other.y.shape == (60, 120)
    assert other.u.shape == (30, 60)
    centres = (np.arange(120) + 0.5) * 80 / 120 - 0.5
    expected = np.array([np.interp(centres, np.arange(80), row) for row in first.y.astype(float)])
    assert np.abs(expected - other.y).mean() < 6
    assert np.abs(expected - np.roll(other.y, 2, axis=1)).mean() > 6


def test_size_of_the_upright_picture() -> None:
    assert upright_size(width=352, height=288, rotation=0, pixel_aspect=12 / 11) == (384, 288)
    assert upright_size(width=352, height=288, rotation=90, pixel_aspect=12 / 11) == (288, 384)
    assert upright_size(width=1, height=9, rotation=180, pixel_aspect=0.1) == (1, 9)


@pytest.mark.parametrize(
    "options",
    [
        ("bt601", "scale=out_color_matrix=bt601:out_range=tv", "smpte170m", "tv"),
        ("bt709", "scale=out_color_matrix=bt709:out_range=tv", "bt709", "tv"),
        ("full", "scale=out_color_matrix=bt601:out_range=pc", "smpte170m", "pc"),
    ],
    ids=lambda options: options[0],
)
@pytest.mark.parametrize("colour", [(200, 60, 40), (30, 160, 90), (70, 80, 220)])
def test_colours_survive_every_matrix_and_range(
    tmp_path: Path, options: tuple[str, str, str, str], colour: tuple[int, int, int]
) -> None:
    name, conversion, space, span = options
    source = f"color=0x{bytes(colour).hex()}:s=64x48:r=25:d=0.2,format=rgb24,{conversion},format=yuv420p"
    tags = ("-colorspace", space, "-color_range", span)
    path = run_ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", "-qp", "0", *tags, tmp_path / "c.mp4")
    assert probe_video(path).colour_matrix == (None if name == "full" else name)
    picture = decode(path)[2]
    rgb = rgb_from_planes(picture.y[:24, :32], picture.u, picture.v, picture.matrix)
    np.testing.assert_allclose(rgb.reshape(-1, 3).mean(axis=0), colour, atol=5)


def test_streams_without_times_give_every_frame(tmp_path: Path, films: Films) -> None:
    source = films.path("b_frames.mp4") if films.path("b_frames.mp4").exists() else b_frames(films.path("b_frames.mp4"))
    raw = run_ffmpeg("-i", source, "-c:v", "copy", "-f", "h264", tmp_path / "raw.264")
    with FrameStream(raw, size=(80, 60), matrix="bt601") as stream:
        pictures = [kept(picture) for picture in stream]
    assert len(pictures) == 50
    for one, other in zip(pictures, by_pyav(source), strict=True):
        np.testing.assert_array_equal(one.y, other.planes[0])


def test_leaving_early_ends_ffmpeg(films: Films) -> None:
    path = run_ffmpeg("-f", "lavfi", "-i", "testsrc=s=640x480:r=25:d=10", *X264, films.path("long.mp4"))
    with FrameStream(path, size=(640, 480)) as stream:
        next(iter(stream))
        process = stream._process
    assert process.poll() is not None
    assert not Path(f"/proc/{process.pid}").exists()


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("not a film", encoding="utf-8")
    for path in (text, tmp_path / "missing.mp4"):
        with pytest.raises(DecodeError, match=rf"{path.name}.*decoder says"), FrameStream(path, size=(4, 4)) as stream:
            list(stream)


def test_a_killed_decoder_is_an_error(films: Films) -> None:
    path = run_ffmpeg("-f", "lavfi", "-i", "testsrc=s=640x480:r=25:d=10", *X264, films.path("long2.mp4"))

    def killed() -> None:
        with FrameStream(path, size=(640, 480)) as stream:
            for count, _ in enumerate(stream):
                if count == 3:
                    stream._process.kill()

    started = time.monotonic()
    with pytest.raises(DecoderDiedError, match=r"long2.mp4.*signal 9"):
        killed()
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("taken", [0, 3])
def test_a_decoder_that_stands_still_is_named(films: Films, monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    """As on a disk that does not answer: ffmpeg is stopped, before its first picture or later."""
    path = run_ffmpeg("-f", "lavfi", "-i", "testsrc=s=640x480:r=25:d=10", *X264, films.path("long3.mp4"))
    monkeypatch.setattr("tasks.faces.decode._STALL_SECONDS", 0.5)

    def stopped() -> None:
        with FrameStream(path, size=(640, 480)) as stream:
            if taken == 0:
                stream._process.send_signal(signal.SIGSTOP)
            for count, _ in enumerate(stream, start=1):
                if count == taken:
                    stream._process.send_signal(signal.SIGSTOP)

    started = time.monotonic()
    with pytest.raises(SourceError, match=r"long3.mp4: no picture from the decoder for 0"):
        stopped()
    assert 0.4 < time.monotonic() - started < 30


def test_odd_names_are_only_names(tmp_path: Path, films: Films) -> None:
    straight = films.path("names.mp4")
    run_ffmpeg(*SOURCE, *X264, straight)
    for name in ("-i.mp4", "concat:a|b.mp4", "%03d.mp4", "a b'c\".mp4"):
        path = tmp_path / name
        path.write_bytes(straight.read_bytes())
        assert len(decode(path)) == 50


def test_the_decoder_names_its_version() -> None:
    import imageio_ffmpeg

    text = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-version"], capture_output=True, text=True, check=True)
    assert decoder_version() in text.stdout.splitlines()[0]
