"""Flow: a CNN's features of every frame."""

from __future__ import annotations

from prefect import flow

from flows import stages
from flows.presets import settings_of
from schemas.runs import ModelRun
from tasks.features.stage import FeaturesSummary
from tasks.features.task import extract_features_task


@flow(name="extract-features", flow_run_name="features {run.model} in {run.store.name}")
def extract_features(run: ModelRun) -> FeaturesSummary:
    """Write `features` of every recording where they are missing or stale."""
    with stages.on_store(run.store) as store:
        return extract_features_task(store.root, run.model, settings_of(run).features)
