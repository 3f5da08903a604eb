"""AffectNet: `training.csv` and `validation.csv`, and the pictures they name (Mollahosseini et al. 2017)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from schemas.errors import DatasetError
from schemas.expressions import AFFECTNET_CLASSES
from tasks.expression.faces import FaceRow, Picture, Split, file_sha256

NAME = "AffectNet"
TERMS = (
    "AffectNet (Mollahosseini, Hasani, Mahoor 2017): given to researchers on request, for non-commercial research "
    "only; the pictures may not be passed on, and neither may what they are recognisable in."
)
COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
"""The columns, in order. `validation.csv` comes without a line that names them."""

TABLES: dict[str, Split] = {"training.csv": "training", "validation.csv": "validation"}
_NOT_GIVEN = ("", "NULL", "null")


class AffectNet:
    """AffectNet's folder: the tables, and beside them, or one folder below, the pictures.

    A picture is cut to the face's box (whole where the box is not given) and resized, in colour.

    Args:
        root: holds `training.csv`, perhaps `validation.csv`, and the pictures.
        size: side of the pictures that are made.

    Raises:
        DatasetError: a table is missing or malformed, or a picture is.
    """

    def __init__(self, root: Path, *, size: int) -> None:
        self.root, self.size = root, size
        self.name, self.terms = NAME, TERMS
        self.classes: tuple[str, ...] = AFFECTNET_CLASSES
        self._tables = [root / name for name in TABLES if (root / name).exists()]
        self.sha256 = {path.name: file_sha256(path) for path in self._tables}
        self.picture_shape = (size, size, 3)
        self.expected = sum(1 for _ in self._records())

    def faces(self) -> Iterator[tuple[FaceRow, Picture]]:
        """Every row of the tables, in order. Raises DatasetError that names file, line and value."""
        pictures = self._pictures_root()
        for row, (table, line, cells) in enumerate(self._records()):
            where = f"{table}, line {line}"
            yield FaceRow(row, TABLES[table.name], _label(cells, where)), self._picture(pictures, cells, where)

    def _records(self) -> Iterator[tuple[Path, int, dict[str, str]]]:
        for table in self._tables:
            with table.open(encoding="utf-8-sig", newline="") as file:
                for line, row in enumerate(csv.reader(file), start=1):
                    if not row or (line == 1 and row[0].strip() == COLUMNS[0]):
                        continue
                    if len(row) != len(COLUMNS):
                        raise DatasetError(
                            f"{table}, line {line}: expected {len(COLUMNS)} cells ({', '.join(COLUMNS)}), "
                            f"found {len(row)}"
                        )
                    yield table, line, dict(zip(COLUMNS, (cell.strip() for cell in row), strict=True))

    def _pictures_root(self) -> Path:
        first = next(self._records(), None)
        if first is None:
            return self.root
        name = first[2][COLUMNS[0]]
        below = sorted(path for path in self.root.iterdir() if path.is_dir())
        found = next((folder for folder in (self.root, *below) if (folder / name).is_file()), None)
        if found is None:
            raise DatasetError(
                f"{first[0]}, line {first[1]}: expected the picture {name!r} in {self.root} or below, found none"
            )
        return found

    def _picture(self, pictures: Path, cells: dict[str, str], where: str) -> Picture:
        from PIL import Image, UnidentifiedImageError

        path = pictures / cells[COLUMNS[0]]
        try:
            with Image.open(path) as image:
                box = _box(cells, where)
                face = image.convert("RGB").crop(box) if box else image.convert("RGB")
                small = face.resize((self.size, self.size), Image.Resampling.BILINEAR)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise DatasetError(f"{where}: expected a picture at {path} ({error})") from error
        return np.asarray(small, dtype=np.uint8)


def _label(cells: dict[str, str], where: str) -> str:
    code = cells["expression"]
    if not code.isdecimal() or int(code) >= len(AFFECTNET_CLASSES):
        raise DatasetError(f"{where}: expected expression 0 to {len(AFFECTNET_CLASSES) - 1}, found {code!r}")
    return AFFECTNET_CLASSES[int(code)]


def _box(cells: dict[str, str], where: str) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom), half-open; None where the table gives none."""
    texts = [cells[name] for name in COLUMNS[1:5]]
    if all(text in _NOT_GIVEN for text in texts):
        return None
    if not all(text.lstrip("-").isdecimal() for text in texts):
        raise DatasetError(f"{where}: expected whole numbers in {', '.join(COLUMNS[1:5])}, found {texts}")
    left, top, width, height = (int(text) for text in texts)
    if width < 1 or height < 1:
        raise DatasetError(f"{where}: expected a face of at least one pixel, found {width}x{height}")
    return left, top, left + width, top + height
