"""Decoding through ffmpeg: raw yuv420p pictures on one pipe, each frame's own presentation time on another."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import ffmpeg
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

from schemas.errors import DecodeError

ByteArray = npt.NDArray[np.uint8]

_TIME_TAG = "@frame"
_STALL_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One decoded frame, upright and with square pixels, limited-range BT.601.

    `y` is `[height, width]`; `u` and `v` are `[ceil(height / 2), ceil(width / 2)]`. `pts` counts `time_base`;
    where a frame carries none it is what the decoder makes of the ones around it.
    """

    y: ByteArray
    u: ByteArray
    v: ByteArray
    pts: int
    time_base: Fraction


def upright_size(*, width: int, height: int, rotation: int, pixel_aspect: float) -> tuple[int, int]:
    """Width and height of the picture a player shows: pixels made square, then turned.

    Args:
        width, height: as stored in the stream, pixels.
        rotation: degrees, a multiple of 90.
        pixel_aspect: width of a pixel / its height.
    """
    square = (max(1, round(width * pixel_aspect)), height)
    return (square[1], square[0]) if rotation % 180 else square


def decoder_version() -> str:
    """Version of the ffmpeg that decodes, such as `9.0.2`."""
    return str(imageio_ffmpeg.get_ffmpeg_version())


class FrameStream:
    """The frames of one stretch of a video, in display order, none dropped and none repeated.

    Use as a context manager and iterate; leaving it ends ffmpeg. Memory is one frame.

    Args:
        path: the video.
        size: width and height of the upright picture, from `upright_size`.
        seek_seconds: decode from the first frame at or after this time (after the container's start); None for all.
        num_frames: stop after this many; None to go to the end.
    """

    def __init__(
        self, path: Path, *, size: tuple[int, int], seek_seconds: float | None = None, num_frames: int | None = None
    ) -> None:
        self._path, self._size = path, size
        self._seek, self._num_frames = seek_seconds, num_frames
        self._times: queue.Queue[tuple[int, Fraction] | None] = queue.Queue()
        self._complaints: list[str] = []

    def __enter__(self) -> FrameStream:
        source: dict[str, Any] = {"protocol_whitelist": "file,pipe", "threads": 1}
        if self._seek is not None:
            source["ss"] = f"{self._seek:.6f}"
        width, height = self._size
        output: dict[str, Any] = {
            "f": "rawvideo",
            "pix_fmt": "yuv420p",
            "fps_mode": "passthrough",
            "copyts": None,
            "enc_time_base": "demux",
            "stats_enc_pre": "pipe:2",  # ptsi, the packet's own, is missing inside an MPEG program stream's packets
            "stats_enc_pre_fmt": f"{_TIME_TAG} {{pts}} {{tb}}",
        }
        if self._num_frames is not None:
            output["frames:v"] = self._num_frames
        video = ffmpeg.input(f"file:{self._path.absolute()}", **source)["V:0"]
        video = video.filter("scale", width, height, out_color_matrix="bt601", out_range="limited")
        command = video.output("pipe:1", **output).global_args("-nostdin", "-hide_banner", "-loglevel", "error")
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            command.compile(cmd=imageio_ffmpeg.get_ffmpeg_exe()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stderr is not None
        self._listener = threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _listen(self, stderr: IO[bytes]) -> None:
        for line in stderr:
            words = line.decode("utf-8", "replace").split()
            if len(words) == 3 and words[0] == _TIME_TAG:
                with contextlib.suppress(ValueError, ZeroDivisionError):
                    self._times.put((int(words[1]), Fraction(words[2])))
                    continue
            if words and len(self._complaints) < 20:
                self._complaints.append(" ".join(words))
        self._times.put(None)

    def __iter__(self) -> Iterator[Picture]:
        """Yield pictures.

        Raises:
            DecodeError: ffmpeg failed, stopped inside a frame, or gave a frame without telling its time.
        """
        width, height = self._size
        half_width, half_height = (width + 1) // 2, (height + 1) // 2
        luma, chroma = width * height, half_width * half_height
        assert self._process.stdout is not None
        while True:
            raw = self._process.stdout.read(luma + 2 * chroma)
            if not raw:
                break
            if len(raw) < luma + 2 * chroma:
                raise DecodeError(f"{self._path}: decoding stopped inside a frame; {self._why()}")
            pts, time_base = self._next_time()
            data = np.frombuffer(raw, dtype=np.uint8)
            yield Picture(
                y=data[:luma].reshape(height, width),
                u=data[luma : luma + chroma].reshape(half_height, half_width),
                v=data[luma + chroma :].reshape(half_height, half_width),
                pts=pts,
                time_base=time_base,
            )
        if self._process.wait() != 0:
            raise DecodeError(f"{self._path}: ffmpeg ended with status {self._process.returncode}; {self._why()}")

    def _next_time(self) -> tuple[int, Fraction]:
        try:
            told = self._times.get(timeout=_STALL_SECONDS)
        except queue.Empty:
            told = None
        if told is None:
            raise DecodeError(f"{self._path}: a frame came without its presentation time; {self._why()}")
        return told

    def _why(self) -> str:
        return f"the decoder says: {'; '.join(self._complaints) or 'nothing'}. Try playing the file, or copy it again"
