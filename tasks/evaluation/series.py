"""Predictions as the evaluation reads them, and where they meet labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.labels import frames_at_labels
from schemas.tables import PREDICTIONS
from tasks.store.layout import Store
from tasks.store.parts import holds_only, read_table

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """One recording: `times` [frame] in seconds, `values` [rater, frame], NaN where there is no prediction."""

    raters: tuple[str, ...]
    times: FloatArray
    values: FloatArray


def read_predictions(store: Store, model_id: str, recording_id: str, dimension: str) -> Predictions | None:
    """A model's predictions of one recording, None if there are none."""
    path = store.predictions(model_id, recording_id)
    if not path.exists():
        return None
    columns = ["dimension", "rater", "time_seconds", "value"]
    table = read_table(path, PREDICTIONS, columns, encoded=["dimension", "rater"])
    if not holds_only(table.column("dimension"), dimension):
        table = table.filter(pc.equal(table.column("dimension").cast(pa.string()), dimension))
    raters = tuple(pc.unique(table.column("rater")).to_pylist())
    if not raters:
        return None
    frames = table.num_rows // len(raters)
    values = table.column("value").to_numpy().reshape(len(raters), frames)
    return Predictions(raters, table.column("time_seconds").to_numpy()[:frames], values)


class Matcher:
    """Frames at labels, remembered: recordings of a corpus mostly share their times. One for each thread."""

    def __init__(self) -> None:
        self._times: tuple[FloatArray, FloatArray] = (np.empty(0), np.empty(0))
        self._found: dict[float, IntArray] = {}

    def at_labels(
        self, label_times: FloatArray, frame_times: FloatArray, values: FloatArray, *, delay_seconds: float
    ) -> FloatArray:
        """`values` [series, frame] at each label, `[series, label]`; NaN where no frame is near enough."""
        labels, frames = self._times
        if not (np.array_equal(labels, label_times) and np.array_equal(frames, frame_times)):
            self._times, self._found = (label_times, frame_times), {}
        if delay_seconds not in self._found:
            self._found[delay_seconds] = frames_at_labels(label_times, frame_times, delay_seconds=delay_seconds)
        match = self._found[delay_seconds]
        if not frame_times.size:
            return np.full((values.shape[0], label_times.size), np.nan)
        found = values.take(np.maximum(match, 0), axis=1)
        found[:, match < 0] = np.nan
        return found
