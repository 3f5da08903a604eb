"""Agreement of a prediction with a rating: RMSE, CC and CCC in float64.

CCC is Lin's (1989) with population variance throughout, so that CCC(x, x) = 1 exactly at every n >= 2
(docs/decisions/0001-ccc.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Scores of one series against another.

    `degenerate` marks what a formula alone would get wrong: no samples (all scores None), or a constant series
    (CC is undefined, None). Two equal constant series have CCC 1.0 and carry no information.
    """

    rmse: float | None
    cc: float | None
    ccc: float | None
    n: int
    degenerate: bool


def agreement(prediction: FloatArray, rating: FloatArray) -> Agreement:
    """RMSE, Pearson's CC and Lin's CCC over the samples where both series have a value.

        CCC = 2 cov(x, y) / (var(x) + var(y) + (mean x - mean y)^2)

    Args:
        prediction: `[sample]`, NaN where there is none.
        rating: `[sample]`, NaN where there is none.

    Returns: RMSE in the ratings' unit, CC and CCC in [-1, 1], and `n`, the number of samples used.

    Raises:
        ValueError: the shapes differ or are not one-dimensional.

    >>> agreement(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])).ccc
    1.0
    """
    if prediction.shape != rating.shape or prediction.ndim != 1:
        raise ValueError(f"expected two series [sample] of one length, got {prediction.shape} and {rating.shape}")
    both = ~(np.isnan(prediction) | np.isnan(rating))
    x, y = prediction[both].astype(np.float64), rating[both].astype(np.float64)
    n = int(x.size)
    if n == 0:
        return Agreement(rmse=None, cc=None, ccc=None, n=0, degenerate=True)
    rmse = float(np.sqrt(np.mean((x - y) ** 2)))
    dx, dy = x - x.mean(), y - y.mean()
    var_x, var_y, covariance = float(np.mean(dx * dx)), float(np.mean(dy * dy)), float(np.mean(dx * dy))
    # by value, for a mean may round; by variance, for squares of tiny differences vanish
    x_constant, y_constant = bool((x == x[0]).all()) or var_x == 0, bool((y == y[0]).all()) or var_y == 0
    if x_constant or y_constant:
        equal = x_constant and y_constant and x[0] == y[0]
        return Agreement(rmse=rmse, cc=None, ccc=1.0 if equal else 0.0, n=n, degenerate=True)
    cc = covariance / float(np.sqrt(var_x) * np.sqrt(var_y))
    ccc = 2 * covariance / (var_x + var_y + float(x.mean() - y.mean()) ** 2)
    return Agreement(rmse=rmse, cc=min(1.0, max(-1.0, cc)), ccc=ccc, n=n, degenerate=False)


def mean_ccc(predictions: FloatArray, ratings: FloatArray) -> float:
    """Mean over raters of CCC; raters without a sample are left out.

    Args:
        predictions: `[sample, rater]`, NaN where there is none.
        ratings: `[sample, rater]`, NaN where there is none.

    Returns: in [-1, 1]; NaN if no rater has a sample.
    """
    scores = [agreement(predictions[:, r], ratings[:, r]).ccc for r in range(ratings.shape[1])]
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else float("nan")
