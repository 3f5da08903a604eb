"""What the people stage has to do, from disk alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from schemas.settings import FacesSettings
from tasks.faces.plan import count_parts, frames_key, is_complete
from tasks.ingest.recordings import Recording
from tasks.store.layout import Store
from tasks.store.parts import stage_key

STAGE = "people"
STAGE_VERSION = 1


def people_key(recording: Recording, settings: FacesSettings) -> str:
    """Stage key of a recording's `people` parts."""
    read = settings.people.model_dump(mode="json")
    return stage_key(STAGE, STAGE_VERSION, read, [frames_key(recording, settings)])


def unjoined(store: Store, recording_id: str) -> Path:
    """Where a recording's segments wait until it is settled whose faces they show."""
    return store.people(recording_id) / ".unjoined"


def has_people(store: Store, recording: Recording, settings: FacesSettings) -> bool:
    """True if a recording's `people` are complete and up to date."""
    return count_parts(store.people(recording.recording_id), people_key(recording, settings)) is not None


def pending(store: Store, recordings: Sequence[Recording], settings: FacesSettings) -> list[Recording]:
    """Recordings with up-to-date frames whose people are missing or stale, longest first; none unless asked for."""
    if not settings.all_faces:
        return []
    stale = [
        one
        for one in recordings
        if is_complete(store, one.recording_id, frames_key(one, settings)) and not has_people(store, one, settings)
    ]
    return sorted(stale, key=lambda one: (-one.num_frames, one.recording_id))
