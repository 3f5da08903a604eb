"""Probing of a video: what its container says, and the index of its frames.

The index has one row for each packet that decodes to a frame, in display order (sorted presentation times), and is
read by demuxing alone: five minutes take about 30 ms. Its first frames and its last group of pictures are decoded and
compared; where packets and frames disagree, or packets carry no times, the whole stream is decoded instead.
"""

from __future__ import annotations

import struct
from array import array
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
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from schemas.errors import ProbeError
from schemas.settings import MAX_FRAMES, MAX_PIXELS
from schemas.tables import INDEX
from tasks.ingest.media import check_number, check_picture, decode_frames, has_decoder, open_media, packets

_HEAD_FRAMES = 16
_BT601 = (2, 5, 6)  # AVColorSpace: unspecified, BT.470 BG, SMPTE 170M

_MICROSECONDS = 1_000_000

ColourMatrix = Literal["bt601", "bt709"]


@dataclass(frozen=True, kw_only=True)
class VideoProbe:
    """What the container of a video says, and the index of its first video stream that is not a cover picture.

    `width`, `height` are those of the stream, in pixels of `pixel_aspect` (width / height of one pixel). A player turns
    that picture by `rotation` degrees clockwise, after mirroring it left to right if `is_mirrored`. `colour_matrix` is
    what turns its limited-range pixels into RGB; None for full range, RGB and rarer matrices. The container's
    start is the zero of every time here. `pts`, `time_seconds` and `is_keyframe` are arrays of shape [frame] in display
    order, int64 (units of the stream's time base), float64 and bool; `end_seconds` is where the last frame ends.
    `declared_seconds` is how long the container says that it is; None where it says nothing, or has no times.
    """

    width: int
    height: int
    rotation: int
    is_mirrored: bool
    pixel_aspect: float
    colour_matrix: ColourMatrix | None
    frame_rate_nominal: float | None
    codec: str
    container_start_seconds: float
    time_source: Literal["stream", "declared_rate"]
    pts: npt.NDArray[np.int64]
    time_seconds: npt.NDArray[np.float64]
    is_keyframe: npt.NDArray[np.bool_]
    end_seconds: float
    declared_seconds: float | None

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
    colour_matrix: ColourMatrix | None
    rate: Fraction | None
    time_base: Fraction
    start_seconds: float
    declared_seconds: float | None
    head: list[int | None]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a video may cost: pixels of one picture, as stored and as shown, and frames in all."""

    max_pixels: int = MAX_PIXELS
    max_frames: int = MAX_FRAMES


def probe_video(
    path: Path,
    *,
    declared_frame_rate: float | None = None,
    limits: Limits = Limits(),  # frozen
) -> VideoProbe:
    """Probe a video and index its frames.

    Args:
        path: a regular local file; playlists and addresses are refused.
        declared_frame_rate: frames/s of a stream without time stamps; its pts are then 0, 1, 2, ... and its times
            index / rate. Streams with time stamps ignore it.
        limits: larger pictures are refused before one is decoded, longer videos once the limit is passed.

    Raises:
        ProbeError: no such file, not a video, damaged, over a limit, a stream without time stamps and no declared rate,
            or a rotation that is no multiple of 90 degrees.
    """
    stream = _open_stream(path, limits)
    frames = _demuxed(path, limits)
    if frames is None or not _same_head(frames, stream.head) or not _same_tail(path, frames, limits):
        frames = _decoded(path, limits)
    declared = frames is None
    if frames is None:
        if declared_frame_rate is None:
            raise ProbeError(
                f"{path}: expected a stream with time stamps, found {stream.codec} without any; "
                "declare its frame rate (declared_frame_rate), or put it into a container such as mp4"
            )
        frames, times, end = _timed_by_rate(path, declared_frame_rate, limits)
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
        colour_matrix=stream.colour_matrix,
        frame_rate_nominal=None if nominal is None else float(nominal),
        codec=stream.codec,
        container_start_seconds=stream.start_seconds,
        time_source="declared_rate" if declared else "stream",
        pts=frames.pts,
        time_seconds=times,
        is_keyframe=frames.is_keyframe,
        end_seconds=end,
        declared_seconds=None if declared else stream.declared_seconds,
    )


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first video stream that is not a cover picture: ffmpeg's `0:V:0`.

    Raises:
        ProbeError: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            if not has_decoder(stream):
                raise ProbeError(f"{path}: expected a video, found one of an unknown codec; replace it by a whole copy")
            stream.thread_type = "AUTO"
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise ProbeError(f"{path}: expected a video, found {kinds} only; name a file with a video stream")


def _open_stream(path: Path, limits: Limits) -> _Stream:
    with open_media(path, max_pixels=limits.max_pixels, max_frames=limits.max_frames) as container:
        stream = video_stream(container, path)
        check_picture(path, stream.width, stream.height, ProbeError, limits.max_pixels)
        pictures = islice(decode_frames(container, stream), _HEAD_FRAMES)
        first = next(pictures, None)
        if first is None or stream.time_base is None:
            raise ProbeError(f"{path}: expected frames, found a {stream.name} stream without any; copy the file again")
        pixel_aspect = float(stream.sample_aspect_ratio or 1)
        for width in (first.width, round(first.width * pixel_aspect)):
            check_picture(path, width, first.height, ProbeError, limits.max_pixels)
        rotation, is_mirrored = _orientation(first, path)
        rate = stream.guessed_rate or stream.average_rate
        return _Stream(
            codec=stream.codec_context.name,
            width=first.width,
            height=first.height,
            rotation=rotation,
            is_mirrored=is_mirrored,
            pixel_aspect=pixel_aspect,
            colour_matrix=_colour_matrix(first),
            rate=Fraction(rate) if rate else None,
            time_base=stream.time_base,
            start_seconds=(container.start_time or 0) / _MICROSECONDS,
            declared_seconds=None if container.duration is None else container.duration / _MICROSECONDS,
            head=[first.pts, *(picture.pts for picture in pictures)],
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


def _colour_matrix(picture: VideoFrame) -> ColourMatrix | None:
    """The matrix of a limited-range YUV picture; what says nothing is taken as BT.601, as ffmpeg does."""
    if not picture.format.name.startswith("yuv4") or picture.color_range == ColorRange.JPEG:
        return None
    if picture.colorspace == Colorspace.ITU709:
        return "bt709"
    return "bt601" if picture.colorspace in _BT601 else None


def _demuxed(path: Path, limits: Limits) -> _Frames | None:
    """The frames by packets alone; None where a packet has no time stamp or is marked damaged."""
    found = _Columns(path, limits)
    with open_media(path, max_pixels=limits.max_pixels, max_frames=limits.max_frames) as container:
        stream = video_stream(container, path)
        has_hidden_frames = stream.codec_context.name == "vp8"
        for packet in packets(container, stream):
            if packet.size == 0 or packet.is_discard:
                continue
            if has_hidden_frames and not memoryview(packet)[0] & 0x10:  # RFC 6386, 9.1: show_frame
                continue
            if packet.pts is None or packet.is_corrupt:
                return None
            found.add(packet.pts, packet.is_keyframe, packet.duration)
    return found.in_display_order()


def _decoded(path: Path, limits: Limits) -> _Frames | None:
    """The frames by decoding the whole stream; None where a frame has no time stamp."""
    found = _Columns(path, limits)
    for frame in _decode(path, limits):
        if frame.pts is None:
            return None
        found.add(frame.pts, bool(frame.key_frame), frame.duration)
    return found.in_display_order()


class _Columns:
    """Frames as they come, 17 bytes each."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path, self._limits = path, limits
        self._pts, self._durations, self._keys = array("q"), array("q"), bytearray()

    def add(self, pts: int, is_keyframe: bool, duration: int | None) -> None:
        """Append one frame. Raises ProbeError where it is one too many."""
        check_number(self._path, len(self._keys) + 1, ProbeError, self._limits.max_frames)
        self._pts.append(pts)
        self._durations.append(duration or 0)
        self._keys.append(is_keyframe)

    def in_display_order(self) -> _Frames | None:
        """None where there are no frames."""
        if not self._keys:
            return None
        pts = np.array(self._pts, dtype=np.int64)
        order = np.argsort(pts, kind="stable")
        keys = np.frombuffer(self._keys, dtype=np.bool_)
        return _Frames(pts[order], keys[order], self._durations[order[-1]] or None)


def _timed_by_rate(path: Path, rate: float, limits: Limits) -> tuple[_Frames, npt.NDArray[np.float64], float]:
    found = _Columns(path, limits)
    for position, frame in enumerate(_decode(path, limits)):
        found.add(position, bool(frame.key_frame), 1)
    frames = found.in_display_order()
    if frames is None:
        raise ProbeError(f"{path}: expected frames, found a stream without any; copy the file again")
    return frames, frames.pts / rate, len(frames.pts) / rate


def _decode(path: Path, limits: Limits) -> Iterator[VideoFrame]:
    with open_media(path, max_pixels=limits.max_pixels, max_frames=limits.max_frames) as container:
        yield from decode_frames(container, video_stream(container, path))


def _same_head(frames: _Frames, head: list[int | None]) -> bool:
    return bool(frames.pts[:_HEAD_FRAMES].tolist() == head)


def _same_tail(path: Path, frames: _Frames, limits: Limits) -> bool:
    """Whether the last group of pictures decodes to the last frames of the index."""
    keys = np.flatnonzero(frames.is_keyframe)
    if not len(keys):
        return False
    expected = frames.pts[keys[-1] :]
    with open_media(path, max_pixels=limits.max_pixels, max_frames=limits.max_frames) as container:
        stream = video_stream(container, path)
        try:
            container.seek(int(expected[0]), stream=stream)
            found = [picture.pts for picture in decode_frames(container, stream)]
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
