"""What the evaluation stage has to do, from disk alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from schemas.settings import EvaluateSettings
from tasks.ingest.recordings import Recording, ratings_key
from tasks.prediction.plan import stored_predictions_key
from tasks.store.layout import Store
from tasks.store.parts import is_current, stage_key

STAGE = "evaluate"
STAGE_VERSION = 1

TRAINING_MEAN = "training-mean"
TRAINING_MEAN_CURVE = "training-mean-curve"
TRIVIAL = (TRAINING_MEAN, TRAINING_MEAN_CURVE)
"""Predictors that never look at a face: anything that does not beat them has learned nothing from faces."""


def metrics_path(store: Store, model_id: str) -> Path:
    """Where a model's scores stand."""
    return store.metrics / model_id / "metrics.parquet"


def evaluation_key(
    store: Store, recordings: Sequence[Recording], model_id: str, dimension: str, settings: EvaluateSettings
) -> str:
    """Stage key of a model's metrics: the protocol, its predictions, and every rating they are held against.

    Trivial predictors read the ratings of the training partition as well.
    """
    read = []
    for recording in recordings:
        rated = ratings_key(store, recording.recording_id)
        trains = model_id in TRIVIAL and recording.partition == "train"
        if rated is None or (recording.partition not in settings.scored_on and not trains):
            continue
        predicted = stored_predictions_key(store, model_id, recording.recording_id)
        read.append(f"{recording.recording_id}:{recording.partition}:{rated}:{predicted}")
    return stage_key(STAGE, STAGE_VERSION, {**settings.keyed(), "dimension": dimension}, [model_id, *sorted(read)])


def pending(
    store: Store, recordings: Sequence[Recording], model_ids: Sequence[str], dimension: str, settings: EvaluateSettings
) -> list[str]:
    """Models and trivial predictors whose metrics are missing or stale."""
    return [
        model_id
        for model_id in model_ids
        if not is_current(
            metrics_path(store, model_id), evaluation_key(store, recordings, model_id, dimension, settings)
        )
    ]
