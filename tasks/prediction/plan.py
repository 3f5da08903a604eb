"""What the prediction stage has to do, from disk alone."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.cards import ModelCard
from schemas.settings import PredictSettings
from tasks.features.plan import stored_features_key
from tasks.ingest.recordings import Recording
from tasks.store.layout import Store
from tasks.store.parts import is_current, read_provenance, stage_key

STAGE = "predict"
STAGE_VERSION = 1


def features_model(card: ModelCard) -> str:
    """The CNN whose features a model predicts from: a CNN's own, or the one an RNN was trained on."""
    return card.features_model_id or card.model_id


def predictions_key(card: ModelCard, features_key: str, settings: PredictSettings) -> str:
    """Stage key of a recording's predictions."""
    return stage_key(STAGE, STAGE_VERSION, settings.keyed(), [card.weights_sha256, features_key])


def pending(
    store: Store, recordings: Sequence[Recording], card: ModelCard, settings: PredictSettings
) -> list[Recording]:
    """Recordings with features whose predictions by this model are missing or stale."""
    stale = []
    for recording in recordings:
        features = stored_features_key(store, features_model(card), recording.recording_id)
        if features is None:
            continue
        path = store.predictions(card.model_id, recording.recording_id)
        if not is_current(path, predictions_key(card, features, settings)):
            stale.append(recording)
    return stale


def stored_predictions_key(store: Store, model_id: str, recording_id: str) -> str | None:
    """Stage key of a recording's predictions as they stand, for the stages that read them."""
    found = read_provenance(store.predictions(model_id, recording_id))
    return None if found is None else found["stage_key"]
