"""Opening media files without trusting them: regular local files only, no addresses, no playlists."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer

from schemas.errors import ProbeError, RecordingError

_DEMUXERS = (
    "mov,mp4,matroska,webm,avi,mpeg,mpegvideo,mpegts,flv,asf,ogg,ivf,obu,h264,hevc,vvc,m4v,dv,gxf,mxf,nut,rm,"
    "wav,w64,aiff,au,caf,flac,mp3,aac,ac3,eac3,amr"
)
"""The formats that are opened: those that hold media themselves. Playlists and others that name further files
(hls, dash, concat, image2, sdp, ...) are not among them, so ffmpeg refuses them before it follows anything."""

_PLAYLISTS = {
    b"#EXTM3U": "an HLS playlist",
    b"ffconcat": "an ffmpeg concat list",
    b"[playlist]": "a playlist",
    b"<?xml": "an XML file (a DASH or other playlist?)",
    b"<MPD": "a DASH playlist",
    b"v=0": "an SDP session description",
}

DECODER_VERSION = f"PyAV {av.__version__}"


@contextmanager
def open_media(path: Path, error: type[RecordingError] = ProbeError) -> Iterator[InputContainer]:
    """Open a regular local file as media with PyAV; nothing that the file names is ever opened.

    Names with spaces, quotes, `%`, `:`, leading dashes or line breaks are safe: ffmpeg gets `file:` and an absolute
    path, the protocol whitelist `file` and a whitelist of formats that hold their media themselves.

    Args:
        path: the file.
        error: which error to raise.

    Raises:
        RecordingError: `error`, for anything that is no such file, or that ffmpeg cannot open, or read on within
            the block.
    """
    check_regular(path, error)
    try:
        with av.open(
            f"file:{path.absolute()}",
            container_options={"protocol_whitelist": "file", "format_whitelist": _DEMUXERS},
            metadata_errors="replace",
        ) as container:
            yield container
    except (av.FFmpegError, OSError) as cause:
        reason = (getattr(cause, "strerror", None) or str(cause)).strip()
        raise error(
            f"{path}: expected a whole video or audio file, found {_contents(path)} that ffmpeg cannot read "
            f"({reason}); replace the file by an undamaged copy, or convert it to mp4"
        ) from cause


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
