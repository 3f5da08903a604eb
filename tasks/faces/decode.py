"""Decoding through ffmpeg: yuv420p pictures on one pipe, each frame's own presentation time on another."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import select
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

import ffmpeg
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from schemas.errors import DecodeError, DecoderDiedError, SourceError
from schemas.settings import MAX_PIXELS
from tasks.ingest.media import DEMUXERS, PROTOCOLS, decoder_limit
from tasks.ingest.recordings import Recording

ByteArray = npt.NDArray[np.uint8]

_STALL_SECONDS = 120.0  # without a picture
_SEEK_SECONDS = 1800.0  # without the first one, which may lie hours behind its key frame
_END_SECONDS = 5.0  # for a killed ffmpeg to be gone
_PIPE_BYTES = 1 << 18  # the default of 64 KiB costs a switch of process for each twentieth of a 720p frame
_BUFFERS = 2
_FRAME = b"FRAME\n"  # before each picture
_ENVIRONMENT = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:"
    "glibc.malloc.mmap_threshold=1000000000:glibc.malloc.trim_threshold=2000000000"
}
"""ffmpeg keeps the memory that frames come and go in, on large pages: 7 % of a 720p extraction. Ignored elsewhere."""

ColourMatrix = Literal["bt601", "bt709"]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One decoded frame, upright and with square pixels, limited range, in `matrix`.

    `y` is `[height, width]`; `u` and `v` are `[ceil(height / 2), ceil(width / 2)]`. `pts` counts `time_base`;
    where a frame carries none it is what the decoder makes of the ones around it. The planes are views of a buffer
    that the stream writes again two pictures later: copy what is to stay.
    """

    y: ByteArray
    u: ByteArray
    v: ByteArray
    pts: int
    time_base: Fraction
    matrix: ColourMatrix = "bt601"


def upright_size(*, width: int, height: int, rotation: int, pixel_aspect: float) -> tuple[int, int]:
    """Width and height of the picture a player shows: pixels made square, then turned.

    Args:
        width, height: as stored in the stream, pixels.
        rotation: degrees, a multiple of 90.
        pixel_aspect: width of a pixel / its height.
    """
    square = (max(1, round(width * pixel_aspect)), height)
    return (square[1], square[0]) if rotation % 180 else square


def shown_size(recording: Recording) -> tuple[int, int]:
    """`upright_size` of a recording's pictures."""
    return upright_size(
        width=recording.width,
        height=recording.height,
        rotation=recording.rotation,
        pixel_aspect=recording.pixel_aspect,
    )


def decoder_version() -> str:
    """Version of the ffmpeg that decodes, such as `9.0.2`."""
    return str(imageio_ffmpeg.get_ffmpeg_version())


class FrameStream:
    """The frames of one stretch of a video, in display order, none dropped and none repeated.

    Use as a context manager and iterate; leaving it ends ffmpeg. Memory is a few frames.

    Args:
        path: the video.
        size: width and height of the upright picture, from `upright_size`.
        matrix: of the stream's own limited-range pixels, which are then left as they are: converting every pixel of
            every frame would cost as much as decoding. None: unknown or another, and converted to BT.601.
        seek_seconds: decode from the first frame at or after this time (after the container's start); None for all.
        from_keyframe: begin at the last key frame that is not after `seek_seconds` instead, or, where a format's own
            index is coarse, at one before that.
        max_pixels: larger pictures are refused before there is room made for them.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: tuple[int, int],
        matrix: ColourMatrix | None = None,
        seek_seconds: float | None = None,
        from_keyframe: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._path, self._size, self._matrix, self._max_pixels = path, size, matrix, max_pixels
        self._seek, self._from_keyframe = seek_seconds, from_keyframe
        self._times = b""  # read and not used yet
        self._complaints: list[str] = []

    def __enter__(self) -> FrameStream:
        source: dict[str, Any] = {
            "protocol_whitelist": PROTOCOLS,
            "format_whitelist": DEMUXERS,
            "max_pixels": decoder_limit(self._max_pixels),
            "threads": 1,
        }
        if self._seek is not None:
            source["ss"] = f"{self._seek:.6f}"
            if self._from_keyframe:
                source["noaccurate_seek"] = None
        width, height = self._size
        times, theirs = os.pipe()  # not among the complaints: ffmpeg's threads write those in pieces
        output: dict[str, Any] = {
            "f": "yuv4mpegpipe",  # writes the decoder's own picture; raw video would copy it into a packet first
            "c:v": "wrapped_avframe",
            "pix_fmt": "yuv420p",
            "fps_mode": "passthrough",
            "copyts": None,
            "enc_time_base": "demux",
            "thread_queue_size": 1,  # whole pictures here: eight of them waiting leave no room in the cache
            "stats_enc_pre": f"pipe:{theirs}",  # ptsi, the packet's own, is missing inside an MPEG program stream
            "stats_enc_pre_fmt": "{pts} {tb}",
        }
        video = ffmpeg.input(f"file:{self._path.absolute()}", **source)["V:0"]
        colour = {} if self._matrix else {"out_color_matrix": "bt601", "out_range": "limited"}
        video = video.filter("scale", width, height, **colour)
        command = video.output("pipe:1", **output).global_args("-nostdin", "-hide_banner", "-loglevel", "error")
        self._clock = os.fdopen(times, "rb", buffering=0)
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                command.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=(theirs,),
                env={**os.environ, **_ENVIRONMENT},
            )
        except OSError as error:
            self._clock.close()
            raise DecoderDiedError(
                f"{self._path}: ffmpeg cannot be started ({error}); free memory, then run again"
            ) from error
        finally:
            os.close(theirs)
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):  # a user may have 64 such pipes; a smaller one is slower, and nothing else
            fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        assert self._process.stderr is not None
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # one that the kernel holds ends when it lets go
            self._process.wait(_END_SECONDS)
            self._listener.join()
            assert self._process.stderr is not None
            self._process.stderr.close()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._clock.close()

    def _listen(self, stderr: IO[bytes]) -> None:
        for line in stderr:
            if len(self._complaints) < 20:
                self._complaints.append(" ".join(line.decode("utf-8", "replace").split()))

    def __iter__(self) -> Iterator[Picture]:
        """Yield pictures.

        Raises:
            DecodeError: ffmpeg failed, stopped inside a frame, or gave a frame without telling its time.
            SourceError: no picture came for minutes.
            DecoderDiedError: ffmpeg was killed, which says nothing about the video.
        """
        width, height = self._size
        half_width, half_height = (width + 1) // 2, (height + 1) // 2
        luma, chroma = width * height, half_width * half_height
        # Read into the same few buffers again and again: fresh memory for every frame costs more than the copy.
        self._skip_header()
        for buffer in cycle(np.empty((_BUFFERS, len(_FRAME) + luma + 2 * chroma), dtype=np.uint8)):
            filled = self._fill(buffer.data, _STALL_SECONDS)
            if filled == 0:
                break
            data = buffer[len(_FRAME) :]
            if filled < len(buffer) or buffer[: len(_FRAME)].tobytes() != _FRAME:
                self._check_end()
                raise DecodeError(f"{self._path}: decoding stopped inside a frame; {self._why()}")
            pts, time_base = self._next_time()
            yield Picture(
                y=data[:luma].reshape(height, width),
                u=data[luma : luma + chroma].reshape(half_height, half_width),
                v=data[luma + chroma :].reshape(half_height, half_width),
                pts=pts,
                time_base=time_base,
                matrix=self._matrix or "bt601",
            )
        self._check_end()

    def _check_end(self) -> None:
        status = self._process.wait()
        if status < 0:
            raise DecoderDiedError(
                f"{self._path}: ffmpeg was ended by signal {-status}; look for a lack of memory, then run again"
            )
        if status:
            raise DecodeError(f"{self._path}: ffmpeg ended with status {status}; {self._why()}")

    def _skip_header(self) -> None:
        """Read the line before the first frame, which tells nothing new; there is none where there is no frame."""
        limit = _STALL_SECONDS if self._seek is None else _SEEK_SECONDS
        one = memoryview(bytearray(1))
        while self._fill(one, limit) and one[0] != ord("\n"):
            limit = _STALL_SECONDS

    def _fill(self, buffer: memoryview, limit: float) -> int:
        """Bytes read: all of the buffer, unless the stream ends."""
        assert isinstance(self._process.stdout, io.FileIO)
        filled = 0
        while filled < len(buffer):
            self._await(self._process.stdout, limit)
            count = self._process.stdout.readinto(buffer[filled:])
            if not count:
                break
            filled += count
        return filled

    def _next_time(self) -> tuple[int, Fraction]:
        """The next line of ffmpeg's clock: it comes before its picture."""
        while b"\n" not in self._times:
            self._await(self._clock, _STALL_SECONDS)
            told = self._clock.read(_PIPE_BYTES)
            if not told:
                self._check_end()
                raise DecodeError(f"{self._path}: a frame came without its presentation time; {self._why()}")
            self._times += told
        line, _, self._times = self._times.partition(b"\n")
        pts, time_base = line.split()
        return int(pts), Fraction(time_base.decode())

    def _await(self, pipe: io.FileIO, limit: float) -> None:
        """Wait until a pipe has something to read, or has ended."""
        if not select.select([pipe], [], [], limit)[0]:
            raise SourceError(
                f"{self._path}: no picture from the decoder for {limit:.0f} s; look whether the disk that the video is "
                "on still answers, then run again"
            )

    def _why(self) -> str:
        return f"the decoder says: {'; '.join(self._complaints) or 'nothing'}. Try playing the file, or copy it again"
