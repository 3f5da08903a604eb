"""What predictions are held against: raters apart, and gold standards made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.gold import Fusion, fuse
from schemas.settings import Gold
from tasks.ingest.recordings import read_ratings_wide
from tasks.store.layout import Store

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Targets:
    """One recording: `times` [label] in seconds, `ratings` [rater, label], NaN where missing, `golds` by name [label].

    `apart`: the raters themselves are targets.
    """

    recording_id: str
    times: FloatArray
    raters: tuple[str, ...]
    ratings: FloatArray
    golds: dict[str, FloatArray]
    apart: bool

    def rating(self, rater: str) -> FloatArray:
        """One rater's series."""
        series: FloatArray = self.ratings[self.raters.index(rater)]
        return series


TargetsOf = Callable[[str], Targets]
"""From a recording's id to its targets."""


def targets_of(store: Store, dimension: str, gold: Sequence[Gold]) -> TargetsOf:
    """A reader of targets.

    Args:
        store: ratings are read from it.
        dimension: which ratings.
        gold: which targets; `none` is every rater apart.
    """
    golds: list[Fusion] = [name for name in gold if name != "none"]

    def read(recording_id: str) -> Targets:
        wide = read_ratings_wide(store, recording_id, dimension)
        ratings = np.ascontiguousarray(wide.values.T)
        made: dict[str, FloatArray] = {name: gold_of(ratings, name) for name in golds} if wide.raters else {}
        return Targets(recording_id, wide.times, wide.raters, ratings, made, "none" in gold)

    return read


def gold_of(ratings: FloatArray, name: Fusion) -> FloatArray:
    """A gold standard of `ratings` [rater, label]: `[label]`, NaN where nobody has a value."""
    return fuse(ratings.T, name).values
