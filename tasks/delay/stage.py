"""Search each rater's delay on the training partition, and keep the curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from models.delay import DELAYS, FEWEST_RECORDINGS, PRESETS, DelaySample, search_delays
from schemas.errors import TrainingError
from schemas.score_tables import DELAYS as DELAY_ROWS
from schemas.training import AnyTraining
from tasks.features.plan import stored_features_key
from tasks.ingest.recordings import Recording, ratings_key, read_ratings_wide
from tasks.progress import track
from tasks.store.layout import Store
from tasks.store.parts import Provenance, is_current, read_table, stage_key, write_part
from tasks.training.data import raters_of, read_features

STAGE = "delay"
STAGE_VERSION = 2


def search(store: Store, recordings: Sequence[Recording], features_model_id: str, dimension: str) -> dict[str, float]:
    """Each rater's best delay, seconds; searched anew where features or ratings have changed.

    The whole curves stand in `S/delay/<features model>/<dimension>.parquet` (`schemas.score_tables.DELAYS`).

    Args:
        store: features and ratings are read from it.
        recordings: all; those of the training partition are used.
        features_model_id: whose features.
        dimension: which ratings.

    Raises:
        TrainingError: fewer than three recordings of the training partition have features and ratings, or of one
            rater; or no delay of a rater can be scored.
    """
    keys = _inputs(store, recordings, features_model_id, dimension)
    path = store.delay(features_model_id, dimension)
    key = stage_key(STAGE, STAGE_VERSION, {"dimension": dimension}, [features_model_id, *sorted(keys.values())])
    if not is_current(path, key):
        table = _searched(store, sorted(keys), features_model_id, dimension)
        write_part(path, table, Provenance(stage=STAGE, stage_key=key))
    best = read_table(path, DELAY_ROWS).to_pylist()
    return {row["rater"]: row["delay_seconds"] for row in best if row["is_best"]}


def with_delays(
    store: Store, recordings: Sequence[Recording], settings: AnyTraining, features_model_id: str | None
) -> AnyTraining:
    """The settings of a training, its delay in seconds: a preset's, or searched ones by rater.

    Raises:
        TrainingError: the dimension has no preset; or like `search`.
    """
    if settings.label_delay_seconds == "preset":
        if settings.dimension not in PRESETS:
            known = ", ".join(f"{name} ({seconds:g} s)" for name, seconds in PRESETS.items())
            raise TrainingError(
                f'{settings.name}: label_delay_seconds = "preset": expected a dimension that has one: {known}; found '
                f"{settings.dimension!r}; give seconds"
            )
        return settings.model_copy(update={"label_delay_seconds": PRESETS[settings.dimension]})
    if settings.label_delay_seconds != "searched" or features_model_id is None:
        return settings
    found = search(store, recordings, features_model_id, settings.dimension)
    return settings.model_copy(update={"label_delay_seconds": found})


def _inputs(store: Store, recordings: Sequence[Recording], features_model_id: str, dimension: str) -> dict[str, str]:
    keys = {}
    for recording in recordings:
        name = recording.recording_id
        features, ratings = stored_features_key(store, features_model_id, name), ratings_key(store, name, dimension)
        if recording.partition == "train" and features is not None and ratings is not None:
            keys[name] = f"{name}:{features}:{ratings}"
    return keys


@dataclass(frozen=True)
class _Stored:
    """Recordings read anew each time they are gone through."""

    store: Store
    recording_ids: Sequence[str]
    raters: Sequence[str]
    features_model_id: str
    dimension: str

    def __iter__(self) -> Iterator[DelaySample]:
        with track("searching delays", len(self.recording_ids), "recordings") as bar:
            for name in self.recording_ids:
                features = read_features(self.store.features(self.features_model_id, name))
                valid = features.valid.numpy()
                wide = read_ratings_wide(self.store, name, self.dimension)
                labels = np.full((wide.times.size, len(self.raters)), np.nan)
                for place, rater in enumerate(self.raters):
                    if rater in wide.raters:
                        labels[:, place] = wide.values[:, wide.raters.index(rater)]
                seen = features.features.numpy()[valid].astype(np.float64)
                yield DelaySample(seen, features.times[valid], wide.times, labels)
                bar.advance(note=name)


def _searched(store: Store, names: Sequence[str], features_model_id: str, dimension: str) -> pa.Table:
    remedy = "add recordings to the training partition, or set label_delay_seconds yourself"
    if len(names) < FEWEST_RECORDINGS:
        raise TrainingError(
            f"{store.root}: the search for delays leaves recordings out in turn: expected at least "
            f"{FEWEST_RECORDINGS} of partition 'train' with ratings and features of {features_model_id}, found "
            f"{', '.join(names) or 'none'}; {remedy}"
        )
    raters = raters_of(store, names, dimension)
    try:
        curves = search_delays(_Stored(store, names, raters, features_model_id, dimension), num_raters=len(raters))
    except ValueError as error:
        _, place, count = error.args
        raise TrainingError(
            f"{store.root}: rater {raters[place]}: expected at least {FEWEST_RECORDINGS} recordings of partition "
            f"'train' with faces and {dimension} for longer than {DELAYS[-1]:g} s, found {count}; {remedy}"
        ) from error
    best = curves.best()
    for rater in np.asarray(raters)[np.isnan(best)].tolist():
        raise TrainingError(
            f"{store.root}: rater {rater}: expected {dimension} that varies, found one value in all of partition "
            "'train' (see affectflow agreement); remove the rater, or set label_delay_seconds yourself"
        )
    rows = [
        {
            "dimension": dimension,
            "features_model_id": features_model_id,
            "rater": rater,
            "delay_seconds": delay,
            "ccc": None if np.isnan(curves.ccc[step, place]) else float(curves.ccc[step, place]),
            "n": int(curves.n[step, place]),
            "is_best": bool(delay == best[place]),
        }
        for place, rater in enumerate(raters)
        for step, delay in enumerate(DELAYS)
    ]
    return pa.Table.from_pylist(rows, schema=DELAY_ROWS)
