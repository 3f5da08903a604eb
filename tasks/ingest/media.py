"""Opening media files without trusting them: regular local files only, no addresses, no playlists."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from schemas.errors import AudioError, ProbeError, RecordingError
from schemas.settings import MAX_PIXELS
from tasks.ingest.boxes import declared_samples

DEMUXERS = (
    "mov,mp4,matroska,webm,avi,mpeg,mpegvideo,mpegts,flv,asf,ogg,ivf,obu,h264,hevc,vvc,m4v,dv,gxf,mxf,nut,rm,"
    "wav,w64,aiff,au,caf,flac,mp3,aac,ac3,eac3,amr"
)
"""The formats that are opened: those that hold media themselves. Playlists and others that name further files
(hls, dash, concat, image2, sdp, ...) are not among them, so ffmpeg refuses them before it follows anything."""

PROTOCOLS = "file"
"""The protocols through which files are opened."""

_PLAYLISTS = {
    b"#EXTM3U": "an HLS playlist",
    b"ffconcat": "an ffmpeg concat list",
    b"[playlist]": "a playlist",
    b"<?xml": "an XML file (a DASH or other playlist?)",
    b"<MPD": "a DASH playlist",
    b"v=0": "an SDP session description",
}

_SAMPLES_PER_BYTE = 8
"""Old QuickTime sound counts samples that share a byte, six at most."""

_TOO_LARGE = re.compile(r"Picture size (\d+)x(\d+) exceeds")

_MANY_COMPLAINTS = 10_000

_StreamT = TypeVar("_StreamT", bound=Stream)

DECODER_VERSION = f"PyAV {av.__version__}"


@contextmanager
def open_media(
    path: Path,
    error: type[RecordingError] = ProbeError,
    *,
    max_pixels: int = MAX_PIXELS,
    max_frames: int | None = None,
) -> Iterator[InputContainer]:
    """Open a regular local file as media with PyAV; nothing that the file names is ever opened.

    Names with spaces, quotes, `%`, `:`, leading dashes or line breaks are safe: ffmpeg gets `file:` and an absolute
    path, the protocol whitelist `file` and a whitelist of formats that hold their media themselves.

    Args:
        path: the file.
        error: which error to raise.
        max_pixels: decoders refuse larger pictures before they make room for them.
        max_frames: a header that declares more frames than this is refused before anybody makes room for them; None:
            only one that declares more than its bytes can hold.

    Raises:
        RecordingError: `error`, for anything that is no such file, or that ffmpeg cannot open, or read on within
            the block.
    """
    check_regular(path, error)
    try:
        _check_declared(path, error, max_frames)
        with _opened(path, max_pixels) as container:
            yield container
    except (av.FFmpegError, OSError) as cause:
        if isinstance(cause, av.FFmpegError) and error is not AudioError:
            _refuse_large(path, error, max_pixels)
        reason = (getattr(cause, "strerror", None) or str(cause)).strip()
        raise error(
            f"{path}: expected a whole video or audio file, found {_contents(path)} that ffmpeg cannot read "
            f"({reason}); replace the file by an undamaged copy, or convert it to mp4"
        ) from cause


@contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[InputContainer]:
    limit = {"max_pixels": str(decoder_limit(max_pixels))}
    with av.open(
        f"file:{path.absolute()}",
        options=limit,  # for the decoders that look into the streams while the file is opened
        container_options={"protocol_whitelist": PROTOCOLS, "format_whitelist": DEMUXERS},
        metadata_errors="replace",
    ) as container:
        for stream in container.streams.video:
            if has_decoder(stream):
                stream.codec_context.options = limit
        yield container


def has_decoder(stream: Stream) -> bool:
    """False where the header names a codec that nobody knows, as damaged ones do."""
    context: object | None = stream.codec_context  # its stub knows no None
    return context is not None


def packets(container: InputContainer, stream: _StreamT) -> Iterator[Packet[_StreamT]]:
    """The packets of one stream, and an empty one behind the last.

    A stream that turns up on the way, as damaged transport streams have them, makes PyAV's own loop end with an
    IndexError once everything is read.
    """
    with suppress(IndexError):
        yield from cast("Iterator[Packet[_StreamT]]", container.demux(stream))


def decode_frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """The decoded frames of one video stream, from where the container stands."""
    for packet in packets(container, stream):
        yield from packet.decode()


def decoder_limit(max_pixels: int) -> int:
    """ffmpeg's `max_pixels` for a limit of ours: somewhat more, since decoders count borders and whole blocks too."""
    return max_pixels + max_pixels // 4 + 2**18


def check_picture(path: Path, width: int, height: int, error: type[RecordingError], max_pixels: int) -> None:
    """Raise `error` if a picture of this size is over the limit."""
    if width * height > max_pixels:
        raise error(
            f"{path}: expected pictures of at most {max_pixels:,} pixels, found {width}x{height} ({width * height:,}); "
            "if that is meant, raise max_pixels (in [ingest] and [faces] of the --config file)"
        )


def check_number(path: Path, frames: int, error: type[RecordingError], max_frames: int) -> None:
    """Raise `error` if these are more frames than the limit."""
    if frames > max_frames:
        raise error(
            f"{path}: expected at most {max_frames:,} frames, found {frames:,} or more; cut the video, or raise "
            "max_frames (in [ingest] of the --config file)"
        )


def _check_declared(path: Path, error: type[RecordingError], max_frames: int | None) -> None:
    size = path.stat().st_size
    for kind, count in declared_samples(path).items():
        if count > size * (_SAMPLES_PER_BYTE if kind == "soun" else 1):
            raise error(
                f"{path}: expected a header that fits its {size:,} bytes, found one that declares {count:,} samples; "
                "replace the file by an undamaged copy"
            )
        if kind == "vide" and max_frames is not None:
            check_number(path, count, error, max_frames)


def _refuse_large(path: Path, error: type[RecordingError], max_pixels: int) -> None:
    """Raise `error` if a decoder refused a picture for its size; only its log says so, and which size that was."""
    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(local=False) as told, suppress(av.FFmpegError), _opened(path, max_pixels) as container:
            for stream in filter(has_decoder, container.streams.video):
                for _ in decode_frames(container, stream):
                    if len(told) > _MANY_COMPLAINTS:
                        return  # plain damage
    finally:
        av.logging.set_level(before)
    for _, _, line in told:
        found = _TOO_LARGE.search(line)
        if found:
            check_picture(path, int(found[1]), int(found[2]), error, max_pixels)


def check_regular(path: Path, error: type[RecordingError] = ProbeError) -> None:
    """Raise `error` unless `path` is a regular file (or a link to one) that is not empty."""
    try:
        found = path.stat()
    except (OSError, ValueError) as cause:
        raise error(f"{path}: expected a file, found none ({cause})") from cause
    if not stat.S_ISREG(found.st_mode):
        raise error(f"{path}: expected a regular file, found a folder, pipe or device; name a video file")
    if found.st_size == 0:
        raise error(f"{path}: expected a video or audio file, found an empty file (0 bytes); copy it again")


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _contents(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return "a file"
    head = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for mark, name in _PLAYLISTS.items():
        if head.startswith(mark):
            return name
    if start and all(byte >= 32 or byte in b"\t\r\n\f" for byte in start):
        return "text"
    return "a damaged, cut or unknown file"
