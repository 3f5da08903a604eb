"""Parquet with ratings, wide or long."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.errors import Problem
from tasks.ingest.corpus import RatingsFile, Scale
from tasks.ingest.ratings_columns import Cells, Columns, columns_of
from tasks.ingest.ratings_text import Failed, cells_of_table

_MAGIC = b"PAR1"


def is_parquet(path: Path) -> bool:
    """True if the file begins as Parquet does. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_parquet(file: RatingsFile, scale: Scale, failed: Failed) -> tuple[Cells | None, list[Problem]]:
    """The cells of a table, or None and what is wrong with it; `line` is the row, 1-based."""
    try:
        table = pq.ParquetFile(file.path).read()
    except pa.ArrowInvalid as error:
        return None, [failed(None, "a whole Parquet file", str(error))]
    names = [name.strip() for name in table.column_names]
    columns, wrong = columns_of(names, layout=file.layout, time_unit=file.time_unit)
    if columns is None:
        return None, [failed(None, expected, found) for expected, found in wrong]
    arrays = []
    for column, array in zip(columns.columns, table.columns, strict=True):
        kind = pa.string() if column.is_text else pa.float64()
        is_fit = column.is_text or pa.types.is_floating(array.type) or pa.types.is_integer(array.type)
        if not is_fit:
            return None, [failed(None, f"numbers in column {column.name!r}", f"{array.type}")]
        array = pc.cast(array, kind, safe=False)
        if column.kind == "value":  # numpy and polars write a missing number as NaN
            array = pc.if_else(pc.is_nan(array), None, array)
        arrays.append(array)
    table = pa.table(arrays, names=[str(place) for place in range(len(arrays))])
    cells = cells_of_table(table, columns, scale)
    return (cells, []) if cells is not None else (None, _explain(table, columns, scale, failed))


def _explain(table: pa.Table, columns: Columns, scale: Scale, failed: Failed) -> list[Problem]:
    if table.num_rows == 0:
        return [failed(None, "at least one row of ratings", "none")]
    problems = []
    given = 0
    for column, array in zip(columns.columns, table.columns, strict=True):
        present = array.is_valid().to_numpy()
        if column.is_text:
            blank = ~present | (pc.utf8_trim_whitespace(array).fill_null("").to_numpy(zero_copy_only=False) == "")
            problems += _told(blank, array, f"a name in column {column.name!r}", failed)
            continue
        values = array.to_numpy()
        wrong = present & ~np.isfinite(values) if column.kind == "value" else ~np.isfinite(values)
        problems += _told(wrong, array, f"a finite number in column {column.name!r} (null where there is none)", failed)
        if column.kind == "time" and not columns.is_long:
            later = np.concatenate([[True], np.diff(values) > 0]) | ~np.isfinite(values)
            problems += _told(~later, array, "a time after that of the row above", failed)
        if column.kind == "value":
            given += int(present.sum())
            outside = present & np.isfinite(values) & ((values < scale[0]) | (values > scale[1]))
            expected = f"a value in [{scale[0]:g}, {scale[1]:g}] in column {column.name!r}"
            problems += _told(outside, array, expected, failed)
    if not problems and given == 0:
        problems = [failed(None, "at least one rating", "nulls only")]
    return problems


def _told(wrong: np.ndarray, array: pa.ChunkedArray, expected: str, failed: Failed) -> list[Problem]:
    return [failed(row + 1, expected, repr(array[row].as_py())) for row in np.flatnonzero(wrong).tolist()]
