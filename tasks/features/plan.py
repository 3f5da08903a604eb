"""What the features stage has to do, from disk alone."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.cards import ModelCard
from schemas.settings import FeaturesSettings
from tasks.faces.plan import stored_frames_key
from tasks.ingest.recordings import Recording
from tasks.store.layout import Store
from tasks.store.parts import is_current, read_provenance, stage_key

STAGE = "features"
STAGE_VERSION = 1


def features_key(weights_sha256: str, frames_key: str, settings: FeaturesSettings) -> str:
    """Stage key of a recording's features."""
    return stage_key(STAGE, STAGE_VERSION, settings.keyed(), [weights_sha256, frames_key])


def pending(
    store: Store, recordings: Sequence[Recording], card: ModelCard, settings: FeaturesSettings
) -> list[Recording]:
    """Recordings with complete frames whose features by this model are missing or stale."""
    stale = []
    for recording in recordings:
        frames = stored_frames_key(store, recording.recording_id)
        if frames is None:
            continue
        path = store.features(card.model_id, recording.recording_id)
        if not is_current(path, features_key(card.weights_sha256, frames, settings)):
            stale.append(recording)
    return stale


def stored_features_key(store: Store, model_id: str, recording_id: str) -> str | None:
    """Stage key of a recording's features as they stand, for the stages that read them."""
    found = read_provenance(store.features(model_id, recording_id))
    return None if found is None else found["stage_key"]
