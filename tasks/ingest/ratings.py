"""Ratings of any layout become a long table with exact times.

    time;FM1 ;FM2 ;FF1          time,rater,value,dimension         @attribute frameTime numeric
    0;0.1;;-0.25                0.1,anna,5,valence                 @attribute GoldStandard numeric
    0.04;0.12;0;-0.25           0.3,ben,4,valence                  @data

Delimited text, ARFF or Parquet, wide or long, told apart by their content. Spaces around names are dropped (RECOLA has
one behind every name but the last). Irregular times are brought onto a grid (`models.resampling`).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.labels import median_step
from models.resampling import grid_times, is_regular, on_grid
from schemas.errors import Problem
from schemas.tables import GOLD_STANDARDS, RATINGS
from tasks.ingest.corpus import RatingsFile, Scale, printable
from tasks.ingest.ratings_columns import GOLD_NAMES, Cells
from tasks.ingest.ratings_parquet import is_parquet, read_parquet
from tasks.ingest.ratings_text import Failed, failing, open_text, read_cells

MAX_PROBLEMS = 20
"""Problems told of one file; further ones are counted."""

MAX_SAMPLES = 10_000_000
"""Most samples of one rater on a grid: over four days at 25 Hz."""

_MEETING = 0.5  # two raters share a grid if they meet at half of their samples, of those of the one with fewer
_FEWEST = 10  # samples by which that can be told


@dataclass(frozen=True)
class RatingTraces:
    """The ratings of one recording in one dimension, as they stand in its file.

    `time_seconds` [sample], strictly increasing; `original` [sample, rater] on the file's own scale (min, max), NaN
    where nothing was rated; `raters` in the file's order. Where irregular times were brought onto a grid, `original`
    holds the means of the bins, `interpolated` what stands in empty ones inside a rater's range, on the same scale, and
    `resampled_hz` the grid's rate.
    """

    time_seconds: npt.NDArray[np.float64]
    original: npt.NDArray[np.float64]
    raters: tuple[str, ...]
    scale: Scale
    interpolated: npt.NDArray[np.float64] | None = None
    resampled_hz: float | None = None

    def rescaled(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """The values on [-1, 1], and which of them are imputed.

        value = 2 (original - min) / (max - min) - 1; a scale of -1..1 is left as it is, to the bit. Before a rater's
        first sample the value is 0, after the last it repeats: both are imputed. Empty cells in between stay NaN, as
        does a rater without any sample.

        Returns: values [sample, rater], is_imputed [sample, rater].
        """
        low, high = self.scale
        known = self.original if self.interpolated is None else self.interpolated
        values = known.copy() if (low, high) == (-1, 1) else 2 * (known - low) / (high - low) - 1
        given = ~np.isnan(known)
        samples = np.arange(len(given))[:, np.newaxis]
        first = np.where(given.any(axis=0), given.argmax(axis=0), len(given))
        last = np.where(given.any(axis=0), len(given) - 1 - given[::-1].argmax(axis=0), len(given))
        before = (samples < first) & (first < len(given))
        after = samples > last
        values[before] = 0.0
        columns = np.broadcast_to(np.arange(given.shape[1]), given.shape)
        values[after] = values[np.broadcast_to(last, given.shape)[after], columns[after]]
        return values, before | after

    def table(self, recording_id: str, dimension: str) -> pa.Table:
        """The long table, `schemas.tables.RATINGS`: rater by rater in the file's order, each in the order of time."""
        values, is_imputed = self.rescaled()
        num_samples, num_raters = values.shape
        rows = num_samples * num_raters
        values, original = values.T.reshape(-1), self.original.T.reshape(-1)

        def repeated(text: str) -> pa.Array:
            return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [text]).cast(pa.string())

        rater = np.repeat(np.arange(num_raters, dtype=np.int32), num_samples)
        columns = {
            "recording_id": repeated(recording_id),
            "dimension": repeated(dimension),
            "rater": pa.DictionaryArray.from_arrays(rater, list(self.raters)).cast(pa.string()),
            "time_seconds": pa.array(np.tile(self.time_seconds, num_raters)),
            "value": pa.array(values, mask=np.isnan(values)),
            "value_original": pa.array(original, mask=np.isnan(original)),
            "scale_min": pa.array(np.full(rows, self.scale[0], np.float64)),
            "scale_max": pa.array(np.full(rows, self.scale[1], np.float64)),
            "is_imputed": pa.array(is_imputed.T.reshape(-1)),
        }
        return pa.Table.from_arrays([columns[name] for name in RATINGS.names], schema=RATINGS)

    def gold_table(self, recording_id: str, dimension: str) -> pa.Table:
        """The table of a gold standard, `schemas.tables.GOLD_STANDARDS`; its only rater's name becomes its source."""
        table = self.table(recording_id, dimension)
        names = ["source" if name == "rater" else name for name in table.column_names]
        return table.rename_columns(names).select(GOLD_STANDARDS.names).cast(GOLD_STANDARDS)


def read_ratings(
    file: RatingsFile, *, scale: Scale, recording_id: str, is_gold: bool = False
) -> tuple[dict[str, RatingTraces], list[Problem]]:
    """Read and check a file of ratings.

    Args:
        file: the file, and what the corpus says of it.
        scale: (min, max) that every value must lie in, ends included.
        recording_id: whose ratings; goes into the problems.
        is_gold: the file holds one fused series, whatever its column is called.

    Returns: the traces by dimension, at the file's own times, or none and the problems (severity `failed`), each with
        its line: unreadable, not UTF-8, no header, no raters, a rater twice or without a name, no rows, no ratings,
        ragged rows, cells that are no finite number, values outside the scale, times that do not strictly increase, a
        dimension or a recording that the file does not hold, a gold standard among raters. After `MAX_PROBLEMS` only
        their number is told.
    """
    failed = failing(recording_id, file)
    cells, problems = _read(file, scale, failed)
    found: dict[str, RatingTraces] = {}
    if cells is not None:
        found, problems = _traces(cells, file, scale, failed)
        problems += [one for traces in found.values() for one in _gold_problems(traces.raters, is_gold, failed)]
    if len(problems) > MAX_PROBLEMS:
        more = f"{len(problems) - MAX_PROBLEMS} more of this kind"
        problems = [*problems[:MAX_PROBLEMS], failed(None, "no further problems", more)]
    return ({} if problems else found), problems


def _read(file: RatingsFile, scale: Scale, failed: Failed) -> tuple[Cells | None, list[Problem]]:
    try:
        if is_parquet(file.path):
            return read_parquet(file, scale, failed)
        data = file.path.read_bytes()
    except OSError as error:
        return None, [failed(None, "a readable file of ratings", error.strerror or str(error))]
    text, problems = open_text(data, file, failed)
    return read_cells(text, scale, failed) if text is not None else (None, problems)


def _gold_problems(raters: Sequence[str], is_gold: bool, failed: Failed) -> list[Problem]:
    if is_gold and len(raters) != 1:
        return [failed(None, "one column with the gold standard", f"{len(raters)}: {', '.join(raters)}")]
    named = [rater for rater in raters if rater.lower() in GOLD_NAMES]
    if named and not is_gold:
        expected = (
            "raters only; name the file of a gold standard under gold_standard, or, to train on it as on one rater, "
            "call its column by another name"
        )
        return [failed(None, expected, f"{named[0]!r}, which is no rater")]
    return []


def _traces(
    cells: Cells, file: RatingsFile, scale: Scale, failed: Failed
) -> tuple[dict[str, RatingTraces], list[Problem]]:
    """The rows of this recording, split by dimension."""
    chosen = np.ones(len(cells.seconds), dtype=bool)
    if "instance" in cells.texts:
        instances = cells.texts["instance"]
        names = sorted(set(instances))
        if len(names) > 1:  # a file of one recording alone may call it what it likes
            chosen = instances == file.instance
        if not chosen.any():
            return {}, [failed(None, f"rows of {file.instance!r}", f"rows of {', '.join(names[:5])}")]
    if "dimension" not in cells.texts:
        traces, problems = _one_dimension(cells, chosen, file, scale, failed)
        return ({} if traces is None else {file.dimensions[0]: traces}), problems
    dimensions = cells.texts["dimension"]
    found: dict[str, RatingTraces] = {}
    every: list[Problem] = []
    for dimension in file.dimensions:
        rows = chosen & (dimensions == dimension)
        if rows.any():
            traces, problems = _one_dimension(cells, rows, file, scale, failed)
            every += problems
            if traces is not None:
                found[dimension] = traces
    if not found and not every:
        held = ", ".join(sorted(set(dimensions[chosen])))
        every = [failed(None, f"ratings of {' or '.join(file.dimensions)} (or other dimensions in [ingest])", held)]
    return found, every


def _one_dimension(
    cells: Cells, rows: npt.NDArray[np.bool_], file: RatingsFile, scale: Scale, failed: Failed
) -> tuple[RatingTraces | None, list[Problem]]:
    times, values = cells.seconds[rows], cells.values[rows]
    if cells.columns.is_long:
        raters, times, values, problems = _pivoted(times, values[:, 0], cells.texts["rater"][rows], failed)
        if problems:
            return None, problems
    else:
        raters = tuple(cells.columns.columns[place].name for place in cells.columns.places("value"))
        if not (np.diff(times) > 0).all():
            at = int(np.argmin(np.diff(times) > 0))
            return None, [failed(None, f"a time after {float(times[at])!r} s", repr(float(times[at + 1])))]
    return RatingTraces(times, values, raters, scale), []


def on_one_grid(
    traces: Sequence[RatingTraces], file: RatingsFile, *, recording_id: str
) -> tuple[RatingTraces | None, list[Problem]]:
    """The raters of one dimension side by side on one grid: their own where they share one, else they are resampled.

    Args:
        traces: of `read_ratings`, a file each; of one scale, no rater twice.
        file: one of them, for the rate and for problems.
        recording_id: whose ratings; goes into the problems.
    """
    whole = _side_by_side(traces)
    step = _grid_step(whole, file.rate_hz)
    if step is None:
        return whole, []
    covered = float(whole.time_seconds[-1] - whole.time_seconds[0])
    if covered / step > MAX_SAMPLES:
        expected = f"at most {MAX_SAMPLES} labels (times in milliseconds? say time_unit = ms in the manifest)"
        return None, [failing(recording_id, file)(None, expected, f"{covered!r} s at {1 / step:g} Hz")]
    return _resampled(whole, step), []


def _side_by_side(traces: Sequence[RatingTraces]) -> RatingTraces:
    if len(traces) == 1:
        return traces[0]
    times = np.unique(np.concatenate([one.time_seconds for one in traces]))
    original = np.full((times.size, sum(len(one.raters) for one in traces)), np.nan)
    place = 0
    for one in traces:
        original[np.searchsorted(times, one.time_seconds), place : place + len(one.raters)] = one.original
        place += len(one.raters)
    return RatingTraces(times, original, tuple(rater for one in traces for rater in one.raters), traces[0].scale)


def _pivoted(
    times: npt.NDArray[np.float64],
    values: npt.NDArray[np.float64],
    names: npt.NDArray[np.object_],
    failed: Failed,
) -> tuple[tuple[str, ...], npt.NDArray[np.float64], npt.NDArray[np.float64], list[Problem]]:
    """A long table as raters, times `[sample]`, values `[sample, rater]` and problems; its rows may have any order."""
    raters = tuple(dict.fromkeys(names))
    grid, at = np.unique(times, return_inverse=True)
    place = {rater: position for position, rater in enumerate(raters)}
    column = np.array([place[name] for name in names], dtype=np.int64)
    counts = np.bincount(at * len(raters) + column)
    twice = np.flatnonzero(counts > 1)
    problems = [
        failed(
            None,
            f"one value of rater {raters[cell % len(raters)]!r} at {float(grid[cell // len(raters)])!r} s",
            str(counts[cell]),
        )
        for cell in twice.tolist()
    ]
    wide = np.full((len(grid), len(raters)), np.nan)
    wide[at, column] = values
    return raters, grid, wide, problems


def _grid_step(traces: RatingTraces, rate_hz: float | None) -> float | None:
    """The step to resample onto, seconds; None where the times are on a grid already, the wanted one if one is."""
    if traces.time_seconds.size < 2:
        return None
    is_on_grid = is_regular(traces.time_seconds) and _meet(~np.isnan(traces.original))
    if rate_hz is not None:
        step = median_step(traces.time_seconds)
        return None if is_on_grid and abs(step * rate_hz - 1) <= 0.01 else 1 / rate_hz
    if is_on_grid:
        return None
    own = [traces.time_seconds[~np.isnan(column)] for column in traces.original.T]
    return float(f"{np.median([median_step(times) for times in own if times.size > 1]):.3g}")


def _meet(given: npt.NDArray[np.bool_]) -> bool:
    """True unless two raters, where both rate, do so at different times; `given` is `[sample, rater]`."""
    if given.all():
        return True
    rated = [np.flatnonzero(column) for column in given.T]
    for one, other in itertools.combinations([times for times in rated if times.size], 2):
        first, last = max(one[0], other[0]), min(one[-1], other[-1])
        fewest = min(np.searchsorted(times, last + 1) - np.searchsorted(times, first) for times in (one, other))
        if fewest >= _FEWEST and np.intersect1d(one, other, assume_unique=True).size < _MEETING * fewest:
            return False
    return True


def _resampled(traces: RatingTraces, step: float) -> RatingTraces:
    grid = grid_times(float(traces.time_seconds[0]), float(traces.time_seconds[-1]), step)
    original = np.full((grid.size, len(traces.raters)), np.nan)
    interpolated = original.copy()
    for place, column in enumerate(traces.original.T):
        given = ~np.isnan(column)
        if given.any():
            times, values = traces.time_seconds[given], column[given]
            original[:, place], interpolated[:, place] = on_grid(times, values, grid, step)
    rate = float(f"{1 / step:.6g}")
    return dataclasses.replace(
        traces, time_seconds=grid, original=original, interpolated=interpolated, resampled_hz=rate
    )


def describe(problems: list[Problem], path: Path) -> str:
    """One message for a file's problems."""
    lines = "\n".join(f"  {found}" for found in problems)
    return f"{printable(path)}: ratings cannot be used; correct the file and run again\n{lines}"
