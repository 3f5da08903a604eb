"""Probing of a video: what its container says, and the index of its frames.

The index has one row for each packet that decodes to a frame, in display order (sorted presentation times), and is
read by demuxing alone: five minutes take about 30 ms. Its first frames and its last group of pictures are decoded and
compared; where packets and frames disagree, or packets carry no times, the whole stream is decoded instead.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Literal

import av
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from av.container import InputContainer
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from schemas.errors import ProbeError
from schemas.tables import INDEX
from tasks.ingest.media import open_media

_HEAD_FRAMES = 16

_MICROSECONDS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class VideoProbe:
    """What the container of a video says, and the index of its first video stream that is not a cover picture.

    `width`, `height` are those of the stream, in pixels of `pixel_aspect` (width / height of one pixel). A player turns
    that picture by `rotation` degrees clockwise, after mirroring it left to right if `is_mirrored`. The container's
    start is the zero of every time here. `pts`, `time_seconds` and `is_keyframe` are arrays of shape [frame] in display
    order, int64 (units of the stream's time base), float64 and bool; `end_seconds` is where the last frame ends.
    """

    width: int
    height: int
    rotation: int
    is_mirrored: bool
    pixel_aspect: float
    frame_rate_nominal: float | None
    codec: str
    container_start_seconds: float
    time_source: Literal["stream", "declared_rate"]
    pts: npt.NDArray[np.int64]
    time_seconds: npt.NDArray[np.float64]
    is_keyframe: npt.NDArray[np.bool_]
    end_seconds: float

    @property
    def num_frames(self) -> int:
        return len(self.pts)

    def index_table(self, recording_id: str) -> pa.Table:
        """The index as `schemas.tables.INDEX`."""
        columns = [
            pa.array([recording_id] * self.num_frames, pa.string()),
            pa.array(np.arange(self.num_frames, dtype=np.int32)),
            pa.array(self.pts),
            pa.array(self.time_seconds),
            pa.array(self.is_keyframe),
        ]
        return pa.Table.from_arrays(columns, schema=INDEX)


@dataclass(frozen=True)
class _Frames:
    """Frames in display order; `last_duration` in units of the time base, None where unknown."""

    pts: npt.NDArray[np.int64]
    is_keyframe: npt.NDArray[np.bool_]
    last_duration: int | None


@dataclass(frozen=True)
class _Stream:
    """The header's side of a video stream, and the pts of its first decoded frames (None: no time stamp)."""

    codec: str
    width: int
    height: int
    rotation: int
    is_mirrored: bool
    pixel_aspect: float
    rate: Fraction | None
    time_base: Fraction
    start_seconds: float
    head: list[int | None]


def probe_video(path: Path, *, declared_frame_rate: float | None = None) -> VideoProbe:
    """Probe a video and index its frames.

    Args:
        path: a regular local file; playlists and addresses are refused.
        declared_frame_rate: frames/s of a stream without time stamps; its pts are then 0, 1, 2, ... and its times
            index / rate. Streams with time stamps ignore it.

    Raises:
        ProbeError: no such file, not a video, damaged, a stream without time stamps and no declared rate, or a rotation
            that is no multiple of 90 degrees.
    """
    stream = _open_stream(path)
    frames = _demuxed(path)
    if frames is None or not _same_head(frames, stream.head) or not _same_tail(path, frames):
        frames = _decoded(path)
    declared = frames is None
    if frames is None:
        if declared_frame_rate is None:
            raise ProbeError(
                f"{path}: expected a stream with time stamps, found {stream.codec} without any; "
                "declare its frame rate (declared_frame_rate), or put it into a container such as mp4"
            )
        frames, times, end = _timed_by_rate(path, declared_frame_rate)
    else:
        times = _seconds(frames.pts, stream.time_base) - stream.start_seconds
        end = float(times[-1]) + _last_step(frames, stream)
    nominal = declared_frame_rate if declared else stream.rate
    return VideoProbe(
        width=stream.width,
        height=stream.height,
        rotation=stream.rotation,
        is_mirrored=stream.is_mirrored,
        pixel_aspect=stream.pixel_aspect,
        frame_rate_nominal=None if nominal is None else float(nominal),
        codec=stream.codec,
        container_start_seconds=stream.start_seconds,
        time_source="declared_rate" if declared else "stream",
        pts=frames.pts,
        time_seconds=times,
        is_keyframe=frames.is_keyframe,
        end_seconds=end,
    )


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first video stream that is not a cover picture: ffmpeg's `0:V:0`.

    Raises:
        ProbeError: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            stream.thread_type = "AUTO"
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise ProbeError(f"{path}: expected a video, found {kinds} only; name a file with a video stream")


def _open_stream(path: Path) -> _Stream:
    with open_media(path) as container:
        stream = video_stream(container, path)
        pictures = list(islice(container.decode(stream), _HEAD_FRAMES))
        if not pictures or stream.time_base is None:
            raise ProbeError(f"{path}: expected frames, found a {stream.name} stream without any; copy the file again")
        first = pictures[0]
        rotation, is_mirrored = _orientation(first, path)
        rate = stream.guessed_rate or stream.average_rate
        return _Stream(
            codec=stream.codec_context.name,
            width=first.width,
            height=first.height,
            rotation=rotation,
            is_mirrored=is_mirrored,
            pixel_aspect=float(stream.sample_aspect_ratio or 1),
            rate=Fraction(rate) if rate else None,
            time_base=stream.time_base,
            start_seconds=(container.start_time or 0) / _MICROSECONDS,
            head=[picture.pts for picture in pictures],
        )


def _orientation(picture: VideoFrame, path: Path) -> tuple[int, bool]:
    """Degrees clockwise that a player turns the picture by, and whether it mirrors it left to right before that.

    From the display matrix (ISO 14496-12, 8.3.2; nine 32-bit numbers by rows, x' = a x + c y, y' = b x + d y).
    """
    sides: list[SideData] = list(picture.side_data)  # type: ignore[arg-type]  # its stub says it iterates over names
    for data in sides:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
            is_mirrored = a * d - b * c < 0
            sign = -1 if is_mirrored else 1
            degrees = float(np.degrees(np.arctan2(sign * b, sign * a)))
            quarter = round(degrees / 90)
            if abs(degrees - 90 * quarter) > 1:
                raise ProbeError(
                    f"{path}: expected a picture turned by 0, 90, 180 or 270 degrees, found {degrees:.1f}; "
                    "encode it again without rotation metadata"
                )
            return 90 * quarter % 360, is_mirrored
    return 0, False


def _demuxed(path: Path) -> _Frames | None:
    """The frames by packets alone; None where a packet has no time stamp or is marked damaged."""
    pts, keys, durations = [], [], []
    with open_media(path) as container:
        stream = video_stream(container, path)
        has_hidden_frames = stream.codec_context.name == "vp8"
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard:
                continue
            if has_hidden_frames and not memoryview(packet)[0] & 0x10:  # RFC 6386, 9.1: show_frame
                continue
            if packet.pts is None or packet.is_corrupt:
                return None
            pts.append(packet.pts)
            keys.append(packet.is_keyframe)
            durations.append(packet.duration or 0)
    return _in_display_order(pts, keys, durations)


def _decoded(path: Path) -> _Frames | None:
    """The frames by decoding the whole stream; None where a frame has no time stamp."""
    pts, keys, durations = [], [], []
    for frame in _decode(path):
        if frame.pts is None:
            return None
        pts.append(frame.pts)
        keys.append(bool(frame.key_frame))
        durations.append(frame.duration or 0)
    return _in_display_order(pts, keys, durations)


def _in_display_order(pts: list[int], keys: list[bool], durations: list[int]) -> _Frames | None:
    if not pts:
        return None
    order = np.argsort(np.array(pts, dtype=np.int64), kind="stable")
    return _Frames(
        np.array(pts, dtype=np.int64)[order], np.array(keys, dtype=np.bool_)[order], durations[order[-1]] or None
    )


def _timed_by_rate(path: Path, rate: float) -> tuple[_Frames, npt.NDArray[np.float64], float]:
    keys = np.array([bool(frame.key_frame) for frame in _decode(path)], dtype=np.bool_)
    pts = np.arange(len(keys), dtype=np.int64)
    return _Frames(pts, keys, 1), pts / rate, len(keys) / rate


def _decode(path: Path) -> Iterator[VideoFrame]:
    with open_media(path) as container:
        yield from container.decode(video_stream(container, path))


def _same_head(frames: _Frames, head: list[int | None]) -> bool:
    return bool(frames.pts[:_HEAD_FRAMES].tolist() == head)


def _same_tail(path: Path, frames: _Frames) -> bool:
    """Whether the last group of pictures decodes to the last frames of the index."""
    keys = np.flatnonzero(frames.is_keyframe)
    if not len(keys):
        return False
    expected = frames.pts[keys[-1] :]
    with open_media(path) as container:
        stream = video_stream(container, path)
        try:
            container.seek(int(expected[0]), stream=stream)
            found = [picture.pts for picture in container.decode(stream)]
        except av.FFmpegError:
            return False
    return bool([pts for pts in found if pts is None or pts >= expected[0]] == expected.tolist())


def _seconds(pts: npt.NDArray[np.int64], time_base: Fraction) -> npt.NDArray[np.float64]:
    return pts * time_base.numerator / time_base.denominator


def _last_step(frames: _Frames, stream: _Stream) -> float:
    """How long the last frame is shown, seconds: its own duration, else the nominal rate's, else the usual step."""
    if frames.last_duration is not None:
        return float(frames.last_duration * stream.time_base)
    if stream.rate:
        return float(1 / stream.rate)
    return float(np.median(np.diff(_seconds(frames.pts, stream.time_base)))) if len(frames.pts) > 1 else 0.0
