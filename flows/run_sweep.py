"""Flow: every row of a paper's table on one store. Resumes where it stopped: what rows share is done once."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from prefect import flow

from flows import stages
from flows.sweeping import Sweeping, sweeping_of
from schemas.cards import ModelCard
from schemas.errors import SettingsError, TrainingError
from schemas.runs import SweepRun
from tasks.evaluation.plan import TRIVIAL
from tasks.evaluation.task import evaluate_task
from tasks.features.task import extract_features_task
from tasks.ingest.recordings import Recording, read_recordings
from tasks.prediction.task import predict_task
from tasks.progress import track
from tasks.store.layout import Store, existing_store
from tasks.sweep.figures import Outcome
from tasks.sweep.plan import Job, finished, jobs
from tasks.sweep.stage import SweepFiles, write_sweep

_logger = logging.getLogger(__name__)


@flow(name="run-sweep", flow_run_name="sweep {run.sweep} in {run.store.name}")
def run_sweep(run: SweepRun) -> SweepFiles:
    """Train, predict and score each row that is not finished, and write the table after each: published figures beside
    measured ones.

    A row that cannot be run says why in the table, and costs the others nothing.

    Raises:
        SettingsError: the sweep or its preset is out of range.
        SettingsError, TrainingError: no row at all could be run.
    """
    sweeping = sweeping_of(run)
    with stages.on_store(run.store) as store:
        if run.corpus is not None:
            stages.ingest(store, run.corpus, sweeping.base)
            stages.extract_faces(store, sweeping.base)
        existing_store(store.root)
        return _every_row(store, sweeping)


def _every_row(store: Store, sweeping: Sweeping) -> SweepFiles:
    sweep, evaluation = sweeping.sweep, sweeping.base.evaluate
    recordings = read_recordings(store)
    todo = jobs(sweep, sweeping.base, origin=sweeping.name)
    outcomes = {job.row.label: Outcome() for job in todo}
    errors: list[SettingsError | TrainingError] = []
    with track(f"sweep {sweeping.name}", len(todo), "rows") as bar:
        left = []
        for job in todo:
            card = _standing(store, recordings, job)
            if card is None:
                left.append(job)
            else:
                outcomes[job.row.label].cards[job.seed] = card
                bar.advance(1, job.name)
        if not left:
            return write_sweep(store, sweeping.name, sweep, outcomes, evaluation)
        for job in left:
            outcome = outcomes[job.row.label]
            try:
                outcome.cards[job.seed] = _run(store, job)
            except (SettingsError, TrainingError) as error:
                _logger.error("%s: %s", job.name, error)
                outcome.failures[job.seed] = str(error)
                errors.append(error)
            files = write_sweep(store, sweeping.name, sweep, outcomes, evaluation)
            bar.advance(1, job.name)
    if len(errors) == len(todo):
        raise errors[0]
    return files


def _standing(store: Store, recordings: Sequence[Recording], job: Job) -> ModelCard | None:
    try:
        return finished(store, recordings, job)
    except (SettingsError, TrainingError):  # running the row says what is wrong, in its place
        return None


def _run(store: Store, job: Job) -> ModelCard:
    """Everything that one row needs; stages skip what stands already."""
    settings = job.settings
    card = stages.train(store, settings.cnn)
    extract_features_task(store.root, card.model_id, settings.features)
    if job.row.model == "rnn":
        card = stages.train(store, settings.rnn, card.model_id)
    predict_task(store.root, card.model_id, settings.predict)
    evaluate_task(store.root, [card.model_id, *TRIVIAL], card.dimension, settings.evaluate)
    return card
