"""Gold standards: one series fused of several raters' (docs/ratings.md). `none` keeps raters apart and fuses nothing.

A missing value drops its sample from that rater alone: the others' weights count for that sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.agreement import mean_of_others, pair_moments
from models.metrics import ROUNDING, moments, scores
from schemas.evaluation import Fusion

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GoldStandard:
    """One recording's fused series.

    `values` `[sample]`, NaN where nobody rated. `weights` `[rater]`, as the preset defines them and not normalised: NaN
    for a rater without a value. `fallback` says why the plain mean stands here instead, None where it does not.
    """

    values: FloatArray
    weights: FloatArray
    fallback: str | None = None


def fuse(values: FloatArray, fusion: Fusion) -> GoldStandard:
    """The gold standard of one recording.

    - `mean`: the mean over raters.
    - `ewe`, the evaluator weighted estimator (Grimm and Kroschel 2005): the weighted mean, weights being Pearson's
      correlation of each rater with the mean of all. Negative and undefined ones become 0.
    - `ewe-loo`: the same with the mean of the others.
    - `avec2018`: the mean over raters, shifted: gold(t) = mean(t) - overall mean + m, m = sum(w_a mean_a) / sum(w_a),
      w_a the mean pairwise CCC of rater a with the others. Agreement sets the offset only.

    Where no weight is above 0 (in `avec2018`: where their sum is not) the plain mean is returned; `fallback` says so.

    Args:
        values: `[sample, rater]` of one recording, NaN where missing.
        fusion: which.
    """
    rated = ~np.isnan(values).all(axis=0)
    mean = _weighted(values, np.ones(values.shape[1]))
    if fusion == "mean":
        return GoldStandard(mean, np.where(rated, 1.0, np.nan))
    if rated.sum() < 2:
        found = f"{int(rated.sum())} rater with values: there is nobody to agree with; the mean is used"
        return GoldStandard(mean, np.where(rated, 1.0, np.nan), found)
    weights = np.where(rated, _weights(values, mean, fusion), np.nan)
    total = float(np.nansum(weights))
    if total <= 0:
        found = f"weights that add up to {total:.3g}: raters do not agree, or are constant; the mean is used"
        return GoldStandard(mean, weights, found)
    if fusion != "avec2018":
        return GoldStandard(_weighted(values, np.nan_to_num(weights)), weights)
    means = np.array([float(np.nanmean(column)) if not np.isnan(column).all() else 0.0 for column in values.T])
    offset = float(np.nansum(weights * means)) / total
    return GoldStandard(mean - np.nanmean(mean) + offset, weights)


def _weights(values: FloatArray, mean: FloatArray, fusion: Fusion) -> FloatArray:
    """`[rater]`; what is undefined is 0."""
    if fusion == "avec2018":
        pairs = scores(pair_moments(values))["ccc"]
        np.fill_diagonal(pairs, np.nan)
        known = ~np.isnan(pairs)
        return np.asarray(np.where(known, pairs, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1))
    reference = mean_of_others(values) if fusion == "ewe-loo" else np.broadcast_to(mean[:, None], values.shape)
    largest = np.nanmax(np.abs(values))  # of exact opposites the mean is 0 and rounding, which correlates by chance
    reference = np.where(np.abs(reference) <= ROUNDING * largest, 0.0, reference)
    return np.maximum(np.nan_to_num(scores(moments(values.T, reference.T))["cc"]), 0.0)


def _weighted(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted mean over raters of each sample; NaN where the weights of those who rated it add up to 0."""
    given = ~np.isnan(values)
    below = given @ weights
    above = np.where(given, values, 0.0) @ weights
    return np.asarray(np.divide(above, below, out=np.full(len(values), np.nan), where=below > 0))
