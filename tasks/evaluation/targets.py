"""What predictions are held against: raters apart, and gold standards made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.gold import GoldStandard, fuse
from schemas.evaluation import Fusion, Gold
from tasks.ingest.recordings import NOT_RATED, read_gold_standard, read_ratings_wide
from tasks.store.layout import Store

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Targets:
    """One recording: `times` [label] in seconds, `ratings` [rater, label], NaN where missing.

    `fused` are gold standards by name, with their weights; `shipped` `[label]` is the corpus's own, None where the
    protocol does not ask for it and NaN where there is none; `apart`: the raters themselves are targets.
    """

    recording_id: str
    times: FloatArray
    raters: tuple[str, ...]
    ratings: FloatArray
    fused: dict[str, GoldStandard]
    apart: bool
    shipped: FloatArray | None = None

    @property
    def golds(self) -> dict[str, FloatArray]:
        """The series of the gold standards, `[label]`, NaN where nobody has a value."""
        shipped = {} if self.shipped is None else {"corpus": self.shipped}
        return {name: made.values for name, made in self.fused.items()} | shipped

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
        gold: which targets; `none` is every rater apart, `corpus` the gold standard that the corpus ships.
    """
    golds: list[Fusion] = [name for name in gold if name != "none" and name != "corpus"]

    def read(recording_id: str) -> Targets:
        rated = store.ratings(recording_id).exists()  # else the corpus has a gold standard of it and no more
        wide = read_ratings_wide(store, recording_id, dimension) if rated else NOT_RATED
        ratings = np.ascontiguousarray(wide.values.T)
        made = {str(name): fuse(ratings.T, name) for name in golds} if wide.raters else {}
        targets = Targets(recording_id, wide.times, wide.raters, ratings, made, "none" in gold)
        return _with_shipped(store, targets, dimension) if "corpus" in gold else targets

    return read


def _with_shipped(store: Store, targets: Targets, dimension: str) -> Targets:
    """With the corpus's own gold standard, at its own times: where raters have others, each keeps to its own labels."""
    found = read_gold_standard(store, targets.recording_id, dimension)
    if found is None:
        return replace(targets, shipped=np.full(targets.times.size, np.nan))
    times = np.union1d(targets.times, found.times)
    rated, given = np.searchsorted(times, targets.times), np.searchsorted(times, found.times)

    def spread(series: FloatArray, places: npt.NDArray[np.int64]) -> FloatArray:
        wide = np.full((*series.shape[:-1], times.size), np.nan)
        wide[..., places] = series
        return wide

    return replace(
        targets,
        times=times,
        ratings=spread(targets.ratings, rated),
        fused={name: replace(made, values=spread(made.values, rated)) for name, made in targets.fused.items()},
        shipped=spread(found.values[:, 0], given),
    )


def gold_of(ratings: FloatArray, name: Fusion) -> FloatArray:
    """A gold standard of `ratings` [rater, label]: `[label]`, NaN where nobody has a value."""
    return fuse(ratings.T, name).values
