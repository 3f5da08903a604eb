"""Feature extraction as a Prefect task."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from schemas.settings import FeaturesSettings
from tasks.features.stage import FeaturesSummary, extract_features
from tasks.ingest.recordings import read_recordings
from tasks.store.cards import read_card
from tasks.store.layout import Store
from tasks.training.task import gpu_slot


@task(name="extract-features", task_run_name="features {model_id}", tags=["features"], cache_policy=NO_CACHE)
def extract_features_task(store: Path, model_id: str, settings: FeaturesSettings) -> FeaturesSummary:
    """See `tasks.features.stage.extract_features`."""
    with gpu_slot(settings.device):
        where = Store(store)
        return extract_features(where, read_recordings(where), read_card(where, model_id), settings)
