"""Flow: metrics of every model that has predictions, and the report."""

from __future__ import annotations

from prefect import flow

from flows import stages
from flows.presets import settings_of
from flows.scoring import chosen_cards, scoring_of
from schemas.runs import EvaluateRun
from tasks.report.stage import ReportFiles


@flow(name="evaluate-predictions", flow_run_name="evaluate {run.store.name}")
def evaluate_predictions(run: EvaluateRun) -> ReportFiles:
    """Score models beside the trivial predictors and write the report.

    Raises:
        UnusableInputError: no model has predictions.
    """
    settings = settings_of(run).evaluate
    with stages.on_store(run.store) as store:
        scoring = scoring_of(chosen_cards(store, run.models), settings)
        return stages.score(store, scoring, settings, title="Per-rater valence")
