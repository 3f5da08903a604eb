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

    A model that would leak is left out, and named by the run's last state; asked for by name, it is an error.

    Raises:
        UnusableInputError: no model has predictions.
        LeakError: a score would be of what was fitted or selected on the same recordings or people.
    """
    settings = settings_of(run).evaluate
    with stages.on_store(run.store) as store:
        chosen = chosen_cards(store, run.models, settings)
        scoring = scoring_of(chosen.cards, settings)
        files = stages.score(store, scoring, settings, title="Per-rater valence", notes=chosen.notes)
        return stages.concluded(store, files, left_out=chosen.left_out)
