"""Flow: from recordings to the report; resumes where an earlier run stopped."""

from __future__ import annotations

from prefect import flow

from flows import stages
from flows.presets import settings_of
from flows.scoring import scoring_of
from schemas.runs import PipelineRun
from tasks.report.stage import ReportFiles


@flow(name="run-pipeline", flow_run_name="pipeline {run.corpus.name} into {run.store.name}")
def run_pipeline(run: PipelineRun) -> ReportFiles:
    """Ingest, faces, CNN, features, RNN, predictions, metrics, report. Every stage does only what is missing or stale.

    Recordings that fail are reported and cost the others nothing.

    Raises:
        UnusableInputError: the corpus, the settings or the store make the whole run impossible.
    """
    settings = settings_of(run)
    with stages.on_store(run.store) as store:
        stages.ingest(store, run.corpus, settings)
        stages.extract_faces(store, settings)
        cards = [*stages.train_both(store, settings, swap_ratings=False)]
        if settings.control:
            cards += stages.train_both(store, settings, swap_ratings=True)
        files = stages.score(store, scoring_of(cards, settings.evaluate), settings.evaluate, title=run.title)
        return stages.concluded(store, files)
