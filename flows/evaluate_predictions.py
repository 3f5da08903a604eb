"""Flow: metrics of every model that has predictions, and the report."""

from __future__ import annotations

from prefect import flow

from flows import stages
from flows.presets import settings_of
from flows.scoring import cards_with_predictions, scoring_of
from schemas.runs import EvaluateRun
from tasks.report.stage import ReportFiles
from tasks.store.cards import read_card, read_cards


@flow(name="evaluate-predictions", flow_run_name="evaluate {run.store.name}")
def evaluate_predictions(run: EvaluateRun) -> ReportFiles:
    """Score models beside the trivial predictors and write the report.

    Raises:
        UnusableInputError: no model has predictions.
    """
    settings = settings_of(run).evaluate
    with stages.on_store(run.store) as store:
        chosen = [read_card(store, model_id) for model_id in run.models]
        scoring = scoring_of(chosen or cards_with_predictions(store, read_cards(store)), settings)
        return stages.score(store, scoring, settings, title="Per-rater valence")
