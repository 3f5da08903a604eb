"""The index against what PyAV decodes, and the container's fields against what ffmpeg was told to write."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from schemas.errors import ProbeError
from schemas.tables import INDEX
from tasks.ingest.media import hash_file
from tasks.ingest.probe import VideoProbe, probe_video

Ffmpeg = Callable[..., Path]

TEST_PICTURE = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=3")

RAW = "Cisco_Men_whisper_640x320_CABAC_Bframe_9.264"
SHARED_VIDEOS = sorted(
    {
        *("bbaf2n.mpg", "bird.mkv", "d20.mp4", "d6.mp4", "d9.mp4", "d9_rotmeta90.mp4", "face_noface.mov"),
        *("franck.webm", "franck60_vfr.mp4", "grid_s1_5min.mp4", "id2_vcd_swwp2s.mpg", "no_face.mp4"),
        *("obama_speech.mp4", "s18_720p.mp4", "single_face.mp4"),
    }
)


def decoded_times(path: Path) -> list[float]:
    """Oracle: presentation times of every frame that decodes, after the container's start."""
    with av.open(str(path)) as container:
        stream = next(one for one in container.streams.video if not one.disposition & Disposition.attached_pic)
        stream.thread_type = "AUTO"
        start = (container.start_time or 0) / 1_000_000
        return [frame.time - start for frame in container.decode(stream) if frame.time is not None]


def assert_index_is_what_decodes(path: Path) -> VideoProbe:
    probe = probe_video(path)
    np.testing.assert_allclose(probe.time_seconds, decoded_times(path), rtol=0, atol=1e-9)
    table = probe.index_table("P1")
    assert table.schema == INDEX
    assert table.column("frame_index").to_pylist() == list(range(probe.num_frames))
    return probe


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("bframes.mp4", ("-c:v", "libx264", "-bf", "3", "-g", "25")),
        ("hevc.mp4", ("-c:v", "libx265", "-x265-params", "log-level=none:keyint=25")),
        ("mpeg2.ts", ("-c:v", "mpeg2video", "-bf", "2")),
        ("mpeg1.mpg", ("-c:v", "mpeg1video", "-bf", "2")),
        ("vp8.webm", ("-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "16")),
        ("vp9.webm", ("-c:v", "libvpx-vp9", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-cpu-used", "8")),
        ("mpeg4.avi", ("-c:v", "mpeg4", "-bf", "2")),
        ("motion.avi", ("-c:v", "mjpeg")),
        ("uneven.mkv", ("-c:v", "libx264", "-vf", "select='not(eq(mod(n,7),3))'", "-fps_mode", "vfr")),
    ],
)
def test_index_is_what_decodes(tmp_path: Path, ffmpeg: Ffmpeg, name: str, arguments: tuple[str, ...]) -> None:
    probe = assert_index_is_what_decodes(ffmpeg(*TEST_PICTURE, *arguments, tmp_path / name))
    assert probe.time_source == "stream"
    assert (probe.width, probe.height, probe.rotation, probe.pixel_aspect) == (64, 48, 0, 1.0)
    assert probe.is_keyframe[0]


def test_uneven_frame_times_are_kept(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    select = "select='not(eq(mod(n,7),3))'"
    path = ffmpeg(*TEST_PICTURE, "-vf", select, "-fps_mode", "vfr", "-c:v", "libx264", tmp_path / "uneven.mp4")
    expected = [n / 25 for n in range(75) if n % 7 != 3]
    np.testing.assert_allclose(probe_video(path).time_seconds, expected, rtol=0, atol=1e-9)


def test_first_frame_after_the_container_starts(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    sound = ("-f", "lavfi", "-i", "sine=frequency=440:duration=3")
    late = ("-itsoffset", "0.48", *TEST_PICTURE, *sound, "-c:v", "libx264", "-c:a", "pcm_s16le")
    probe = assert_index_is_what_decodes(ffmpeg(*late, tmp_path / "late.mkv"))
    assert probe.time_seconds[0] == pytest.approx(0.48, abs=1e-3)
    assert probe.end_seconds == pytest.approx(3.48, abs=2e-3)


def test_container_that_does_not_start_at_zero(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    path = ffmpeg(*TEST_PICTURE, "-c:v", "libx264", "-output_ts_offset", "7", tmp_path / "seven.mkv")
    probe = assert_index_is_what_decodes(path)
    assert probe.container_start_seconds == pytest.approx(7, abs=1e-3)
    assert probe.time_seconds[0] == 0
    assert probe.end_seconds == pytest.approx(3, abs=2e-3)


def test_frames_that_an_edit_list_cuts_are_not_indexed(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    whole = ffmpeg(*TEST_PICTURE, "-c:v", "libx264", "-bf", "2", "-g", "25", tmp_path / "whole.mp4")
    probe = assert_index_is_what_decodes(ffmpeg("-ss", "1.5", "-i", whole, "-c", "copy", tmp_path / "cut.mp4"))
    with av.open(str(tmp_path / "cut.mp4")) as container:
        assert sum(packet.is_discard for packet in container.demux(video=0)) > 0
    assert probe.num_frames < 75


@pytest.mark.parametrize(("counterclockwise", "clockwise"), [(90, 270), (-90, 90), (180, 180), (0, 0)])
def test_rotation_is_what_ffmpeg_turns_by(
    tmp_path: Path, ffmpeg: Ffmpeg, clip: Path, counterclockwise: int, clockwise: int
) -> None:
    turned = ffmpeg("-display_rotation", str(counterclockwise), "-i", clip, "-c", "copy", tmp_path / "turned.mp4")
    probe = probe_video(turned)
    assert probe.rotation == clockwise
    shown = first_picture(ffmpeg("-i", turned, "-frames:v", "1", tmp_path / "shown.png"))
    stored = first_picture(turned)
    assert np.abs(np.rot90(stored, -clockwise // 90) - shown).mean() < 2


def test_mirroring_is_told_apart_from_rotation(tmp_path: Path, ffmpeg: Ffmpeg, clip: Path) -> None:
    probe = probe_video(ffmpeg("-display_hflip", "-i", clip, "-c", "copy", tmp_path / "mirror.mp4"))
    assert (probe.rotation, probe.is_mirrored) == (0, True)


def test_odd_rotation_is_refused(tmp_path: Path, ffmpeg: Ffmpeg, clip: Path) -> None:
    tilted = ffmpeg("-display_rotation", "30", "-i", clip, "-c", "copy", tmp_path / "tilted.mp4")
    with pytest.raises(ProbeError, match="turned by 0, 90, 180 or 270"):
        probe_video(tilted)


def first_picture(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="gray").astype(np.float64)


def test_pixel_aspect(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    path = ffmpeg(*TEST_PICTURE, "-vf", "setsar=16/15", "-c:v", "libx264", tmp_path / "wide.mp4")
    assert probe_video(path).pixel_aspect == pytest.approx(16 / 15, abs=1e-12)


def test_cover_picture_is_not_the_video(tmp_path: Path, ffmpeg: Ffmpeg, clip: Path) -> None:
    cover = ffmpeg("-i", clip, "-frames:v", "1", "-s", "200x200", tmp_path / "cover.jpg")
    streams = ("-map", "0", "-map", "1:v", "-c", "copy", "-disposition:v:0", "attached_pic")
    path = ffmpeg("-i", cover, "-i", clip, *streams, tmp_path / "covered.mp4")
    probe = assert_index_is_what_decodes(path)
    assert (probe.width, probe.num_frames) == (64, 50)


def test_stream_without_time_stamps(tmp_path: Path, ffmpeg: Ffmpeg, clip: Path) -> None:
    raw = ffmpeg("-i", clip, "-c:v", "copy", "-f", "h264", tmp_path / "raw.264")
    with pytest.raises(ProbeError, match="declared_frame_rate"):
        probe_video(raw)
    probe = probe_video(raw, declared_frame_rate=20)
    assert (probe.time_source, probe.frame_rate_nominal, probe.end_seconds) == ("declared_rate", 20, 2.5)
    assert probe.pts.tolist() == list(range(50))
    np.testing.assert_array_equal(probe.time_seconds, np.arange(50) / 20)


def test_declared_rate_is_ignored_where_there_are_time_stamps(clip: Path) -> None:
    assert probe_video(clip, declared_frame_rate=3).frame_rate_nominal == 25


@pytest.mark.parametrize(
    "name",
    [
        "a b.mp4",
        "-i.mp4",
        "q'\".mp4",
        "line\nbreak.mp4",
        "%03d.mp4",
        "file:x.mp4",
        "http:x.mp4",
        "concat:a|b.mp4",
        "é#?.mp4",
    ],
)
def test_odd_names(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    shutil.copyfile(clip, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert probe_video(Path(name)).num_frames == 50


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{clip}\n#EXT-X-ENDLIST\n", "an HLS playlist"),
        ("list.mp4", "ffconcat version 1.0\nfile '{clip}'\n", "an ffmpeg concat list"),
        ("list.mpd", '<?xml version="1.0"?>\n<MPD type="static"></MPD>\n', "an XML file"),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n", "an SDP"),
        ("notes.mp4", "these are notes\n", "text"),
        ("noise.mp4", "\x00\x01\x02\x03" * 100, "a damaged, cut or unknown file"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, clip: Path, name: str, text: str, found: str) -> None:
    path = tmp_path / name
    path.write_text(text.format(clip=clip) if "{clip}" in text else text, encoding="utf-8")
    with pytest.raises(ProbeError, match=found) as caught:
        probe_video(path)
    assert str(path) in str(caught.value)


def test_unusable_files(tmp_path: Path, ffmpeg: Ffmpeg, clip: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    with pytest.raises(ProbeError, match="0 bytes"):
        probe_video(empty)
    with pytest.raises(ProbeError, match="found none"):
        probe_video(tmp_path / "missing.mp4")
    with pytest.raises(ProbeError, match="regular file"):
        probe_video(tmp_path)
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    with pytest.raises(ProbeError, match="regular file"):
        probe_video(pipe)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:3000])
    with pytest.raises(ProbeError, match="undamaged copy"):
        probe_video(cut)
    sound = ffmpeg("-i", clip, "-vn", "-c:a", "copy", tmp_path / "sound.mp4")
    with pytest.raises(ProbeError, match="expected a video, found audio only"):
        probe_video(sound)


def test_hash_file(clip: Path) -> None:
    assert hash_file(clip) == hashlib.sha256(clip.read_bytes()).hexdigest()


@pytest.mark.shared
@pytest.mark.parametrize("name", SHARED_VIDEOS)
def test_shared_videos(shared_data: Path, name: str) -> None:
    probe = assert_index_is_what_decodes(shared_data / "videos" / name)
    assert np.diff(probe.time_seconds).min() > 0


@pytest.mark.shared
def test_shared_facts(shared_data: Path) -> None:
    """Numbers that stand in shared/README.md, SOURCES.md and platform-facts.md."""
    videos = shared_data / "videos"
    frames = {"franck60_vfr.mp4": 1350, "face_noface.mov": 169, "obama_speech.mp4": 105, "s18_720p.mp4": 282}
    assert {name: probe_video(videos / name).num_frames for name in frames} == frames
    assert probe_video(videos / "d9.mp4").pixel_aspect == 15 / 16
    assert probe_video(videos / "d9_rotmeta90.mp4").rotation in (90, 270)
    with pytest.raises(ProbeError, match="damaged"):
        probe_video(videos / "d9_truncated.mp4")
    with pytest.raises(ProbeError, match="declared_frame_rate"):
        probe_video(videos / RAW)
    raw = probe_video(videos / RAW, declared_frame_rate=30)
    with av.open(str(videos / RAW)) as container:
        assert raw.num_frames == sum(1 for _ in container.decode(video=0)) == 9
