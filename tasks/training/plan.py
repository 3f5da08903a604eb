"""What a training would read, and whether a model trained on exactly that exists already. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.cards import ModelCard, Seen
from schemas.errors import TrainingError
from schemas.training import CnnTraining, NamedNetwork, RnnTraining
from tasks.expression.plan import ExpressionStore, FinishedModel
from tasks.expression.start import named_model, network_of
from tasks.faces.plan import stored_frames_key
from tasks.features.plan import stored_features_key
from tasks.ingest.recordings import Recording, gold_standard_alone, ratings_key
from tasks.store.cards import read_cards
from tasks.store.layout import Store
from tasks.store.parts import stage_key

STAGE_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class TrainingInputs:
    """Recordings that a training reads, by partition, the keys of what it reads of them, and who they are."""

    train: tuple[str, ...]
    dev: tuple[str, ...]
    keys: dict[str, str]
    seen: dict[str, Seen]


_CHECK = "Check the partitions of the corpus and the failures, then run the earlier stages"
_ALONE = (
    "Training reads raters, and {} have the corpus's gold standard alone: to train on it as on one rater, give its "
    "file a column of another name, list it under ratings in the manifest, and ingest again"
)


def training_inputs(
    store: Store, recordings: Sequence[Recording], *, dimension: str, features_model_id: str | None
) -> TrainingInputs:
    """The train and dev recordings that have ratings and complete frames (or features of one model).

    Args:
        store: what is on disk.
        recordings: all of them.
        dimension: which ratings.
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
        ratings = ratings_key(store, recording.recording_id, dimension)
        if data is None or ratings is None:
            continue
        found[recording.partition].append(recording.recording_id)
        keys[recording.recording_id] = f"{recording.partition}:{data}:{ratings}"
    for partition, ids in found.items():
        if not ids:
            alone = gold_standard_alone(store, [one for one in recordings if one.partition == partition], dimension)
            raise TrainingError(
                f"{store.root}: no recording of partition {partition!r} has both ratings and "
                f"{'frames' if features_model_id is None else 'features'}; training needs train and dev. "
                + (_ALONE.format(alone) if alone else _CHECK)
            )
    seen = {one.recording_id: Seen(subject_id=one.subject_id, sha256=one.sha256) for one in recordings}
    return TrainingInputs(
        train=tuple(sorted(found["train"])),
        dev=tuple(sorted(found["dev"])),
        keys=keys,
        seen={name: seen[name] for name in keys},
    )


def find_start(store: Store, settings: CnnTraining | RnnTraining) -> FinishedModel | None:
    """The expression model that a training starts from, None if it starts from chance. Raises SettingsError."""
    if not isinstance(settings, CnnTraining) or settings.start_from is None:
        return None
    return named_model(ExpressionStore(store.root), settings.start_from)


def settled(settings: CnnTraining | RnnTraining, start: FinishedModel | None) -> CnnTraining | RnnTraining:
    """The settings with everything that a start decides: whose weights, and which options its network was built with.

    Raises:
        SettingsError: the settings name another network.
    """
    if start is None or not isinstance(settings, CnnTraining):
        return settings
    network = settings.network
    if not isinstance(network, NamedNetwork):
        network = NamedNetwork(name=network.kind)
    return settings.model_copy(update={"start_from": start.card.model_id, "network": network_of(start, network)})


def training_key(
    settings: CnnTraining | RnnTraining,
    inputs: TrainingInputs,
    features_model_id: str | None,
    start: FinishedModel | None = None,
) -> str:
    """Stage key of a training. `settings` are `settled`."""
    read = [f"{recording_id}={key}" for recording_id, key in sorted(inputs.keys.items())]
    weights = [] if start is None else [f"start={start.card.weights_sha256}"]
    return stage_key("train", STAGE_VERSION, settings.keyed(), [features_model_id or "chips", *weights, *read])


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
    inputs = training_inputs(store, recordings, dimension=settings.dimension, features_model_id=features_model_id)
    start = find_start(store, settings)
    return find_model(store, training_key(settled(settings, start), inputs, features_model_id, start))
