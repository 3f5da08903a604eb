"""Predict every rater's value at every frame, from stored features."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from models.windows import hold_last_valid
from schemas.cards import ModelCard
from schemas.settings import PredictSettings
from schemas.training import RnnTraining
from tasks.features.plan import stored_features_key
from tasks.ingest.recordings import Recording
from tasks.prediction.plan import STAGE, features_model, pending, predictions_key
from tasks.prediction.table import predictions_table
from tasks.progress import track
from tasks.store.layout import Store
from tasks.store.parts import Provenance, write_part
from tasks.training.data import FeatureSequence, read_features
from tasks.training.devices import cpu_threads, resolve_device
from tasks.training.networks import load_cnn, load_rnn


@dataclass(frozen=True, kw_only=True)
class PredictSummary:
    """What was predicted."""

    model_id: str
    recordings: int
    seconds: float


def predict(
    store: Store, recordings: Sequence[Recording], card: ModelCard, settings: PredictSettings
) -> PredictSummary:
    """Write the predictions of every recording with features whose predictions are missing or stale.

    Args:
        store: features are read from it, predictions written to it.
        recordings: all recordings.
        card: of a CNN (its output layer on its own features) or an RNN.
        settings: what a frame without a face gets.
    """
    started = time.monotonic()
    stale = pending(store, recordings, card, settings)
    if not stale:
        return PredictSummary(model_id=card.model_id, recordings=0, seconds=0.0)
    predictor = _predictor(store, card, resolve_device(settings.device))
    with cpu_threads(settings.num_threads), track(f"predict {card.name}", len(stale), "recordings") as bar:
        for recording in stale:
            _predict_one(store, recording.recording_id, card, settings, predictor)
            bar.advance()
    return PredictSummary(model_id=card.model_id, recordings=len(stale), seconds=time.monotonic() - started)


def _predictor(store: Store, card: ModelCard, device: torch.device) -> Callable[[FeatureSequence], torch.Tensor]:
    """A function from features to `[time, rater]` that never leaves a gap."""
    if card.input == "features":
        rnn = load_rnn(store, card).to(device)
        window = RnnTraining(**card.settings).network.window

        def from_context(sequence: FeatureSequence) -> torch.Tensor:
            held = hold_last_valid(sequence.features, sequence.valid, start=rnn.feature_mean.cpu())
            return rnn.predict_sequence(held, window=window)

        return from_context
    cnn = load_cnn(store, card).to(device)

    def from_frame(sequence: FeatureSequence) -> torch.Tensor:
        held = hold_last_valid(sequence.features, sequence.valid, start=torch.zeros(sequence.features.shape[1]))
        return cnn.head(held.to(device)).cpu()

    return from_frame


def _predict_one(
    store: Store,
    recording_id: str,
    card: ModelCard,
    settings: PredictSettings,
    predictor: Callable[[FeatureSequence], torch.Tensor],
) -> None:
    source = features_model(card)
    sequence = read_features(store.features(source, recording_id))
    with torch.inference_mode():
        values = predictor(sequence).double().numpy()
    valid = sequence.valid.numpy()
    if settings.no_face == "null":
        values = np.where(valid[:, None], values, np.nan)
    features_key = stored_features_key(store, source, recording_id)
    assert features_key is not None
    provenance = Provenance(
        stage=STAGE, stage_key=predictions_key(card, features_key, settings), model_hash=card.weights_sha256
    )
    table = predictions_table(
        recording_id,
        card.model_id,
        card.dimension,
        card.raters,
        frame_index=sequence.frame_index,
        times=sequence.times,
        values=values,
        valid=valid,
    )
    write_part(store.predictions(card.model_id, recording_id), table, provenance)
