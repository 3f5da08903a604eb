"""Whatever is scored: a model, what never looks at a face, and people against each other. All as series at labels."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from models.labels import median_step
from models.metrics import mean_known
from models.postprocessing import Chain
from schemas.evaluation import Fusion
from tasks.evaluation.plan import HUMAN_ONE, TRAINING_MEAN
from tasks.evaluation.series import Matcher, Predictions, read_predictions
from tasks.evaluation.smoothing import median_filtered
from tasks.evaluation.targets import Targets, gold_of
from tasks.store.layout import Store

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """One series against another. A column's score is the mean over its members: of people, each is one person."""

    column: str
    target: Literal["rater", "gold"]
    member: str = ""


@dataclass(frozen=True)
class Pairs:
    """`predicted` and `given` are [entry, label]."""

    entries: tuple[Entry, ...]
    predicted: FloatArray
    given: FloatArray


class Predictor(Protocol):
    """Gives the pairs of one recording; None where it has nothing to say of it. Called from several threads."""

    def pairs(self, targets: Targets) -> Pairs | None: ...


def outputs(predictions: Predictions, targets: Targets) -> tuple[tuple[Entry, ...], FloatArray]:
    """A model's series at frames, `[entry, frame]`: its output for each rater scored; for a gold their mean."""
    raters = [name for name in targets.raters if name in predictions.raters] if targets.apart else []
    rows = [predictions.values[predictions.raters.index(name)] for name in raters]
    if targets.golds:
        rows += [mean_known(predictions.values, axis=0)] * len(targets.golds)
    entries = (*(Entry(name, "rater") for name in raters), *(Entry(name, "gold") for name in targets.golds))
    return entries, np.array(rows).reshape(len(rows), predictions.times.size)


def given_of(targets: Targets, entries: Sequence[Entry]) -> FloatArray:
    """What the entries are held against, `[entry, label]`."""
    rows = [targets.golds[e.column] if e.target == "gold" else targets.rating(e.column) for e in entries]
    return np.array(rows).reshape(len(rows), targets.times.size)


class ModelPredictor:
    """Stored predictions, through their chains, later by the delay that the labels were moved earlier by."""

    def __init__(
        self, store: Store, model_id: str, dimension: str, *, delays: Mapping[str, float], chains: Mapping[str, Chain]
    ) -> None:
        """`delays` by rater (0 where none stands); `chains` by column (none where none stands)."""
        self._store, self._model_id, self._dimension = store, model_id, dimension
        self._delays, self._chains = delays, chains
        self._local = threading.local()

    def with_chains(self, chains: Mapping[str, Chain]) -> ModelPredictor:
        """The same predictions through these chains."""
        return ModelPredictor(self._store, self._model_id, self._dimension, delays=self._delays, chains=chains)

    def pairs(self, targets: Targets) -> Pairs | None:
        predictions = read_predictions(self._store, self._model_id, targets.recording_id, self._dimension)
        if predictions is None:
            return None
        entries, values = outputs(predictions, targets)
        if not entries:
            return None
        chains = [self._chains.get(entry.column, Chain()) for entry in entries]
        values = chained(values, chains, step_seconds=median_step(predictions.times))
        delays = [self.delay(e) + chain.shift_seconds for e, chain in zip(entries, chains, strict=True)]
        return Pairs(entries, self.at_labels(targets, predictions.times, values, delays), given_of(targets, entries))

    def delay(self, entry: Entry) -> float:
        """Seconds that an entry's predictions shift later by; for a gold standard the mean over raters."""
        if entry.target == "gold":
            return float(np.mean(list(self._delays.values()))) if self._delays else 0.0
        return self._delays.get(entry.column, 0.0)

    def at_labels(
        self, targets: Targets, frame_times: FloatArray, values: FloatArray, delays: Sequence[float]
    ) -> FloatArray:
        """`values` [entry, frame] at labels, each entry by its own delay: `[entry, label]`."""
        if not hasattr(self._local, "matcher"):
            self._local.matcher = Matcher()
        matcher: Matcher = self._local.matcher
        if len(set(delays)) == 1:
            return matcher.at_labels(targets.times, frame_times, values, delay_seconds=delays[0])
        rows = [
            matcher.at_labels(targets.times, frame_times, values[at : at + 1], delay_seconds=delay)[0]
            for at, delay in enumerate(delays)
        ]
        return np.array(rows)


def chained(values: FloatArray, chains: Sequence[Chain], *, step_seconds: float) -> FloatArray:
    """`values` [entry, frame] filtered, scaled and moved as their chains say; the shift in time is left to matching."""
    if all(chain.median_seconds == 0 and chain.scale == 1 and chain.offset == 0 for chain in chains):
        return values
    rows = []
    for row, chain in zip(values, chains, strict=True):
        smooth = median_filtered(row, chain.median_seconds, step_seconds=step_seconds) if chain.median_seconds else row
        rows.append(chain.scale * smooth + chain.offset)
    return np.array(rows)


class TrivialPredictor:
    """Knows only the training ratings: each column's mean, or its mean curve over time since start."""

    def __init__(self, kind: str, training: Iterator[Targets]) -> None:
        self._kind = kind
        self._curves: dict[str, _Curve] = {}
        for targets in training:
            for entry in _entries(targets):
                given = given_of(targets, [entry])[0]
                self._curves.setdefault(entry.column, _Curve(median_step(targets.times))).add(targets.times, given)

    def pairs(self, targets: Targets) -> Pairs | None:
        entries = tuple(e for e in _entries(targets) if e.column in self._curves and self._curves[e.column].count)
        if not entries:
            return None
        rows = []
        for entry in entries:
            curve = self._curves[entry.column]
            flat = np.full(targets.times.shape, curve.mean)
            rows.append(flat if self._kind == TRAINING_MEAN else curve.at(targets.times))
        return Pairs(entries, np.array(rows), given_of(targets, entries))


class _Curve:
    """Mean over recordings at each time since start, on a grid of the labels' own step; only sums are kept.

    The grid begins at `_first` steps, below 0 where ratings begin before the video.
    """

    def __init__(self, step_seconds: float) -> None:
        self._step = round(step_seconds, 9) or 1.0
        self._first, self._total, self._known = 0, np.zeros(0), np.zeros(0)
        self._sum, self.count = 0.0, 0

    @property
    def mean(self) -> float:
        return self._sum / self.count

    def add(self, times: FloatArray, values: FloatArray) -> None:
        known = ~np.isnan(values)
        if not known.any():
            return
        times, values = times[known], values[known]
        self._sum += float(values.sum())
        self.count += values.size
        first, last = int(np.ceil(times[0] / self._step - 1e-6)), int(np.floor(times[-1] / self._step + 1e-6))
        if last < first:  # a single rating, between two points of the grid
            return
        if not self._total.size:
            self._first = first
        more = max(self._first - first, 0), max(last + 1 - self._first - self._total.size, 0)
        self._total, self._known = (np.pad(each, more) for each in (self._total, self._known))
        self._first -= more[0]
        grid = np.arange(first, last + 1)
        self._total[grid - self._first] += np.interp(self._times(grid), times, values)
        self._known[grid - self._first] += 1

    def _times(self, grid: npt.NDArray[np.int_]) -> FloatArray:
        return np.round(grid * self._step, 9)  # .12 and not 3 * .04, so that a label at .12 meets its own value

    def at(self, times: FloatArray) -> FloatArray:
        """The curve, and the overall mean where no training recording reaches."""
        covered = np.flatnonzero(self._known)
        if not covered.size:
            return np.full(times.shape, self.mean)
        grid = self._times(covered + self._first)
        curve = np.interp(times, grid, self._total[covered] / self._known[covered])
        beyond = (times < grid[0] - 1e-6) | (times > grid[-1] + 1e-6)
        return np.where(beyond, self.mean, curve)


class HumanPredictor:
    """People as predictors of people: `human-one`, one rater of another; `human-rest`, the mean of all others of one.

    For a gold standard each rater stands against the gold standard of the others: nobody is held against a series that
    they are part of.
    """

    def __init__(self, kind: str, golds: Sequence[Fusion]) -> None:
        self._kind, self._golds = kind, golds

    def pairs(self, targets: Targets) -> Pairs | None:
        found = list(self._against_one(targets) if self._kind == HUMAN_ONE else self._against_the_rest(targets))
        if not found:
            return None
        entries, predicted, given = zip(*found, strict=True)
        return Pairs(tuple(entries), np.array(predicted), np.array(given))

    def _against_one(self, targets: Targets) -> Iterator[tuple[Entry, FloatArray, FloatArray]]:
        for rater in targets.raters if targets.apart else ():
            for other in targets.raters:
                if other != rater:
                    yield Entry(rater, "rater", other), targets.rating(other), targets.rating(rater)

    def _against_the_rest(self, targets: Targets) -> Iterator[tuple[Entry, FloatArray, FloatArray]]:
        if len(targets.raters) < 2:
            return
        for at, rater in enumerate(targets.raters):
            others = np.delete(targets.ratings, at, axis=0)
            if targets.apart:
                yield Entry(rater, "rater"), mean_known(others, axis=0), targets.rating(rater)
            for name in self._golds:
                gold = gold_of(others, name)
                yield Entry(name, "gold", rater), targets.rating(rater), gold


def _entries(targets: Targets) -> tuple[Entry, ...]:
    raters = targets.raters if targets.apart else ()
    return (*(Entry(name, "rater") for name in raters), *(Entry(name, "gold") for name in targets.golds))
