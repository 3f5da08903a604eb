"""What a training would read, and whether a model trained on exactly that exists already. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.cards import ModelCard
from schemas.errors import TrainingError
from schemas.settings import CnnTraining, RnnTraining
from tasks.faces.plan import stored_frames_key
from tasks.features.plan import stored_features_key
from tasks.ingest.recordings import Recording, ratings_key
from tasks.store.cards import read_cards
from tasks.store.layout import Store
from tasks.store.parts import stage_key

STAGE_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class TrainingInputs:
    """Recordings that a training reads, by partition, and the keys of what it reads of them."""

    train: tuple[str, ...]
    dev: tuple[str, ...]
    keys: dict[str, str]


def training_inputs(store: Store, recordings: Sequence[Recording], *, features_model_id: str | None) -> TrainingInputs:
    """The train and dev recordings that have ratings and complete frames (or features of one model).

    Args:
        store: what is on disk.
        recordings: all of them.
        features_model_id: the CNN whose features an RNN reads; None for a CNN, which reads chips.

    Raises:
        TrainingError: a partition holds no such recording.
    """
    found: dict[str, list[str]] = {"train": [], "dev": []}
    keys = {}
    for recording in recordings:
        if recording.partition not in found:
            continue
        data = (
            stored_frames_key(store, recording.recording_id)
            if features_model_id is None
            else stored_features_key(store, features_model_id, recording.recording_id)
        )
        ratings = ratings_key(store, recording.recording_id)
        if data is None or ratings is None:
            continue
        found[recording.partition].append(recording.recording_id)
        keys[recording.recording_id] = f"{recording.partition}:{data}:{ratings}"
    for partition, ids in found.items():
        if not ids:
            raise TrainingError(
                f"{store.root}: no recording of partition {partition!r} has both ratings and "
                f"{'frames' if features_model_id is None else 'features'}; training needs train and dev. "
                "Check the partitions of the corpus and the failures, then run the earlier stages"
            )
    return TrainingInputs(train=tuple(sorted(found["train"])), dev=tuple(sorted(found["dev"])), keys=keys)


def training_key(settings: CnnTraining | RnnTraining, inputs: TrainingInputs, features_model_id: str | None) -> str:
    """Stage key of a training."""
    read = [f"{recording_id}={key}" for recording_id, key in sorted(inputs.keys.items())]
    return stage_key("train", STAGE_VERSION, settings.keyed(), [features_model_id or "chips", *read])


def find_model(store: Store, key: str) -> ModelCard | None:
    """The model trained under `key`, if there is one."""
    return next((card for card in read_cards(store) if card.stage_key == key), None)


def current_model(
    store: Store,
    recordings: Sequence[Recording],
    settings: CnnTraining | RnnTraining,
    *,
    features_model_id: str | None = None,
) -> ModelCard | None:
    """The model that these settings and what is on disk would give, if it has been trained."""
    inputs = training_inputs(store, recordings, features_model_id=features_model_id)
    return find_model(store, training_key(settings, inputs, features_model_id))
