"""Score predictions against every rater, by the protocol in the settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.labels import predictions_at_labels
from models.metrics import Agreement, agreement
from schemas.errors import UnusableInputError
from schemas.settings import EvaluateSettings
from schemas.tables import METRICS, PREDICTIONS
from tasks.evaluation.plan import STAGE, TRAINING_MEAN, TRIVIAL, evaluation_key, metrics_path, pending
from tasks.ingest.recordings import RatingsWide, Recording, ratings_key, read_ratings_wide
from tasks.progress import track
from tasks.store.cards import read_cards
from tasks.store.layout import Store
from tasks.store.parts import Provenance, read_table, write_part

FloatArray = npt.NDArray[np.float64]


def evaluate(
    store: Store, recordings: Sequence[Recording], model_ids: Sequence[str], dimension: str, settings: EvaluateSettings
) -> list[str]:
    """Write the metrics of models and trivial predictors that are missing or stale.

    Args:
        store: predictions and ratings are read from it, metrics written to it.
        recordings: all recordings.
        model_ids: which models; `training-mean` and `training-mean-curve` name the trivial predictors.
        dimension: which ratings.
        settings: the protocol.

    Returns: ids whose metrics were written.

    Raises:
        UnusableInputError: nothing can be scored: no rated recording in the scored partitions has predictions.
    """
    stale = pending(store, recordings, model_ids, dimension, settings)
    delays = {card.model_id: float(card.settings["label_delay_seconds"]) for card in read_cards(store)}
    with track("evaluating", len(stale), "models") as bar:
        for model_id in stale:
            rows = _score_model(store, recordings, model_id, dimension, settings, delays.get(model_id, 0.0))
            key = evaluation_key(store, recordings, model_id, dimension, settings)
            table = pa.Table.from_pylist(rows, schema=METRICS)
            write_part(metrics_path(store, model_id), table, Provenance(stage=STAGE, stage_key=key))
            bar.advance()
    return stale


def _score_model(
    store: Store,
    recordings: Sequence[Recording],
    model_id: str,
    dimension: str,
    settings: EvaluateSettings,
    delay_seconds: float,
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    rated = [r for r in recordings if ratings_key(store, r.recording_id) is not None]
    trivial = _Trivial(store, rated, dimension) if model_id in TRIVIAL else None
    for partition in settings.scored_on:
        series: dict[str, list[tuple[FloatArray, FloatArray]]] = {}
        scores: dict[str, list[Agreement]] = {}
        base = {"model_id": model_id, "protocol": settings.protocol, "partition": partition, "dimension": dimension}
        for recording in (r for r in rated if r.partition == partition):
            ratings = read_ratings_wide(store, recording.recording_id, dimension)
            for rater, predicted, given in (
                trivial.pairs(model_id, ratings)
                if trivial is not None
                else _pairs(store, model_id, recording.recording_id, ratings, delay_seconds)
            ):
                score = agreement(predicted, given)
                series.setdefault(rater, []).append((predicted, given))
                scores.setdefault(rater, []).append(score)
                at = {"pooling": "per_recording", "recording_id": recording.recording_id, "rater": rater}
                rows += _metric_rows(base | at, score)
        for rater, parts in series.items():
            joined = agreement(np.concatenate([p for p, _ in parts]), np.concatenate([g for _, g in parts]))
            pooled = {"recording_id": None, "rater": rater}
            rows += _metric_rows(base | pooled | {"pooling": "concatenated"}, joined)
            rows += _metric_rows(base | pooled | {"pooling": "per_recording"}, _mean_agreement(scores[rater]))
    if not rows:
        raise UnusableInputError(
            f"{model_id}: nothing to score: no recording of {', '.join(settings.scored_on)} has both ratings and "
            "predictions; check the partitions, or run the predict stage"
        )
    return rows


def _pairs(
    store: Store, model_id: str, recording_id: str, ratings: RatingsWide, delay_seconds: float
) -> Iterator[tuple[str, FloatArray, FloatArray]]:
    """Rater, prediction at each label, label; nothing where the recording has no predictions."""
    path = store.predictions(model_id, recording_id)
    if not path.exists():
        return
    table = read_table(path, PREDICTIONS, ["rater", "time_seconds", "value"])
    names = table["rater"].to_pylist()
    times, values = table["time_seconds"].to_numpy(), table["value"].to_numpy()
    raters = list(dict.fromkeys(names))
    frames = len(names) // len(raters)
    by_rater = values.reshape(len(raters), frames).T
    at_labels = predictions_at_labels(ratings.times, times[:frames], by_rater, delay_seconds=delay_seconds)
    for position, rater in enumerate(raters):
        if rater in ratings.raters:
            yield rater, at_labels[:, position], ratings.values[:, ratings.raters.index(rater)]


class _Trivial:
    """Predictors that know only the training ratings: each rater's mean, and mean curve over time since start."""

    def __init__(self, store: Store, rated: Sequence[Recording], dimension: str) -> None:
        self._train = [read_ratings_wide(store, r.recording_id, dimension) for r in rated if r.partition == "train"]

    def pairs(self, model_id: str, ratings: RatingsWide) -> Iterator[tuple[str, FloatArray, FloatArray]]:
        for position, rater in enumerate(ratings.raters):
            known = [(t.times, t.values[:, t.raters.index(rater)]) for t in self._train if rater in t.raters]
            values = [v[~np.isnan(v)] for _, v in known]
            if not any(part.size for part in values):
                continue
            mean = float(np.concatenate(values).mean())
            predicted = np.full(ratings.times.shape, mean)
            if model_id != TRAINING_MEAN:
                predicted = _mean_curve(known, ratings.times, beyond=mean)
            yield rater, predicted, ratings.values[:, position]


def _mean_curve(known: Sequence[tuple[FloatArray, FloatArray]], times: FloatArray, *, beyond: float) -> FloatArray:
    """Mean over training recordings at each time since start; the overall mean where none reaches."""
    total, count = np.zeros(times.shape), np.zeros(times.shape)
    for label_times, values in known:
        present = ~np.isnan(values)
        if not present.any():
            continue
        curve = np.interp(times, label_times[present], values[present], left=np.nan, right=np.nan)
        total += np.nan_to_num(curve)
        count += ~np.isnan(curve)
    return np.where(count > 0, total / np.maximum(count, 1), beyond)


def _metric_rows(base: dict[str, Any], score: Agreement) -> list[dict[str, Any]]:
    shared = base | {"ci_low": None, "ci_high": None, "n": score.n, "degenerate": score.degenerate}
    return [
        shared | {"metric": metric, "value": None if metric == "ccc" and _is_void(score) else getattr(score, metric)}
        for metric in ("rmse", "cc", "ccc")
    ]


def _is_void(score: Agreement) -> bool:
    """Two equal constant series: CCC 1.0 by definition, and no information. It is stored as null."""
    return score.degenerate and score.ccc == 1.0


def _mean_agreement(scores: Sequence[Agreement]) -> Agreement:
    """Mean of per-recording values; recordings where a value is undefined are left out of its mean."""

    def mean(name: str) -> float | None:
        known = [
            getattr(s, name) for s in scores if getattr(s, name) is not None and not (name == "ccc" and _is_void(s))
        ]
        return float(np.mean(known)) if known else None

    return Agreement(
        rmse=mean("rmse"),
        cc=mean("cc"),
        ccc=mean("ccc"),
        n=sum(score.n for score in scores),
        degenerate=all(score.degenerate for score in scores),
    )
