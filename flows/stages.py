"""The stages as a flow calls them: settings in, small records out. Shared by the stage flows and the pipeline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

from prefect import Task, tags
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed

from flows.environment import prepare_environment
from flows.private_server import tie_to_this_process
from flows.scoring import Scoring
from schemas.cards import ModelCard
from schemas.errors import RecordingError, few
from schemas.evaluation import EvaluateSettings
from schemas.pipeline import PipelineSettings
from schemas.settings import FacesSettings
from schemas.training import CnnTraining, RnnTraining
from tasks.evaluation.task import evaluate_task
from tasks.faces.plan import STAGE
from tasks.faces.plan import pending as pending_faces
from tasks.faces.pool import worker_pool
from tasks.faces.stage import FacesSummary, frames_on_disk, num_workers
from tasks.faces.task import extract_faces_task
from tasks.features.task import extract_features_task
from tasks.ingest.recordings import Recording, read_recordings
from tasks.ingest.stage import IngestSummary
from tasks.ingest.task import ingest_corpus_task
from tasks.people.plan import STAGE as PEOPLE_STAGE
from tasks.people.plan import pending as pending_people
from tasks.people.stage import PeopleSummary, frames_looked_at
from tasks.people.task import extract_people_task
from tasks.prediction.task import predict_task
from tasks.progress import track
from tasks.report.stage import ReportFiles
from tasks.report.task import write_report_task
from tasks.store.failures import read_failures
from tasks.store.layout import Store
from tasks.store.lock import writing
from tasks.training.task import train_model_task

tie_to_this_process()

_T = TypeVar("_T")
_Summary = TypeVar("_Summary", FacesSummary, PeopleSummary)

_logger = logging.getLogger(__name__)


@contextmanager
def on_store(store: Path) -> Iterator[Store]:
    """Hold the store's writer lock and tag every task run with the store's name."""
    prepare_environment(quiet=False)
    with writing(store), tags("affectflow", f"store:{store.name}"):
        yield Store(store)


def concluded(store: Store, value: _T, *, left_out: Mapping[str, str] | None = None) -> _T:
    """What a flow returns: `value`. Where recordings have failed, the run's last state names them.

    `left_out` are models that were not scored, and why: the state names them too.
    """
    failed = sorted({failure["recording_id"] for failure in read_failures(store).to_pylist()})
    if not failed and not left_out:
        return value
    name = "Completed with failures: " + few(failed, 3) if failed else "Completed"
    name += f", left out: {few([*left_out], 3)}" if left_out else ""
    message = f"failed: {', '.join(failed)}; why stands in {store.failures} and in the report. " if failed else ""
    message += "".join(f"left out: {model_id}: {why}. " for model_id, why in (left_out or {}).items())
    message += "The others are done."
    # A returned state becomes the run's final state; whoever called the flow gets its data.
    return cast(_T, Completed(name=name, message=message, data=value))


def ingest(store: Store, corpus: Path, settings: PipelineSettings) -> IngestSummary:
    """Ingest a corpus."""
    summary = ingest_corpus_task(corpus, store.root, settings.ingest)
    _logger.info("%d recordings: %d new, %d failed", summary.recordings, summary.ingested, summary.failed)
    return summary


def extract_faces(store: Store, settings: PipelineSettings) -> list[str]:
    """Faces of every stale recording, and everybody's where that is asked for; returns the ids of those that failed."""
    recordings, faces = read_recordings(store), settings.faces
    found = _on_workers(
        store, STAGE, pending_faces(store, recordings, faces), faces, extract_faces_task, frames_on_disk
    )
    crowded = pending_people(store, recordings, faces)
    others = _on_workers(store, PEOPLE_STAGE, crowded, faces, extract_people_task, frames_looked_at)
    return sorted({*found, *others})


def _on_workers(
    store: Store,
    label: str,
    stale: list[Recording],
    settings: FacesSettings,
    task: Task[[Path, Recording, FacesSettings, int], _Summary],
    on_disk: Callable[[Store, Recording, FacesSettings], int],
) -> list[str]:
    """A task run for each recording; returns the ids of those that failed.

    As many recordings run side by side as there are workers. Each may use them all, as they come free: the segments of
    one long video, or of the last one, keep every core busy.
    """
    if not stale:
        return []
    workers = num_workers(settings)
    failed = []
    whole = track(
        label,
        sum(recording.num_frames for recording in stale),
        "frames",
        done=sum(on_disk(store, recording, settings) for recording in stale),
        recorded_seconds=sum(recording.duration_seconds for recording in stale),
        recordings=len(stale),
    )
    with worker_pool(workers), whole:
        waiting = list(stale)
        running: dict[PrefectFuture[_Summary], str] = {}
        while waiting or running:
            while waiting and len(running) < workers:
                recording = waiting.pop(0)
                future = task.submit(store.root, recording, settings, workers)
                running[future] = recording.recording_id
            for future in wait(list(running), timeout=0.1).done:
                recording_id = running.pop(future)
                if _failed(future.result(raise_on_failure=False)):
                    failed.append(recording_id)
    return failed


def _failed(outcome: _Summary | BaseException) -> bool:
    """True if a recording failed on its own account; anything else that went wrong is raised."""
    if isinstance(outcome, RecordingError):
        _logger.error("%s", outcome)
        return True
    if isinstance(outcome, BaseException):
        raise outcome
    return False


def train(store: Store, settings: CnnTraining | RnnTraining, features_model_id: str | None = None) -> ModelCard:
    """Train a model, or find the one trained on exactly this."""
    card = train_model_task(store.root, settings, features_model_id)
    _logger.info(
        "%s: epoch %d, dev CCC %.3f (mean over raters, concatenated; selected by it: no result)",
        card.model_id,
        card.best_epoch + 1,
        card.dev_ccc,
    )
    return card


def train_both(store: Store, settings: PipelineSettings, *, swap_ratings: bool) -> tuple[ModelCard, ModelCard]:
    """CNN, its features, then the RNN on them; with swapped ratings both are negative controls."""
    cnn, rnn = settings.trainings(swapped=swap_ratings)
    cnn_card = train(store, cnn)
    extract_features_task(store.root, cnn_card.model_id, settings.features)
    rnn_card = train(store, rnn, cnn_card.model_id)
    for card in (cnn_card, rnn_card):
        predict_task(store.root, card.model_id, settings.predict)
    return cnn_card, rnn_card


def score(
    store: Store, scoring: Scoring, settings: EvaluateSettings, *, title: str, notes: Sequence[str] = ()
) -> ReportFiles:
    """Metrics of everything compared, and the report; `notes` stand among its limits."""
    evaluate_task(store.root, list(scoring.model_ids), scoring.dimension, settings)
    return write_report_task(
        store.root, list(scoring.rows), title, scoring.protocol, scoring.protocol_name, scoring.dimension, list(notes)
    )
