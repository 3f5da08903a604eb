"""Is there anything to do? Answered from disk, before Prefect or torch is imported."""

from __future__ import annotations

from dataclasses import dataclass

from flows.presets import settings_of
from flows.scoring import Scoring, scoring_of
from schemas.cards import ModelCard
from schemas.errors import Problem, StoreError, TrainingError
from schemas.pipeline import PipelineSettings
from schemas.runs import PipelineRun
from tasks.evaluation.plan import pending as pending_metrics
from tasks.faces.plan import pending as pending_faces
from tasks.features.plan import pending as pending_features
from tasks.ingest.plan import plan_ingest
from tasks.ingest.recordings import Recording, read_recordings
from tasks.people.plan import pending as pending_people
from tasks.prediction.plan import pending as pending_predictions
from tasks.report.plan import report_is_current
from tasks.store.layout import Store
from tasks.training.plan import current_model


@dataclass(frozen=True, kw_only=True)
class PipelinePlan:
    """The first stage that has something to do, in words; None if the store is up to date, and then its scoring."""

    first_stale: str | None
    problems: tuple[Problem, ...]
    """What ingestion has to say of the corpus."""
    scoring: Scoring | None = None


def plan_pipeline(run: PipelineRun) -> PipelinePlan:
    """Compare corpus, settings and store, stage by stage, up to the first one that has something to do.

    Raises:
        CorpusError, SettingsError, StoreError: what the run itself would raise for these.
    """
    settings, store = settings_of(run), Store(run.store)
    ingest = plan_ingest(run.corpus, store, settings.ingest)
    if ingest.has_work or not store.recordings.exists():
        return PipelinePlan(first_stale="ingest", problems=ingest.problems)
    recordings = read_recordings(store)
    stale = pending_faces(store, recordings, settings.faces)
    if stale:
        names = ", ".join(recording.recording_id for recording in stale)
        return PipelinePlan(first_stale=f"faces of {names}", problems=ingest.problems)
    if crowded := pending_people(store, recordings, settings.faces):
        names = ", ".join(recording.recording_id for recording in crowded)
        return PipelinePlan(first_stale=f"people of {names}", problems=ingest.problems)
    cards = _cards(store, recordings, settings)
    if isinstance(cards, str):
        return PipelinePlan(first_stale=cards, problems=ingest.problems)
    scoring = scoring_of(cards, settings.evaluate)
    if pending_metrics(store, recordings, scoring.model_ids, scoring.dimension, settings.evaluate):
        return PipelinePlan(first_stale="evaluate", problems=ingest.problems)
    if not report_is_current(store, scoring.rows, protocol=scoring.protocol_name, dimension=scoring.dimension):
        return PipelinePlan(first_stale="report", problems=ingest.problems)
    return PipelinePlan(first_stale=None, problems=ingest.problems, scoring=scoring)


def scoring_after(run: PipelineRun) -> Scoring:
    """What a run that has just ended compared: its own models, whatever else the store holds and whoever failed.

    Raises:
        StoreError: the store changed since.
    """
    settings, store = settings_of(run), Store(run.store)
    cards = _cards(store, read_recordings(store), settings)
    if isinstance(cards, str):
        raise StoreError(f"{store.root}: expected an up-to-date store after the run, found work for {cards}; run again")
    return scoring_of(cards, settings.evaluate)


def _cards(store: Store, recordings: list[Recording], settings: PipelineSettings) -> list[ModelCard] | str:
    """The run's models and controls with everything computed by them in place, or the first stage that is not."""
    cards: list[ModelCard] = []
    for swapped in (False, True) if settings.control else (False,):
        found = _models(store, recordings, settings, swapped=swapped)
        if isinstance(found, str):
            return found
        cards += found
    return cards


def _models(
    store: Store, recordings: list[Recording], settings: PipelineSettings, *, swapped: bool
) -> list[ModelCard] | str:
    """CNN and RNN with everything computed by them in place, or the first stage that is not."""
    training = settings.trainings(swapped=swapped)
    try:
        cnn = current_model(store, recordings, training[0])
        if cnn is None:
            return f"train {training[0].name}"
        if pending_features(store, recordings, cnn, settings.features):
            return f"features of {cnn.model_id}"
        rnn = current_model(store, recordings, training[1], features_model_id=cnn.model_id)
    except TrainingError:
        return "train"
    if rnn is None:
        return f"train {training[1].name}"
    for card in (cnn, rnn):
        if pending_predictions(store, recordings, card, settings.predict):
            return f"predictions of {card.model_id}"
    return [cnn, rnn]
