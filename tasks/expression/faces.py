"""A labelled set of faces in the one form that training reads, whatever form it came in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import DatasetError
from schemas.expression_tables import FACE_ROWS
from tasks.progress import track
from tasks.store.parts import Provenance, read_provenance, read_table, replacing, stage_key, write_part

Picture = npt.NDArray[np.uint8]
Split = Literal["training", "public_test", "private_test", "validation", "test"]
SCORED_SPLITS: tuple[Split, ...] = ("public_test", "private_test", "validation", "test")

FACES_VERSION = 1
_ROWS, _PICTURES = "rows.parquet", "pictures.bin"
_PROGRESS_STEP = 256


@dataclass(frozen=True)
class FaceRow:
    """What a reader tells of one face. `row` is 0-based in the source; `votes` are FER+'s ten counts."""

    row: int
    split: Split
    label: str
    votes: tuple[float, ...] | None = None


class FaceSource(Protocol):
    """A labelled set of faces in one of its public forms.

    `sha256` maps each table, or a listing of the files, to its hash; `picture_shape` is (height, width, channels);
    `expected` is how many faces there are, as far as is known before they are read.
    """

    name: str
    terms: str
    classes: tuple[str, ...]
    sha256: dict[str, str]
    picture_shape: tuple[int, int, int]
    expected: int

    def faces(self) -> Iterator[tuple[FaceRow, Picture]]:
        """Every face, in order. Raises DatasetError that names file, line and value."""


@dataclass(frozen=True, kw_only=True)
class LabelledFaces:
    """Pictures of faces with a class each.

    `pictures` is `[face, height, width, channel]` uint8, memory-mapped; `labels` holds positions in `classes`; `splits`
    names each face's split; `rows` its place in the source; `votes` is `[face, 10]` in the order of FER+, NaN where
    nobody voted, or None; `hashes` are 16 bytes of each picture's pixels.
    """

    name: str
    terms: str
    classes: tuple[str, ...]
    pictures: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    splits: npt.NDArray[np.str_]
    rows: npt.NDArray[np.int64]
    votes: npt.NDArray[np.float32] | None
    hashes: npt.NDArray[np.void]
    sha256: dict[str, str]

    def __post_init__(self) -> None:
        lengths = {len(column) for column in (self.pictures, self.labels, self.splits, self.rows, self.hashes)}
        if len(lengths) != 1 or self.pictures.ndim != 4:
            raise ValueError(f"expected one row for each picture, got lengths {lengths}, {self.pictures.shape}")


def load_faces(source: FaceSource, cache: Path) -> LabelledFaces:
    """The faces of a source, laid out below `cache` the first time and memory-mapped from there.

    Raises:
        DatasetError: the source is malformed, or holds no face.
    """
    key = stage_key("faces", FACES_VERSION, {"shape": source.picture_shape}, [json.dumps(source.sha256)])
    folder = cache / key
    if read_provenance(folder / _ROWS) is None:
        _lay_out(source, folder, key)
    table = read_table(folder / _ROWS, FACE_ROWS)
    pictures = np.memmap(folder / _PICTURES, dtype=np.uint8, mode="r", shape=(table.num_rows, *source.picture_shape))
    numbers = {name: number for number, name in enumerate(source.classes)}
    voted = [np.full(10, np.nan) if votes is None else votes for votes in table["votes"].to_pylist()]
    hashes = np.frombuffer(b"".join(table["pixel_hash"].to_pylist()), dtype="V16")
    return LabelledFaces(
        name=source.name,
        terms=source.terms,
        classes=source.classes,
        pictures=pictures,
        labels=np.array([numbers[label] for label in table["label"].to_pylist()], dtype=np.int64),
        splits=np.array(table["split"].to_pylist(), dtype=np.str_),
        rows=table["row"].to_numpy(),
        votes=None if table["votes"].null_count == table.num_rows else np.array(voted, dtype=np.float32),
        hashes=hashes,
        sha256=source.sha256,
    )


def _lay_out(source: FaceSource, folder: Path, key: str) -> None:
    """Pictures first, the table last: a table without pictures can never be."""
    rows: list[FaceRow] = []
    hashes: list[bytes] = []
    with (
        replacing(folder / _PICTURES) as temporary,
        temporary.open("wb") as file,
        track(f"reading {source.name}", source.expected, "pictures") as bar,
    ):
        for row, picture in source.faces():
            assert picture.shape == source.picture_shape
            data = np.ascontiguousarray(picture).tobytes()
            file.write(data)
            rows.append(row)
            hashes.append(hashlib.blake2b(data, digest_size=16).digest())
            if len(rows) % _PROGRESS_STEP == 0:
                bar.advance(_PROGRESS_STEP)
        bar.advance(len(rows) % _PROGRESS_STEP)
    if not rows:
        raise DatasetError(f"{', '.join(source.sha256)}: expected faces, found none; is this the right path?")
    columns = {
        "row": [row.row for row in rows],
        "split": [row.split for row in rows],
        "label": [row.label for row in rows],
        "votes": [row.votes for row in rows],
        "pixel_hash": hashes,
    }
    table = pa.table(columns, schema=FACE_ROWS)
    write_part(folder / _ROWS, table, Provenance(stage="expression-faces", stage_key=key))


def file_sha256(path: Path) -> str:
    """Hash of a file. Raises DatasetError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from error


def listing_sha256(root: Path, files: list[Path]) -> str:
    """Hash of names, sizes and modification times: what a folder of pictures is told apart by."""
    entries = [(str(path.relative_to(root)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()
