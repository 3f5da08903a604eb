"""Pictures in class folders: `train/<class>/*.png` and `test/<class>/*.png`, such as FER2013's third public form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from schemas.errors import DatasetError
from schemas.expressions import FOLDER_CLASSES, FOLDER_NAMES
from tasks.expression.faces import FaceRow, Picture, Split, listing_sha256
from tasks.expression.fer2013 import TERMS

FOLDER_SPLITS: dict[str, Split] = {
    "train": "training",
    "training": "training",
    "publictest": "public_test",
    "privatetest": "private_test",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}
"""Names of split folders, in lower case. FER2013's `test` holds PublicTest and PrivateTest together."""

FOLDER_TERMS = (
    f"Pictures in class folders, under the terms of whoever took or collected them. If they are FER2013's: {TERMS}"
)

SUFFIXES = (".png", ".jpg", ".jpeg")


class ClassFolders:
    """A folder of split folders of class folders of pictures, all of one size, gray. Its classes are those it holds.

    Rows are places in the sorted list of files. Hidden ones (`._1.png`, `.ipynb_checkpoints`) are left out.

    Raises:
        DatasetError: there is no picture, a folder of a split or a class has an unknown name, or a picture cannot be
            read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.name, self.terms = root.resolve().name, FOLDER_TERMS
        try:
            self._files = list(_labelled_files(root))
        except OSError as error:
            raise DatasetError(f"{root}: cannot be read ({error}); move away what is no folder of pictures") from error
        if not self._files:
            raise DatasetError(f"{root}: expected pictures in train/<class>/, found none ({', '.join(SUFFIXES)})")
        present = {label for _, _, label in self._files}
        self.classes: tuple[str, ...] = tuple(name for name in FOLDER_CLASSES if name in present)
        self.sha256 = {f"{root.name}/": listing_sha256(root, [path for path, _, _ in self._files])}
        height, width = read_picture(self._files[0][0], "L").shape[:2]
        self.picture_shape = (height, width, 1)
        self.expected = len(self._files)

    def faces(self) -> Iterator[tuple[FaceRow, Picture]]:
        """Every picture, by path."""
        for row, (path, split, label) in enumerate(self._files):
            picture = read_picture(path, "L")
            if picture.shape != self.picture_shape:
                height, width = self.picture_shape[:2]
                raise DatasetError(
                    f"{path}: expected {width}x{height} like {self._files[0][0].name}, "
                    f"found {picture.shape[1]}x{picture.shape[0]}"
                )
            yield FaceRow(row, split, label), picture


def read_picture(path: Path, mode: str) -> Picture:
    """A picture file, `[height, width, channel]`; mode `L` is gray, `RGB` colour. Raises DatasetError."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):  # Pillow would cut them off at 255
                raise DatasetError(f"{path}: expected 8 bits for each colour, found mode {image.mode}; convert it")
            pixels = np.asarray(image.convert(mode), dtype=np.uint8)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path}: expected a picture ({error})") from error
    return pixels[:, :, None] if mode == "L" else pixels


def _labelled_files(root: Path) -> Iterator[tuple[Path, Split, str]]:
    for split_folder in sorted(path for path in _shown(root) if path.is_dir()):
        split = FOLDER_SPLITS.get(split_folder.name.lower())
        folders = sorted(path for path in _shown(split_folder) if path.is_dir())
        if split is None:
            if any(folder.name.lower() in FOLDER_NAMES for folder in folders):
                raise DatasetError(
                    f"{split_folder}: expected a folder of classes to be named after a split "
                    f"({', '.join(FOLDER_SPLITS)}), found {split_folder.name!r}; rename it, or move it elsewhere"
                )
            continue
        for folder in folders:
            label = FOLDER_NAMES.get(folder.name.lower())
            if label not in FOLDER_CLASSES:
                raise DatasetError(
                    f"{folder}: expected a folder named after a class ({', '.join(FOLDER_CLASSES)}), "
                    f"found {folder.name!r}"
                )
            for path in sorted(_shown(folder)):
                if path.suffix.lower() in SUFFIXES:
                    yield path, split, label


def _shown(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))
