"""Whether a recording's video is still the file that was ingested."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from schemas.errors import SourceError
from tasks.ingest.media import hash_file
from tasks.ingest.recordings import Recording
from tasks.store.parts import remove


def check_source(recording: Recording) -> None:
    """Raise SourceError if the video is gone, cannot be read, or is not the file that was ingested."""
    if not is_same_file(recording):
        raise SourceError(
            f"{recording.path}: expected the file that was ingested as {recording.recording_id} ({recording.bytes} "
            f"bytes, sha256 {recording.sha256[:12]}...), found another under that name; ingest the corpus again, once "
            "nothing writes the file any more"
        )


def drop_if_changed(recording: Recording, made: Iterable[Path]) -> None:
    """Where the video is another file by now, remove what was made of it.

    Raises:
        SourceError: it is another; or it is gone or cannot be read, and then nothing is removed.
        StoreError: a file cannot be removed.
    """
    if is_same_file(recording):
        return
    for path in made:
        remove(path)
    check_source(recording)


def is_same_file(recording: Recording) -> bool:
    """True while the video is what was ingested: by size and time, by hash where only the time differs.

    Raises:
        SourceError: there is no such file, or it cannot be read.
    """
    path = Path(recording.path)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != recording.bytes:
            return False
        with path.open("rb"):
            pass  # permission to read
        return found.st_mtime_ns == recording.modified_ns or hash_file(path) == recording.sha256
    except OSError as error:
        raise SourceError(
            f"{path}: expected the video of {recording.recording_id}, found that it cannot be read "
            f"({error.strerror or error}); bring the file or its disk back, or ingest the corpus again"
        ) from error
