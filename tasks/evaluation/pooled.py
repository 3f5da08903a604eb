"""Pooled scores of a partition, with intervals from the same draws of recordings for everything that is compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.bootstrap import concatenated_replicates, interval, mean_replicates, resamples
from models.metrics import METRICS, Metric, mean_known, merged, scores
from schemas.evaluation import EvaluateSettings
from tasks.evaluation.gathering import Gathered, by_column, with_mean

FloatArray = npt.NDArray[np.float64]

MEAN_OVER_RATERS = "mean over raters"
ONE_RECORDING = "one recording: there is nothing to resample, so no interval"
NO_INTERVAL = "no interval: most resamples of the recordings have no value"


@dataclass(frozen=True)
class Pooled:
    """One pooling: by metric, `value`, and `replicates` [replicate, column] (None of a single recording).

    Columns are those of the gathered moments, and then the mean over raters where raters stand apart. `is_single`
    [column]: at most one recording has samples of it.
    """

    value: dict[Metric, FloatArray]
    replicates: dict[Metric, FloatArray] | None
    is_single: npt.NDArray[np.bool_]

    def interval(self, metric: Metric, other: Pooled | None = None) -> tuple[FloatArray, FloatArray]:
        """Low and high of each column, NaN where there is none; with `other`, of what this exceeds the other by."""
        nothing = np.full(self.value[metric].shape, np.nan)
        if self.replicates is None or (other is not None and other.replicates is None):
            return nothing, nothing
        drawn, single = self.replicates[metric], self.is_single
        if other is not None and other.replicates is not None:
            drawn, single = drawn - other.replicates[metric], single | other.is_single
        low, high = interval(drawn)
        return np.where(single, np.nan, low), np.where(single, np.nan, high)


def draws_of(num_recordings: int, settings: EvaluateSettings) -> FloatArray | None:
    """The draws of the bootstrap, the same for every model on as many recordings; None of a single recording."""
    if num_recordings < 2:
        return None
    return resamples(num_recordings, replicates=settings.replicates, seed=settings.seed)


def pooled(gathered: Gathered, pooling: str, draws: FloatArray | None) -> Pooled:
    """Every metric of a partition in one pooling, `concatenated` or `per_recording`."""
    columns, of = gathered.columns, gathered.moments
    recordings = [(of.n[:, list(column.at)] > 0).any(axis=1).sum() for column in columns]
    apart = [count for count, column in zip(recordings, columns, strict=True) if column.target == "rater"]
    is_single = np.array([*recordings, *([max(apart)] if apart else [])]) < 2
    if pooling == "concatenated":
        single = scores(merged(of))
        value = {metric: with_mean(by_column(single[metric], columns), columns) for metric in METRICS}
        if draws is None:
            return Pooled(value, None, is_single)
        joined = concatenated_replicates(of, draws)
        replicates = {metric: with_mean(by_column(joined[metric], columns), columns) for metric in METRICS}
        return Pooled(value, replicates, is_single)
    each = scores(of)
    by_recording = {metric: by_column(each[metric], columns) for metric in METRICS}  # [recording, column]
    value = {metric: with_mean(mean_known(by_recording[metric].T, axis=-1), columns) for metric in METRICS}
    if draws is None:
        return Pooled(value, None, is_single)
    drawn = mean_replicates(np.stack([by_recording[metric] for metric in METRICS], axis=-1), draws)
    replicates = {metric: with_mean(drawn[..., at], columns) for at, metric in enumerate(METRICS)}
    return Pooled(value, replicates, is_single)
