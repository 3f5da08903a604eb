"""Prediction against rating as a picture of densities: how many samples fall in each cell of a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.report.held import Held

FINE = 120
"""Cells along each axis of -1 to 1, before the picture is cut to what is occupied."""
MOST = 60
LEVELS = 5


@dataclass(frozen=True)
class Scatter:
    """One column's density: cells `[prediction, rating]` over `low` to `high` on both axes, darkness 0 to `LEVELS`."""

    column: str
    low: float
    high: float
    levels: tuple[tuple[int, ...], ...]
    n: int
    num_outside: int
    """Samples beyond -1 to 1, counted at the edge."""


class ScatterSums:
    """Counts over recordings, of which only these stay."""

    def __init__(self) -> None:
        self._counts: dict[str, NDArray[np.int64]] = {}
        self._outside: dict[str, int] = {}

    def add(self, held: Held) -> None:
        """One recording: every column that is scored."""
        import numpy as np

        for row, column in enumerate(held.columns):
            known = np.isfinite(held.predicted[row]) & np.isfinite(held.given[row])
            rating, prediction = held.given[row][known], held.predicted[row][known]
            place = [np.clip(((v + 1) / 2 * FINE).astype(np.int64), 0, FINE - 1) for v in (prediction, rating)]
            counts = np.bincount(place[0] * FINE + place[1], minlength=FINE * FINE).reshape(FINE, FINE)
            self._counts[column] = self._counts.get(column, 0) + counts
            outside = int(((np.abs(prediction) > 1) | (np.abs(rating) > 1)).sum())
            self._outside[column] = self._outside.get(column, 0) + outside

    def told(self) -> tuple[Scatter, ...]:
        """A picture of each column that has samples, all cut to the same square."""
        import numpy as np

        found = {column: counts for column, counts in self._counts.items() if counts.any()}
        if not found:
            return ()
        total = np.sum(list(found.values()), axis=0)
        used = np.flatnonzero(total.any(axis=0) | total.any(axis=1))
        first, last = int(used[0]) // 2 * 2, -(-(int(used[-1]) + 1) // 2) * 2
        factor = 1 if last - first <= MOST else 2
        low, high = (-1 + 2 * edge / FINE for edge in (first, last))
        return tuple(
            Scatter(
                column, low, high, _levels(counts[first:last, first:last], factor), int(counts.sum()),
                self._outside[column],
            )
            for column, counts in found.items()
        )  # fmt: skip


def _levels(counts: NDArray[np.int64], factor: int) -> tuple[tuple[int, ...], ...]:
    """Darkness by the logarithm of the count, in cells `factor` times as large."""
    side = counts.shape[0] // factor
    coarse = counts.reshape(side, factor, side, factor).sum(axis=(1, 3))
    top = math.log1p(float(coarse.max()))
    return tuple(
        tuple(math.ceil(LEVELS * math.log1p(int(count)) / top) if count else 0 for count in row) for row in coarse
    )
