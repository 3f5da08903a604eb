"""FER2013 as one table: `fer2013.csv`, or Kaggle's other `icml_face_data.csv`; and FER+'s votes on its rows."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from schemas.errors import DatasetError
from schemas.expressions import FER2013_CLASSES, FERPLUS_COLUMNS
from tasks.expression.faces import FaceRow, Picture, Split, file_sha256

NAME = "FER2013"
TERMS = (
    'FER2013 (Goodfellow et al. 2013, "Challenges in representation learning", ICML workshop; Kaggle): photographs '
    "found by web search, given out for research under the challenge's terms; their rights stay with their owners."
)
FERPLUS_TERMS = "FER+ votes (Barsoum et al. 2016, Microsoft): MIT licence."

SIZE = 48
USAGES: dict[str, Split] = {"Training": "training", "PublicTest": "public_test", "PrivateTest": "private_test"}
_COLUMNS = ("emotion", "pixels", "Usage")


class Fer2013Csv:
    """`fer2013.csv` (emotion, pixels, Usage) or `icml_face_data.csv` (the same, with spaces before the names).

    Args:
        path: the table.
        votes: FER+'s `fer2013new.csv`, whose rows are those of the table.

    Raises:
        DatasetError: a file cannot be read, or its columns are not those.
    """

    def __init__(self, path: Path, votes: Path | None = None) -> None:
        self.path, self.votes = path, votes
        self.name = NAME
        self.classes: tuple[str, ...] = FER2013_CLASSES
        self.terms = f"{TERMS} {FERPLUS_TERMS}" if votes else TERMS
        self.sha256 = {file.name: file_sha256(file) for file in (path, votes) if file is not None}
        self.picture_shape = (SIZE, SIZE, 1)
        self.expected = max(1, _num_lines(path) - 1)

    def faces(self) -> Iterator[tuple[FaceRow, Picture]]:
        """Every row. Raises DatasetError that names file, line and value."""
        votes = None if self.votes is None else read_votes(self.votes)
        count = 0
        with records(self.path, _COLUMNS) as rows, warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # numpy's word for "this is no number"
            for line, (emotion, pixels, usage) in rows:
                where = f"{self.path}, line {line}"
                split = _split(usage, where)
                voted = None if votes is None else _votes_of(votes, count, split, where, self.votes)
                yield FaceRow(count, split, _label(emotion, where), voted), _picture(pixels, where)
                count += 1
        if votes is not None and len(votes) != count:
            raise DatasetError(
                f"{self.votes}: expected a row for each of the {count} of {self.path.name}, found {len(votes)}"
            )


def _num_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(2**20), b""))


@contextmanager
def records(path: Path, columns: Sequence[str]) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """The cells of `columns` in every row of a CSV file, with the row's line number (1-based).

    Spaces around names and cells do not count; other columns are passed over.

    Raises:
        DatasetError: the file cannot be read, is no UTF-8, or lacks a column; a row has too few cells.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            missing = [name for name in columns if name not in header]
            if missing:
                found = ", ".join(header) or "nothing"
                shown = found if found.isprintable() else "what is no text; is it packed?"
                raise DatasetError(f"{path}, line 1: expected the columns {', '.join(columns)}, found {shown}")
            places = [header.index(name) for name in columns]
            yield _cells(path, reader, places)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: expected a CSV file in UTF-8 ({error})") from error


def _cells(path: Path, reader: Iterator[list[str]], places: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
    for line, row in enumerate(reader, start=2):
        if not row:
            continue
        if len(row) <= max(places):
            raise DatasetError(f"{path}, line {line}: expected at least {max(places) + 1} cells, found {len(row)}")
        yield line, [row[place].strip() for place in places]


def read_votes(path: Path) -> list[tuple[Split, tuple[float, ...]]]:
    """Split and ten counts of every row of FER+'s `fer2013new.csv`.

    Raises:
        DatasetError: a column is missing, or a count is not a whole number >= 0.
    """
    found = []
    with records(path, ("Usage", *FERPLUS_COLUMNS)) as rows:
        for line, (usage, *counts) in rows:
            wrong = next((count for count in counts if not count.isdecimal()), None)
            if wrong is not None:
                raise DatasetError(f"{path}, line {line}: expected counts of votes, found {wrong!r}")
            found.append((_split(usage, f"{path}, line {line}"), tuple(float(count) for count in counts)))
    return found


def _votes_of(
    votes: list[tuple[Split, tuple[float, ...]]], row: int, split: Split, where: str, path: Path | None
) -> tuple[float, ...] | None:
    """The votes on one row; None where nobody voted. Rows of the two tables answer each other by place."""
    if row >= len(votes):
        raise DatasetError(f"{path}: expected a row for {where}, found only {len(votes)} rows")
    voted_split, counts = votes[row]
    if voted_split != split:
        raise DatasetError(
            f"{path}, row {row}: expected split {split} as in {where}, found {voted_split}; "
            "the two tables are not of the same rows"
        )
    return counts if sum(counts) else None


def _split(usage: str, where: str) -> Split:
    if usage not in USAGES:
        raise DatasetError(f"{where}: expected Usage {', '.join(USAGES)}, found {usage!r}")
    return USAGES[usage]


def _label(emotion: str, where: str) -> str:
    if not emotion.isdecimal() or int(emotion) >= len(FER2013_CLASSES):
        raise DatasetError(f"{where}: expected emotion 0 to {len(FER2013_CLASSES) - 1}, found {emotion!r}")
    return FER2013_CLASSES[int(emotion)]


def _picture(pixels: str, where: str) -> Picture:
    try:
        values = np.fromstring(pixels, dtype=np.int64, sep=" ")
    except (DeprecationWarning, ValueError) as error:
        wrong = next((text for text in pixels.split() if not text.isdecimal()), pixels[:20])
        raise DatasetError(f"{where}: expected whole numbers 0 to 255 in pixels, found {wrong!r}") from error
    if values.size != SIZE * SIZE:
        raise DatasetError(f"{where}: expected {SIZE * SIZE} pixels, found {values.size}")
    if values.min() < 0 or values.max() > 255:
        wrong_value = values[(values < 0) | (values > 255)][0]
        raise DatasetError(f"{where}: expected pixels 0 to 255, found {wrong_value}")
    return values.astype(np.uint8).reshape(SIZE, SIZE, 1)
