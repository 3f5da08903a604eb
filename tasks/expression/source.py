"""Which of the public forms a path holds."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import DatasetError
from tasks.expression.affectnet import TABLES, AffectNet
from tasks.expression.faces import FaceSource
from tasks.expression.fer2013 import Fer2013Csv
from tasks.expression.folders import FOLDER_SPLITS, ClassFolders


def open_source(path: Path, *, votes: Path | None = None, picture_size: int = 128) -> FaceSource:
    """The labelled set of faces at `path`.

    Args:
        path: `fer2013.csv` or `icml_face_data.csv`; a folder with `train/<class>/`; or AffectNet's folder with
            `training.csv`.
        votes: FER+'s `fer2013new.csv`, for a table of FER2013.
        picture_size: side that AffectNet's pictures are brought to; other sets have one of their own.

    Raises:
        DatasetError: nothing of that kind is there, or votes are given for another set.
    """
    if path.is_file():
        return Fer2013Csv(path, votes)
    if votes is not None:
        raise DatasetError(f"{votes}: votes are on the rows of fer2013.csv, found the data at {path}")
    if path.is_dir():
        names = {entry.name for entry in path.iterdir()}
        if names & set(TABLES):
            return AffectNet(path, size=picture_size)
        if any(name.lower() in FOLDER_SPLITS for name in names):
            return ClassFolders(path)
    raise DatasetError(
        f"{path}: expected fer2013.csv, icml_face_data.csv, a folder with train/<class>/ or AffectNet's folder with "
        f"training.csv, found {'a folder with none of these' if path.is_dir() else 'nothing'}"
    )
