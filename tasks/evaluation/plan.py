"""What the evaluation stage has to do, from disk alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from schemas.evaluation import EvaluateSettings
from tasks.ingest.recordings import Recording, gold_standard_key, ratings_key
from tasks.prediction.plan import stored_predictions_key
from tasks.store.layout import VALENCE, Store, of_dimension
from tasks.store.parts import is_current, stage_key

STAGE = "evaluate"
STAGE_VERSION = 4

FUSIONS = "fusions"
"""What `pending` calls the table of how gold standards were fused."""

TRAINING_MEAN = "training-mean"
TRAINING_MEAN_CURVE = "training-mean-curve"
TRIVIAL = (TRAINING_MEAN, TRAINING_MEAN_CURVE)
"""Predictors that never look at a face: anything that does not beat them has learned nothing from faces."""

HUMAN_ONE = "human-one"
HUMAN_REST = "human-rest"
HUMAN = (HUMAN_ONE, HUMAN_REST)
"""People as predictors: one rater of another, and the mean of the others of one. What agreement there is to be had."""


def metrics_path(store: Store, model_id: str, protocol: str, dimension: str = VALENCE) -> Path:
    """Where the scores of a model, or of another predictor, under a protocol stand."""
    return store.metrics / model_id / f"{of_dimension(protocol, dimension)}.parquet"


def evaluation_key(
    store: Store, recordings: Sequence[Recording], model_id: str, dimension: str, settings: EvaluateSettings
) -> str:
    """Stage key of a model's metrics: the protocol, its predictions, and every rating they are held against.

    Trivial predictors read the ratings of the training partition as well, and a chain those that it is fitted on.
    """
    partitions = set(settings.scored_on)
    if model_id in TRIVIAL:
        partitions.add("train")
    elif settings.chain and model_id not in HUMAN:
        partitions.add(settings.selected_on)
    read = []
    for recording in recordings:
        if recording.partition not in partitions:
            continue
        rated = targets_key(store, recording.recording_id, dimension, settings)
        if rated is not None:
            predicted = stored_predictions_key(store, model_id, recording.recording_id)
            read.append(f"{recording.recording_id}:{recording.partition}:{rated}:{predicted}")
    return stage_key(STAGE, STAGE_VERSION, {**settings.keyed(), "dimension": dimension}, [model_id, *sorted(read)])


def targets_key(store: Store, recording_id: str, dimension: str, settings: EvaluateSettings) -> str | None:
    """Key of what a recording is scored against, None if that is nothing: ratings, and the gold standard of the corpus
    where the protocol asks for it."""
    rated = ratings_key(store, recording_id, dimension)
    shipped = gold_standard_key(store, recording_id, dimension) if "corpus" in settings.gold else None
    return "+".join(key for key in (rated, shipped) if key is not None) or None


def fusions_key(store: Store, recordings: Sequence[Recording], dimension: str, settings: EvaluateSettings) -> str:
    """Stage key of the table of gold standards: which, on which partitions, and every rating that they are made of."""
    read = [
        f"{recording.recording_id}:{recording.partition}:{rated}"
        for recording in recordings
        if recording.partition in settings.scored_on
        and (rated := ratings_key(store, recording.recording_id, dimension)) is not None
    ]
    chosen = {name: settings.keyed()[name] for name in ("protocol", "gold", "scored_on")}
    return stage_key(FUSIONS, STAGE_VERSION, {**chosen, "dimension": dimension}, sorted(read))


def fusions_are_current(
    store: Store, recordings: Sequence[Recording], dimension: str, settings: EvaluateSettings
) -> bool:
    """True if the table of gold standards stands as it should; without a gold standard there is none."""
    path = store.fusions(dimension, settings.protocol)
    if not settings.fusions:
        return not path.exists()
    return is_current(path, fusions_key(store, recordings, dimension, settings))


def pending(
    store: Store, recordings: Sequence[Recording], model_ids: Sequence[str], dimension: str, settings: EvaluateSettings
) -> list[str]:
    """Models and other predictors whose metrics are missing or stale, and `FUSIONS` where its table is."""
    fused = [] if fusions_are_current(store, recordings, dimension, settings) else [FUSIONS]
    return fused + [
        model_id
        for model_id in model_ids
        if not is_current(
            metrics_path(store, model_id, settings.protocol, dimension),
            evaluation_key(store, recordings, model_id, dimension, settings),
        )
    ]
