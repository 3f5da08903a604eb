"""The agreement of one recording, and of all of them added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.agreement import (
    CompleteMoments,
    complete_moments,
    lag_moments,
    mean_of_others,
    pair_moments,
)
from models.metrics import Moments, merged, moments, no_moments, placed, stacked

FloatArray = npt.NDArray[np.float64]

LAG_STEP_SECONDS = 0.4
MOST_LAGS = 25
"""Lags go to 10 s either way, in the steps of the search for delays."""


@dataclass(frozen=True)
class Measured:
    """Agreement of one recording, or of several; every array is in the order of `raters`.

    `pairs` `[rater, rater]`; `others` `[rater]`, each against the mean of the others; `lags` `[lag, rater]`; `positive`
    and `samples` `[rater]`; `complete`, by the raters it is of, of the samples that all of these rated.
    """

    raters: tuple[str, ...]
    pairs: Moments
    others: Moments
    lags: Moments
    positive: FloatArray
    samples: FloatArray
    complete: dict[tuple[str, ...], CompleteMoments]

    @classmethod
    def nothing(cls) -> Measured:
        """Of no recording."""
        lags = 2 * MOST_LAGS + 1
        pairs, others, shifted = (no_moments(shape) for shape in ((0, 0), (0,), (lags, 0)))
        return cls((), pairs, others, shifted, np.zeros(0), np.zeros(0), {})

    def __add__(self, other: Measured) -> Measured:
        """Of the recordings of both; raters are matched by name."""
        raters = tuple(dict.fromkeys((*self.raters, *other.raters)))
        one, two = self._among(raters), other._among(raters)
        complete = dict(one.complete)
        for names, more in two.complete.items():
            complete[names] = complete[names] + more if names in complete else more
        return Measured(
            raters,
            merged(stacked([one.pairs, two.pairs])),
            merged(stacked([one.others, two.others])),
            merged(stacked([one.lags, two.lags])),
            one.positive + two.positive,
            one.samples + two.samples,
            complete,
        )

    def _among(self, raters: tuple[str, ...]) -> Measured:
        if raters == self.raters:
            return self
        size = len(raters)
        at = np.array([raters.index(name) for name in self.raters], dtype=np.int64)
        positive, samples = np.zeros(size), np.zeros(size)
        positive[at], samples[at] = self.positive, self.samples
        return Measured(
            raters,
            placed(self.pairs, (at[:, None], at[None, :]), (size, size)),
            placed(self.others, (at,), (size,)),
            placed(self.lags, (slice(None), at), (len(self.lags.n), size)),
            positive,
            samples,
            self.complete,
        )


def measure(times: FloatArray, values: FloatArray, raters: Sequence[str]) -> Measured:
    """The agreement of one recording.

    Args:
        times: `[sample]` seconds, increasing.
        values: `[sample, rater]`, NaN where missing.
        raters: `[rater]`.
    """
    given = ~np.isnan(values)
    rated = np.flatnonzero(given.any(axis=0))
    ordered = sorted(rated.tolist(), key=lambda place: raters[place])
    names = tuple(raters[place] for place in ordered)
    return Measured(
        tuple(raters),
        pair_moments(values),
        moments(values.T, mean_of_others(values).T),
        lag_moments(times, values, step_seconds=LAG_STEP_SECONDS, most_steps=MOST_LAGS),
        np.nansum(values > 0, axis=0).astype(np.float64),
        given.sum(axis=0).astype(np.float64),
        {names: complete_moments(values[:, ordered])} if names else {},
    )


def shared_by_all(measured: Measured) -> tuple[tuple[str, ...], CompleteMoments | None]:
    """The set of two raters or more with the most samples that all of them rated, and the moments of these; a single
    rater's where nobody rated beside another."""
    if not measured.complete:
        return (), None
    names = max(measured.complete, key=lambda names: (len(names) > 1, measured.complete[names].n, len(names)))
    return names, measured.complete[names]


def lag_seconds() -> FloatArray:
    """The lags, `[lag]`."""
    return np.asarray(np.arange(-MOST_LAGS, MOST_LAGS + 1) * LAG_STEP_SECONDS, dtype=np.float64)
