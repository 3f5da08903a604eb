"""Prediction as a Prefect task."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from schemas.settings import PredictSettings
from tasks.ingest.recordings import read_recordings
from tasks.prediction.stage import PredictSummary, predict
from tasks.store.cards import read_card
from tasks.store.layout import Store
from tasks.training.task import gpu_slot


@task(name="predict", task_run_name="predict {model_id}", tags=["prediction"], cache_policy=NO_CACHE)
def predict_task(store: Path, model_id: str, settings: PredictSettings) -> PredictSummary:
    """See `tasks.prediction.stage.predict`."""
    with gpu_slot(settings.device):
        where = Store(store)
        return predict(where, read_recordings(where), read_card(where, model_id), settings)
