"""What a sweep has to run, and which of it stands on disk already. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.cards import ModelCard
from schemas.pipeline import PipelineSettings
from schemas.sweeps import Sweep, SweepRow, row_settings
from tasks.evaluation.plan import TRIVIAL
from tasks.evaluation.plan import pending as pending_metrics
from tasks.features.plan import pending as pending_features
from tasks.ingest.recordings import Recording
from tasks.prediction.plan import pending as pending_predictions
from tasks.store.layout import Store
from tasks.training.plan import current_model


@dataclass(frozen=True, kw_only=True)
class Job:
    """A row with one seed, and everything it runs with."""

    row: SweepRow
    seed: int
    settings: PipelineSettings

    @property
    def name(self) -> str:
        return f"{self.row.label}, seed {self.seed}"


def jobs(sweep: Sweep, base: PipelineSettings, *, origin: str) -> list[Job]:
    """Every row that can be run, for the first seed, then for the next: a whole table stands early.

    Raises:
        SettingsError: a setting of a row is unknown or out of range.
    """
    return [
        Job(row=row, seed=seed, settings=row_settings(base, row, seed, origin=origin))
        for seed in sweep.seeds
        for row in sweep.row
        if row.model is not None
    ]


def finished(store: Store, recordings: Sequence[Recording], job: Job) -> ModelCard | None:
    """The model whose scores a job is after, if it is trained and scored on exactly this; None if work is left.

    Raises:
        TrainingError: there is nothing to train on.
        SettingsError: there is no model to start from.
    """
    settings = job.settings
    cnn = current_model(store, recordings, settings.cnn)
    if cnn is None or pending_features(store, recordings, cnn, settings.features):
        return None
    card: ModelCard | None = cnn
    if job.row.model == "rnn":
        card = current_model(store, recordings, settings.rnn, features_model_id=cnn.model_id)
    if card is None or pending_predictions(store, recordings, card, settings.predict):
        return None
    scored = [card.model_id, *TRIVIAL]
    if pending_metrics(store, recordings, scored, card.dimension, settings.evaluate):
        return None
    return card
