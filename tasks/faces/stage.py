"""Faces of one recording, and the record of how it went."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import RecordingError
from schemas.settings import FacesSettings
from tasks.faces.plan import STAGE, frames_key, is_complete
from tasks.faces.segment import is_whole
from tasks.faces.supervisor import extract_recording, segment_jobs
from tasks.ingest.recordings import Recording
from tasks.ingest.source import check_source, drop_if_changed
from tasks.progress import Bar, track
from tasks.store.failures import clear_failure, record_failure
from tasks.store.layout import Store, part_name
from tasks.store.parts import is_current, remove


@dataclass(frozen=True, kw_only=True)
class FacesSummary:
    """How one recording went."""

    recording_id: str
    num_frames: int
    seconds: float


def num_workers(settings: FacesSettings) -> int:
    """Worker processes that the settings ask for: `workers`, or one for each core this process may use."""
    return settings.workers or len(os.sched_getaffinity(0))


def frames_on_disk(store: Store, recording: Recording, settings: FacesSettings) -> int:
    """Frames in the segments that an interrupted run has left complete; one stretch is decoded from its start again."""
    key, folder = frames_key(recording, settings), store.frames(recording.recording_id)
    if recording.time_source == "declared_rate" or is_whole(folder / part_name(0), key):
        return 0
    jobs = segment_jobs(store, recording, settings)
    return sum((job.last or 0) - job.first for job in jobs if is_current(folder / part_name(job.number), key))


@contextmanager
def _tracked(store: Store, recording: Recording, settings: FacesSettings) -> Iterator[Bar]:
    """A bar for one recording, within the stage's."""
    on_disk = frames_on_disk(store, recording, settings)
    with track(
        recording.recording_id,
        recording.num_frames,
        "frames",
        done=on_disk,
        recorded_seconds=recording.duration_seconds,
        within=STAGE,
    ) as bar:
        yield bar


def extract_faces(store: Store, recording: Recording, settings: FacesSettings, *, workers: int) -> FacesSummary:
    """Find and align the face in every frame of one recording; a failure is written to the store, then raised.

    Args:
        store: where it is read from and written to.
        recording: one row of `recordings`.
        settings: of the stage.
        workers: processes to use for this recording.

    Raises:
        RecordingError: decoding failed, the file is gone or changed, or a worker died twice.
    """
    started = time.monotonic()
    key = frames_key(recording, settings)
    if is_complete(store, recording.recording_id, key):
        return FacesSummary(recording_id=recording.recording_id, num_frames=recording.num_frames, seconds=0.0)
    try:
        with _tracked(store, recording, settings) as bar:
            frames = _extract_unchanged(store, recording, settings, workers, bar)
    except RecordingError as error:
        record_failure(store, STAGE, recording.recording_id, error, recording.path)
        raise
    clear_failure(store, STAGE, recording.recording_id)
    return FacesSummary(recording_id=recording.recording_id, num_frames=frames, seconds=time.monotonic() - started)


def _extract_unchanged(store: Store, recording: Recording, settings: FacesSettings, workers: int, bar: Bar) -> int:
    """`extract_recording`, which leaves nothing of a file that is another by the end than the one ingested."""
    check_source(recording)
    try:
        frames = extract_recording(store, recording, settings, workers=workers, bar=bar)
    except RecordingError:
        drop_if_changed(recording, _made_of(store, recording))
        raise
    drop_if_changed(recording, _made_of(store, recording))
    for unfinished in store.frames(recording.recording_id).glob(".tmp-*"):
        remove(unfinished)  # of workers that died on the way
    return frames


def _made_of(store: Store, recording: Recording) -> list[Path]:
    """What the stage writes of a recording: perhaps of another file, under this one's key."""
    return [*store.frames(recording.recording_id).glob("part-*.parquet"), store.identities(recording.recording_id)]
