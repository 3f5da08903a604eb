"""Where the errors are: by time since the start, and by how long no face had been found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.report.quality import Span

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tasks.report.held import Held

    FloatArray = NDArray[np.float64]

TIME_BINS = 20
LOST_SECONDS = (1.0, 5.0)
"""Edges between short, longer and long absence of a face."""
LOST_WORDS = ("face found", "no face for up to 1 s", "no face for 1 to 5 s", "no face for longer than 5 s")


@dataclass(frozen=True)
class ErrorBin:
    """Root mean square errors of the samples of one bin, None without samples; `n` of the model's."""

    label: str
    start: float
    n: int
    rmse: float | None
    single: float | None
    bias: float | None
    """Mean of prediction - rating of the model."""


@dataclass(frozen=True)
class Errors:
    """On one partition, all columns that are averaged together."""

    partition: str
    width_seconds: float
    by_time: tuple[ErrorBin, ...]
    by_face: tuple[ErrorBin, ...]


class ErrorSums:
    """Sums over recordings, of which only these stay."""

    def __init__(self, partition: str, longest_seconds: float) -> None:
        """`longest_seconds`: of the partition's recordings; the bins of time reach so far."""
        import numpy as np

        self._partition, self._width = partition, _round_width(longest_seconds / TIME_BINS)
        self._time, self._face = np.zeros((6, TIME_BINS)), np.zeros((6, len(LOST_WORDS)))

    def add(self, held: Held, gaps: Sequence[Span] | None) -> None:
        """One recording; `gaps` where no face was found, None where that is not known."""
        import numpy as np

        at = np.clip((held.times / self._width).astype(np.int64), 0, TIME_BINS - 1)
        for row in range(held.num_apart):
            sums = _sums(held, row)
            self._time += _binned(at, sums, TIME_BINS)
            if gaps is not None:
                self._face += _binned(lost(held.times - held.delays[row], gaps), sums, len(LOST_WORDS))

    def told(self) -> Errors:
        """What they come to."""
        starts = [number * self._width for number in range(TIME_BINS)]
        by_time = [_bin(f"{start:g}", start, self._time[:, at]) for at, start in enumerate(starts)]
        while by_time and by_time[-1].n == 0:
            by_time.pop()
        by_face = [_bin(words, 0.0, self._face[:, at]) for at, words in enumerate(LOST_WORDS)]
        return Errors(self._partition, self._width, tuple(by_time), tuple(by_face))


def lost(times: FloatArray, gaps: Sequence[Span]) -> NDArray[np.int64]:
    """For each time the position in `LOST_WORDS`: by how long before it the face was lost, half-open gaps.

    Args:
        times: `[sample]` seconds, of the frames.
        gaps: spans without a face, in order.
    """
    import numpy as np

    found = np.zeros(times.shape, np.int64)
    for start, end in gaps:
        inside = (times >= start - 1e-6) & (times < end - 1e-6)
        found[inside] = 1 + np.searchsorted(LOST_SECONDS, times[inside] - start + 1e-6, side="right")
    return found


def _sums(held: Held, row: int) -> FloatArray:
    """Of each sample: n, squared error, error; the same of the single-frame model (no error): `[6, sample]`."""
    import numpy as np

    error, single = held.predicted[row] - held.given[row], held.single[row] - held.given[row]
    known, also = np.isfinite(error), np.isfinite(single)
    error, single = np.where(known, error, 0.0), np.where(also, single, 0.0)
    return np.stack([known, error**2, error, also, single**2, single]).astype(np.float64)


def _binned(index: NDArray[np.int64], sums: FloatArray, num_bins: int) -> FloatArray:
    import numpy as np

    return np.stack([np.bincount(index, weights=row, minlength=num_bins) for row in sums])


def _bin(label: str, start: float, sums: FloatArray) -> ErrorBin:
    n, squared, error, also, single, _ = (float(value) for value in sums)
    return ErrorBin(
        label=label,
        start=start,
        n=int(n),
        rmse=(squared / n) ** 0.5 if n else None,
        single=(single / also) ** 0.5 if also else None,
        bias=error / n if n else None,
    )


def _round_width(seconds: float) -> float:
    """The next round number of seconds."""
    steps = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
    return next((step for step in steps if step >= seconds - 1e-9), seconds)
