"""Faces of one recording, and the record of how it went."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from schemas.errors import RecordingError
from schemas.settings import FacesSettings
from tasks.faces.plan import STAGE, frames_key, is_complete
from tasks.faces.supervisor import extract_recording
from tasks.ingest.recordings import Recording
from tasks.progress import track
from tasks.store.failures import clear_failure, record_failure
from tasks.store.layout import Store


@dataclass(frozen=True, kw_only=True)
class FacesSummary:
    """How one recording went."""

    recording_id: str
    num_frames: int
    seconds: float


def num_workers(settings: FacesSettings) -> int:
    """Worker processes that the settings ask for: `workers`, or one for each core this process may use."""
    return settings.workers or len(os.sched_getaffinity(0))


def extract_faces(store: Store, recording: Recording, settings: FacesSettings, *, workers: int) -> FacesSummary:
    """Find and align the face in every frame of one recording; a failure is written to the store, then raised.

    Args:
        store: where it is read from and written to.
        recording: one row of `recordings`.
        settings: of the stage.
        workers: processes to use for this recording.

    Raises:
        RecordingError: decoding failed, or a worker died twice.
    """
    started = time.monotonic()
    key = frames_key(recording, settings)
    if is_complete(store, recording.recording_id, key):
        return FacesSummary(recording_id=recording.recording_id, num_frames=recording.num_frames, seconds=0.0)
    try:
        with track(f"faces {recording.recording_id}", recording.num_frames, "frames") as bar:
            frames = extract_recording(store, recording, settings, workers=workers, bar=bar)
    except RecordingError as error:
        record_failure(store, STAGE, recording.recording_id, error, recording.path)
        raise
    clear_failure(store, STAGE, recording.recording_id)
    return FacesSummary(recording_id=recording.recording_id, num_frames=frames, seconds=time.monotonic() - started)
