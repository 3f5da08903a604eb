"""Flow: every rater's predicted value at every frame."""

from __future__ import annotations

from prefect import flow

from flows import stages
from flows.presets import settings_of
from schemas.runs import ModelRun
from tasks.features.task import extract_features_task
from tasks.prediction.plan import features_model
from tasks.prediction.stage import PredictSummary
from tasks.prediction.task import predict_task
from tasks.store.cards import read_card


@flow(name="predict-valence", flow_run_name="predict {run.model} in {run.store.name}")
def predict_valence(run: ModelRun) -> PredictSummary:
    """Write `predictions` of every recording where they are missing or stale, and the features they need.

    An RNN's single-frame CNN predicts as well: no score of the one is shown without the other.
    """
    settings = settings_of(run)
    with stages.on_store(run.store) as store:
        single_frame = features_model(read_card(store, run.model))
        extract_features_task(store.root, single_frame, settings.features)
        if single_frame != run.model:
            predict_task(store.root, single_frame, settings.predict)
        return predict_task(store.root, run.model, settings.predict)
