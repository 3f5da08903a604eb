"""A few frames of a recording, far apart, decoded in this process: what is needed to see who is in it.

Seeking to a key frame and decoding it costs 1 to 3 ms here, and an ffmpeg of its own 45 ms. These pictures are only
looked at to recognise people; every row of `frames` comes from `tasks.faces.decode`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from schemas.errors import DecodeError
from tasks.faces.decode import ByteArray, Picture
from tasks.ingest.media import decode_frames, open_media
from tasks.ingest.probe import video_stream

_GOLDEN = (np.sqrt(5) - 1) / 2  # its multiples, modulo 1, fill the interval evenly and never repeat
_ENOUGH_KEYFRAMES = 8  # as many as the main person is to lead by
_LARGEST_STRIDE = 3
_FEWEST_SAMPLES = 3  # with fewer, who happens to be in one frame would decide


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Frames to look at, by position in the index, ascending; `by_seeking`: each is decoded on its own."""

    positions: tuple[int, ...]
    by_seeking: bool


def choose_samples(
    times: npt.NDArray[np.float64],
    is_keyframe: npt.NDArray[np.bool_],
    *,
    interval_seconds: float,
    most: int,
    seekable: bool,
) -> Samples:
    """One frame from each of the equal stretches that a recording is divided into.

    A key frame where the stretch has one, as it needs no other frame to be decoded. A stretch without is left out where
    a third have one (encoders put them 10 s apart), and gives another frame where fewer do. Where that would decode
    more frames than going through all that come before the last, key frames are not preferred and all are decoded.
    Which frame of a stretch it is wanders, so that cuts that recur evenly cannot hide a person.

    Args:
        times: `[frame]`, ascending seconds.
        is_keyframe: `[frame]`.
        interval_seconds: length of a stretch; longer where there would be more than `most` of them, shorter where
            there would be fewer than three.
        most: largest number of stretches.
        seekable: False for streams without times of their own.
    """
    if not len(times):
        return Samples(positions=(), by_seeking=False)
    duration = float(times[-1] - times[0])
    number = min(max(_FEWEST_SAMPLES, round(duration / interval_seconds)), most)
    ranks = np.arange(number)
    wanted = times[0] + (ranks + (ranks + 0.5) * _GOLDEN % 1) * (duration / number)
    nearest = np.minimum(np.searchsorted(times, wanted), len(times) - 1)
    keys = np.flatnonzero(is_keyframe)
    if seekable and len(keys) and keys[0] == 0:
        stretch = np.minimum((times[keys] - times[0]) * (number / max(duration, 1e-9)), number - 1).astype(np.int64)
        order = np.lexsort((np.abs(times[keys] - wanted[stretch]), stretch))
        with_key, first = np.unique(stretch[order], return_index=True)
        chosen = keys[order[first]]
        if len(chosen) < max(_ENOUGH_KEYFRAMES, number / _LARGEST_STRIDE):
            others = np.delete(nearest, with_key)
            chosen = np.unique(np.concatenate([chosen, others]))
        needed = chosen - keys[np.searchsorted(keys, chosen, side="right") - 1] + 1
        if needed.sum() <= nearest[-1] + 1:
            return Samples(positions=tuple(chosen.tolist()), by_seeking=True)
    return Samples(positions=tuple(np.unique(nearest).tolist()), by_seeking=False)


class SampledPictures:
    """Pictures of one video at chosen positions.

    Args:
        path: the video.
        pts: `[frame]`, the index.
        size: width and height of the upright, square-pixel picture.
        max_pixels: larger pictures are refused before there is room made for them.
    """

    def __init__(self, path: Path, pts: npt.NDArray[np.int64], *, size: tuple[int, int], max_pixels: int) -> None:
        self._path, self._pts, self._size, self._max_pixels = path, pts, size, max_pixels

    def sought(self, positions: tuple[int, ...]) -> Iterator[Picture | None]:
        """The frames at `positions`, in the order asked for; None where the file is damaged there.

        Raises:
            DecodeError: the file cannot be opened.
        """
        with open_media(self._path, DecodeError, max_pixels=self._max_pixels) as container:
            stream = video_stream(container, self._path)
            stream.codec_context.thread_count = 1  # a thread more is a frame more to decode before one comes out
            for position in positions:
                yield self._sought(container, stream, int(self._pts[position]))

    def _sought(self, container: InputContainer, stream: VideoStream, pts: int) -> Picture | None:
        try:
            container.seek(pts, stream=stream)
            for frame in decode_frames(container, stream):
                if frame.pts is not None and frame.pts >= pts:
                    return self._picture(frame)
        except av.FFmpegError:  # what cannot be decoded is no evidence; the segment there says what is wrong
            return None
        return None

    def passing(self, positions: tuple[int, ...]) -> Iterator[Picture]:
        """The frames at ascending `positions`, by decoding all up to the last; fewer where decoding stops before.

        Raises:
            DecodeError: the file cannot be opened.
        """
        wanted = set(positions)
        with open_media(self._path, DecodeError, max_pixels=self._max_pixels) as container:
            stream = video_stream(container, self._path)
            frames = enumerate(decode_frames(container, stream))
            while wanted:
                try:
                    position, frame = next(frames)
                except (StopIteration, av.FFmpegError):  # as above
                    return
                if position in wanted:
                    wanted.remove(position)
                    yield self._picture(frame)

    def _picture(self, frame: VideoFrame) -> Picture:
        """Upright, with square pixels, limited-range BT.601: what `FrameStream` yields but for its scaler."""
        turns = round(frame.rotation / 90) % 4  # anticlockwise, as numpy turns
        width, height = self._size if turns % 2 == 0 else self._size[::-1]
        plain = frame.reformat(
            width=width,
            height=height,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
        )
        half = ((width + 1) // 2, (height + 1) // 2)
        y, u, v = (_plane(plain, number, *extent, turns) for number, extent in enumerate([(width, height), half, half]))
        return Picture(y=y, u=u, v=v, pts=frame.pts or 0, time_base=Fraction(frame.time_base or 1))


def _plane(frame: VideoFrame, number: int, width: int, height: int, turns: int) -> ByteArray:
    plane = frame.planes[number]
    pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:height, :width]
    return np.array(np.rot90(pixels, turns), order="C")
