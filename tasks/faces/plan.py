"""What the faces stage has to do, from disk alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from schemas.settings import FacesSettings
from tasks.faces.identity import identities_key
from tasks.ingest.recordings import Recording, recording_key
from tasks.store.layout import Store, part_name
from tasks.store.parts import read_provenance, stage_key

STAGE = "faces"
STAGE_VERSION = 3


def frames_key(recording: Recording, settings: FacesSettings) -> str:
    """Stage key of a recording's `frames` parts."""
    return stage_key(
        STAGE, STAGE_VERSION, settings.keyed(), [recording_key(recording), identities_key(recording, settings)]
    )


def is_complete(store: Store, recording_id: str, key: str) -> bool:
    """True if every part of its `frames` up to the one marked last exists under `key`."""
    return count_parts(store.frames(recording_id), key) is not None


def count_parts(folder: Path, key: str) -> int | None:
    """How many parts a folder holds, if every one up to that marked last exists under `key`; otherwise None."""
    for number in count():
        found = read_provenance(folder / part_name(number))
        if found is None or found.get("stage_key") != key:
            return None
        if found.get("is_last") == "true":
            return number + 1
    raise AssertionError("unreachable")


def pending(store: Store, recordings: Sequence[Recording], settings: FacesSettings) -> list[Recording]:
    """Recordings whose frames are missing or stale, longest first so that no long one is left for the end."""
    stale = [r for r in recordings if not is_complete(store, r.recording_id, frames_key(r, settings))]
    return sorted(stale, key=lambda r: (-r.num_frames, r.recording_id))


def stored_frames_key(store: Store, recording_id: str) -> str | None:
    """Stage key of the frames as they stand, for the stages that read them; None if they are incomplete."""
    found = read_provenance(store.frames(recording_id) / part_name(0))
    if found is None:
        return None
    key = found["stage_key"]
    return key if is_complete(store, recording_id, key) else None
