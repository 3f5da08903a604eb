"""Delimited text and ARFF with ratings: a whole file is read at once.

Only when something is wrong is it read again, line by line, to say what and where.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

from schemas.errors import Problem
from tasks.ingest.corpus import RatingsFile, Scale, problem
from tasks.ingest.ratings_columns import Cells, Columns, Kind, columns_of

_DELIMITERS: tuple[str, ...] = (";", ",", "\t", "|")

_ATTRIBUTE = re.compile(r"""@attribute\s+('[^']*'|"[^"]*"|\S+)\s+(.+)""", re.IGNORECASE)

_NOTHING = frozenset({"nan", "na", "n/a", "null", "none", "-", "inf", "-inf"})
"""How others write a missing value. In text it is refused: a device that wrote it may have meant something else."""

Failed: TypeAlias = Callable[[int | None, str, str], Problem]


@dataclass(frozen=True)
class TextFile:
    """A file as text: what its columns are, and everything below the header; `first_line` of that is 1-based."""

    columns: Columns
    delimiter: str
    body: str
    first_line: int
    quote: str = '"'
    missing: str = ""
    """Written in an empty cell, besides nothing: `?` in ARFF."""
    decimal: str = "."
    """Before the decimals: `,` where no comma parts columns and the whole file has no point."""


def open_text(data: bytes, file: RatingsFile, failed: Failed) -> tuple[TextFile | None, list[Problem]]:
    """The header of a file, or None and what is wrong with it."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        found = f"byte 0x{error.object[error.start]:02x}"
        return None, [failed(line, "text in UTF-8; save the file again as UTF-8", found)]
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if is_arff(text):
        return _arff(text, file, failed)
    first, _, body = text.partition("\n")
    if not first.strip():
        found = "an empty file" if not text.strip() else "an empty line"
        return None, [failed(1, "a header: time, then the raters' names", found)]
    delimiter: str = file.delimiter or max(_DELIMITERS, key=lambda mark: first.count(mark))
    names = [name.strip() for name in cells_of(first, delimiter)]
    columns, wrong = columns_of(names, layout=file.layout, time_unit=file.time_unit)
    if columns is None:
        return None, [failed(1, expected, found) for expected, found in wrong]
    decimal = "," if delimiter != "," and "," in body and "." not in body else "."
    return TextFile(columns, delimiter, body, 2, decimal=decimal), []


def is_arff(text: str) -> bool:
    """True if the first line that is no comment is `@relation`."""
    first = next((line for line in text.split("\n", 100) if line.strip() and not line.lstrip().startswith("%")), "")
    return first.strip().lower().startswith("@relation")


def _arff(text: str, file: RatingsFile, failed: Failed) -> tuple[TextFile | None, list[Problem]]:
    """Weka's format, dense: `@attribute` lines name the columns, `@data` begins the rows."""
    names: list[str] = []
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if stripped.lower() == "@data":
            break
        if stripped.lower().startswith("@attribute"):
            found = _ATTRIBUTE.match(stripped)
            if found is None:
                return None, [failed(number, "@attribute NAME TYPE", repr(stripped[:60]))]
            names.append(found[1].strip("'\" "))
    else:
        return None, [failed(None, "a line @data above the rows", "none")]
    columns, wrong = columns_of(names, layout=file.layout, time_unit=file.time_unit)
    if columns is None:
        return None, [failed(None, expected, found) for expected, found in wrong]
    body = ["" if line.lstrip().startswith("%") else line for line in lines[number:]]
    return TextFile(columns, ",", "\n".join(body), number + 1, quote="'", missing="?"), []


def read_cells(text: TextFile, scale: Scale, failed: Failed) -> tuple[Cells | None, list[Problem]]:
    """Every cell below the header, or None and what is wrong with it, line by line."""
    cells = _read_fast(text, scale)
    if cells is not None:
        return cells, []
    every = list(_explain(text, scale, failed))
    if not every:  # right, but written unusually: blank cells of several spaces, exotic white space
        cells = _read_fast(_stripped(text), scale)
        if cells is None:
            every = [failed(None, "a plain table of numbers", "one that cannot be read")]
    return cells, every


def _read_fast(text: TextFile, scale: Scale) -> Cells | None:
    """The cells if everything about the body is right, else None."""
    columns = text.columns.columns
    names = [str(place) for place in range(len(columns))]
    types = {name: pa.string() if column.is_text else pa.float64() for name, column in zip(names, columns, strict=True)}
    try:
        table = pacsv.read_csv(
            io.BytesIO(text.body.encode()),
            read_options=pacsv.ReadOptions(column_names=names, use_threads=False, block_size=1 << 24),
            parse_options=pacsv.ParseOptions(delimiter=text.delimiter, quote_char=text.quote, newlines_in_values=False),
            convert_options=pacsv.ConvertOptions(
                column_types=types,
                null_values=["", " ", *filter(None, [text.missing])],
                strings_can_be_null=True,
                decimal_point=text.decimal,
            ),
        )
    except pa.ArrowInvalid:
        return None
    return cells_of_table(table, text.columns, scale)


def cells_of_table(table: pa.Table, columns: Columns, scale: Scale) -> Cells | None:
    """The cells of a table in the file's order of columns; None if any of them is wrong."""
    times = table.column(columns.places("time")[0])
    texts: dict[Kind, np.ndarray] = {}
    for place, column in enumerate(columns.columns):
        if column.is_text:
            if table.column(place).null_count:
                return None
            written = table.column(place).to_numpy(zero_copy_only=False)
            texts[column.kind] = np.array([name.strip().strip("'\"").strip() for name in written], dtype=object)
    if table.num_rows == 0 or times.null_count or any("" in names for names in texts.values()):
        return None
    seconds = times.to_numpy().astype(np.float64) / columns.per_second
    chosen = [table.column(place) for place in columns.places("value")]
    values = np.column_stack([column.to_numpy().astype(np.float64) for column in chosen])
    given = values[~np.isnan(values)]
    empty = sum(column.null_count for column in chosen)
    ok = (
        len(given) > 0
        and len(given) + empty == values.size  # no NaN that was written as one
        and bool(np.isfinite(seconds).all())
        and (columns.is_long or "instance" in texts or bool((np.diff(seconds) > 0).all()))
        and bool(((given >= scale[0]) & (given <= scale[1])).all())
    )
    return Cells(columns, seconds, values, texts) if ok else None


def cells_of(line: str, delimiter: str, quote: str = '"') -> list[str]:
    """The cells of one line, quotes taken off."""
    try:
        return next(csv.reader([line], delimiter=delimiter, quotechar=quote, skipinitialspace=True), [])
    except csv.Error:  # a cell of over 128 KiB: no number in any case
        return line.split(delimiter)


def _stripped(text: TextFile) -> TextFile:
    rows = (cells_of(line, text.delimiter, text.quote) for line in text.body.split("\n") if line.strip())
    return replace(text, body="\n".join(text.delimiter.join(cell.strip() for cell in cells) for cells in rows))


def _explain(text: TextFile, scale: Scale, failed: Failed) -> Iterator[Problem]:
    """Every problem of the body, line by line. The slow twin of `_read_fast`, for files that it refused."""
    columns = text.columns.columns
    increasing = not text.columns.is_long and not text.columns.places("instance")
    previous = -math.inf
    num_rows = num_values = 0
    for line, written in enumerate(text.body.split("\n"), start=text.first_line):
        if not written.strip():
            continue
        num_rows += 1
        cells = cells_of(written, text.delimiter, text.quote)
        if len(cells) != len(columns):
            delimiter = "a tab" if text.delimiter == "\t" else text.delimiter
            yield failed(line, f"{len(columns)} cells separated by {delimiter}", f"{len(cells)}")
            continue
        for column, cell in zip(columns, cells, strict=True):
            is_empty = cell.strip() in ("", text.missing)
            if column.kind == "value" and is_empty:
                continue
            num_values += column.kind == "value"
            if column.is_text:
                if is_empty:
                    yield failed(line, f"a name in column {column.name!r}", repr(cell))
                continue
            value = _number(cell.replace(text.decimal, "."))
            if value is None:
                hint = _hint(cell)
                yield failed(line, f"a finite number in column {column.name!r}{hint}", repr(cell[:40]))
            elif column.kind == "time":
                if increasing and value <= previous:
                    yield failed(line, f"a time after {previous!r} s", repr(value))
                previous = value
            elif not scale[0] <= value <= scale[1]:
                yield failed(line, f"a value in [{scale[0]:g}, {scale[1]:g}] in column {column.name!r}", repr(value))
    if num_rows == 0:
        yield failed(None, "at least one row of ratings", "none")
    elif num_values == 0:
        yield failed(None, "at least one rating", "empty cells only")


def _hint(cell: str) -> str:
    if "," in cell:
        return " (write decimals with a point, in the whole file)"
    return " (leave the cell empty where nothing was rated)" if cell.strip().lower() in _NOTHING else ""


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def failing(recording_id: str, file: RatingsFile) -> Failed:
    """Makes the problems of one file."""

    def failed(line: int | None, expected: str, found: str) -> Problem:
        return problem("failed", recording_id, file.path, expected, found, line=line)

    return failed
