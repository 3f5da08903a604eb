"""Ratings: a wide CSV (time, then one column per rater) becomes a long table with exact times.

    time;FM1 ;FM2 ;FF1
    0;0.1;;-0.25
    0.04;0.12;0;-0.25

`,` or `;`; spaces around rater names are dropped (RECOLA has one behind every name but the last). A whole file is
read at once; only when something is wrong is it read again, line by line, to say what and where.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from schemas.errors import Problem
from schemas.tables import RATINGS
from tasks.ingest.corpus import Scale, printable, problem

TIME_NAMES = frozenset(
    {"time", "times", "timestamp", "time_seconds", "time_s", "time (s)", "time [s]", "t", "sec", "seconds", "frametime"}
)
"""Lower-case names of the first column. Its unit is seconds, whatever it is called."""

MAX_PROBLEMS = 20
"""Problems told of one file; further ones are counted."""


@dataclass(frozen=True)
class RatingTraces:
    """The ratings of one recording as they stand in its file.

    `time_seconds` [sample], strictly increasing; `original` [sample, rater] on the file's own scale (min, max), NaN
    where a cell is empty; `raters` in the file's order.
    """

    time_seconds: npt.NDArray[np.float64]
    original: npt.NDArray[np.float64]
    raters: tuple[str, ...]
    scale: Scale

    def rescaled(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """The values on [-1, 1], and which of them are imputed.

        value = 2 (original - min) / (max - min) - 1; a scale of -1..1 is left as it is, to the bit. Before a rater's
        first sample the value is 0, after the last it repeats: both are imputed. Empty cells in between stay NaN, as
        does a rater without any sample.

        Returns: values [sample, rater], is_imputed [sample, rater].
        """
        low, high = self.scale
        values = self.original.copy() if (low, high) == (-1, 1) else 2 * (self.original - low) / (high - low) - 1
        given = ~np.isnan(self.original)
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


def read_traces(path: Path, *, scale: Scale, recording_id: str) -> tuple[RatingTraces | None, list[Problem]]:
    """Read and check a file of ratings.

    Args:
        path: the CSV, UTF-8; its first column is the time in seconds, each other one a rater.
        scale: (min, max) that every value must lie in, ends included.
        recording_id: whose ratings; goes into the problems.

    Returns: the traces, or None and the problems (severity `failed`): unreadable, not UTF-8, no header, no raters, a
        rater twice or without a name, no rows, no ratings, ragged rows, cells that are no finite number, values
        outside the scale, times that do not strictly increase. After `MAX_PROBLEMS` only their number is told.
    """
    header, problems = _header(path, recording_id)
    if header is None:
        return None, problems
    traces = _read_fast(header, scale)
    if traces is not None:
        return traces, []
    every = list(_explain(header, path, scale, recording_id))
    if not every:  # right, but written unusually: blank cells of several spaces, exotic white space
        traces = _read_fast(_stripped(header), scale)
        if traces is not None:
            return traces, []
        every = [problem("failed", recording_id, path, "a plain CSV of numbers", "one that cannot be read")]
    if len(every) > MAX_PROBLEMS:
        more = len(every) - MAX_PROBLEMS
        every = every[:MAX_PROBLEMS]
        every.append(problem("failed", recording_id, path, "no further problems", f"{more} more of this kind"))
    return None, every


@dataclass(frozen=True)
class _Header:
    delimiter: str
    raters: tuple[str, ...]
    body: str
    """Everything below the header."""


def _header(path: Path, recording_id: str) -> tuple[_Header | None, list[Problem]]:
    def failed(expected: str, found: str, line: int | None = 1) -> tuple[None, list[Problem]]:
        return None, [problem("failed", recording_id, path, expected, found, line=line)]

    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        return failed("a readable file of ratings", error.strerror or str(error), None)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return failed("text in UTF-8; save the file again as UTF-8", f"byte 0x{error.object[error.start]:02x}", line)
    first, _, body = text.replace("\r\n", "\n").replace("\r", "\n").partition("\n")
    if not first.strip():
        return failed(
            "a header: time, then the raters' names", "an empty file" if not text.strip() else "an empty line"
        )
    delimiter = ";" if first.count(";") >= first.count(",") else ","
    names = [name.strip() for name in _cells(first, delimiter)]
    problems: list[Problem] = []
    if names[0].lower() not in TIME_NAMES:
        expected = f"a header whose first column is the time in seconds ({', '.join(sorted(TIME_NAMES))})"
        problems += failed(expected, repr(names[0]))[1]
    if len(names) == 1:
        problems += failed("at least one rater's column, separated by , or ;", f"only {names[0]!r}")[1]
    for column, name in enumerate(names[1:], start=2):
        if not name:
            problems += failed("a rater's name above every column", f"none above column {column}")[1]
        elif name in names[1 : column - 1]:
            problems += failed("every rater once", f"{name!r} again in column {column}")[1]
    if problems:
        return None, problems
    return _Header(delimiter, tuple(names[1:]), body), []


def _read_fast(header: _Header, scale: Scale) -> RatingTraces | None:
    """The traces if everything about the body is right, else None."""
    names = [str(column) for column in range(len(header.raters) + 1)]
    try:
        table = pacsv.read_csv(
            io.BytesIO(header.body.encode()),
            read_options=pacsv.ReadOptions(column_names=names, use_threads=False, block_size=1 << 24),
            parse_options=pacsv.ParseOptions(delimiter=header.delimiter, newlines_in_values=False),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.float64()), null_values=["", " "], strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid:
        return None
    times = table.column(0)
    if table.num_rows == 0 or times.null_count:
        return None
    seconds = times.to_numpy()
    columns = table.columns[1:]
    original = np.column_stack([column.to_numpy() for column in columns])
    given = original[~np.isnan(original)]
    empty = sum(column.null_count for column in columns)
    ok = (
        len(given) > 0
        and len(given) + empty == original.size  # no NaN that was written as one
        and bool(np.isfinite(seconds).all())
        and bool((np.diff(seconds) > 0).all())
        and bool(((given >= scale[0]) & (given <= scale[1])).all())
    )
    return RatingTraces(seconds, original, header.raters, scale) if ok else None


def _cells(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:  # a cell of over 128 KiB: no number in any case
        return text.split(delimiter)


def _stripped(header: _Header) -> _Header:
    rows = (_cells(text, header.delimiter) for text in header.body.split("\n") if text.strip())
    body = "\n".join(header.delimiter.join(cell.strip() for cell in cells) for cells in rows)
    return _Header(header.delimiter, header.raters, body)


def _explain(header: _Header, path: Path, scale: Scale, recording_id: str) -> Iterator[Problem]:
    """Every problem of the body, line by line. The slow twin of `_read_fast`, for files that it refused."""

    def failed(line: int | None, expected: str, found: str) -> Problem:
        return problem("failed", recording_id, path, expected, found, line=line)

    names = ("time", *header.raters)
    previous = -math.inf
    num_rows = num_values = 0
    for line, text in enumerate(header.body.split("\n"), start=2):
        if not text.strip():
            continue
        num_rows += 1
        cells = _cells(text, header.delimiter)
        if len(cells) != len(names):
            yield failed(line, f"{len(names)} cells separated by {header.delimiter}", f"{len(cells)}")
            continue
        for column, (name, cell) in enumerate(zip(names, cells, strict=True)):
            value = _number(cell)
            is_time = column == 0
            if not cell.strip() and not is_time:
                continue
            num_values += not is_time
            if value is None:
                hint = " (write decimals with a point)" if "," in cell else ""
                yield failed(line, f"a finite number in column {name!r}{hint}", repr(cell[:40]))
            elif is_time:
                if value <= previous:
                    yield failed(line, f"a time after {previous!r} s", repr(value))
                previous = value
            elif not scale[0] <= value <= scale[1]:
                yield failed(line, f"a value in [{scale[0]:g}, {scale[1]:g}] in column {name!r}", repr(value))
    if num_rows == 0:
        yield failed(None, "at least one row below the header", "none")
    elif num_values == 0:
        yield failed(None, "at least one rating", "empty cells only")


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def describe(problems: list[Problem], path: Path) -> str:
    """One message for a file's problems."""
    lines = "\n".join(f"  {found}" for found in problems)
    return f"{printable(path)}: ratings cannot be used; correct the file and run again\n{lines}"
