"""Moments of a partition: every recording is read once, and only sums of it stay."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.metrics import Moments, mean_known, moments, no_moments, placed, stacked
from tasks.evaluation.predictors import Entry, Predictor
from tasks.evaluation.targets import TargetsOf
from tasks.ingest.recordings import Recording

FloatArray = npt.NDArray[np.float64]

_MOST_THREADS = 4  # recordings in memory at a time


@dataclass(frozen=True)
class Column:
    """What has a score: a rater or a gold standard, and the positions of its entries."""

    name: str
    target: str
    at: tuple[int, ...]


@dataclass(frozen=True)
class Gathered:
    """Moments `[recording, entry]` of one predictor on one partition; `present`: it has that entry."""

    recording_ids: tuple[str, ...]
    entries: tuple[Entry, ...]
    moments: Moments
    present: npt.NDArray[np.bool_]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Raters in the order of their files, then gold standards."""
        places: dict[tuple[str, str], list[int]] = {}
        for at, entry in enumerate(self.entries):
            places.setdefault((entry.column, entry.target), []).append(at)
        ordered = sorted(places.items(), key=lambda item: item[0][1] != "rater")
        return tuple(Column(name, target, tuple(at)) for (name, target), at in ordered)

    def only(self, recording_ids: Sequence[str], entries: Sequence[Entry]) -> Gathered:
        """These recordings and entries alone, in this order."""
        rows = [self.recording_ids.index(name) for name in recording_ids]
        places = [self.entries.index(entry) for entry in entries]
        at = np.ix_(rows, places)
        return Gathered(tuple(recording_ids), tuple(entries), self.moments[at], self.present[at])


def gather(recordings: Sequence[Recording], predictor: Predictor, targets_of: TargetsOf) -> Gathered | None:
    """Moments of every recording that the predictor has something to say of; None if there is none.

    Args:
        recordings: the rated ones of a partition.
        predictor: what is scored.
        targets_of: reads what it is held against.
    """

    def one(recording: Recording) -> tuple[str, tuple[Entry, ...], Moments] | None:
        pairs = predictor.pairs(targets_of(recording.recording_id))
        if pairs is None:
            return None
        return recording.recording_id, pairs.entries, moments(pairs.predicted, pairs.given)

    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        found = [part for part in pool.map(one, recordings) if part is not None]
    if not found:
        return None
    entries, of = aligned([(entries, part) for _, entries, part in found])
    present = np.array([[entry in own for entry in entries] for _, own, _ in found])
    return Gathered(tuple(name for name, _, _ in found), entries, of, present)


def aligned(parts: Sequence[tuple[tuple[Entry, ...], Moments]]) -> tuple[tuple[Entry, ...], Moments]:
    """Moments `[..., entry]` of several recordings, whose entries may differ, as `[recording, ..., entry]`.

    An entry that a recording lacks has no samples there.
    """
    if not parts:
        return (), no_moments((0, 1, 0))
    entries = tuple(dict.fromkeys(entry for one, _ in parts for entry in one))
    return entries, stacked([of if one == entries else _widened(one, of, entries) for one, of in parts])


def _widened(own: tuple[Entry, ...], of: Moments, entries: tuple[Entry, ...]) -> Moments:
    places = [entries.index(entry) for entry in own]
    return placed(of, (..., places), (*of.n.shape[:-1], len(entries)))


def by_column(values: FloatArray, columns: Sequence[Column]) -> FloatArray:
    """`[..., entry]` to `[..., column]`: the mean over a column's members that have a value."""
    return np.stack([mean_known(values[..., list(column.at)], axis=-1) for column in columns], axis=-1)


def with_mean(values: FloatArray, columns: Sequence[Column]) -> FloatArray:
    """`[..., column]` with the mean over raters as one more column; as it is where no rater stands apart."""
    raters = [at for at, column in enumerate(columns) if column.target == "rater"]
    return np.concatenate([values, mean_known(values[..., raters], axis=-1)[..., None]], axis=-1) if raters else values
