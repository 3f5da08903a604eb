"""A SYNTHETIC set of faces in FER2013's form: noise with a bright stripe whose height tells the class."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from schemas.expressions import ExpressionAugmentation, ExpressionTraining
from schemas.training import NamedNetwork

SIZE = 48
PER_CLASS = 30
NUM_SHARED = 5

TINY = ExpressionTraining(
    name="tiny",
    network=NamedNetwork(
        name="shallow", options={"widths": [4, 4], "kernels": [3, 3], "hidden_sizes": [8], "dropout": 0.1}
    ),
    augmentation=ExpressionAugmentation(
        flip=0.5, shift=1, rotation_degrees=5, scale=0.05, brightness=0.1, contrast=0.1, erasing=0.2
    ),
    learning_rate=0.01,
    batch_size=32,
    max_epochs=4,
    device="cpu",
    num_threads=1,
    precision="float32",
)


def changed(**values: object) -> ExpressionTraining:
    """`TINY` with other values, checked."""
    return ExpressionTraining.model_validate({**TINY.model_dump(), **values})


def face(label: int, seed: int) -> npt.NDArray[np.uint8]:
    """A synthetic face, `[48, 48]`."""
    picture = np.random.default_rng(seed).integers(0, 80, size=(SIZE, SIZE))
    picture[6 * label + 2 : 6 * label + 7] += 150
    return picture.astype(np.uint8)


@dataclass(frozen=True)
class Fer:
    """The synthetic table: path, pictures `[row, 48, 48]`, labels, usages."""

    path: Path
    pictures: list[npt.NDArray[np.uint8]]
    labels: list[int]
    usages: list[str]


def write_csv(
    path: Path,
    pictures: Sequence[npt.NDArray[np.uint8]],
    labels: Sequence[int],
    usages: Sequence[str],
    *,
    header: Sequence[str] = ("emotion", "pixels", "Usage"),
) -> Path:
    """A table in FER2013's form; `header` gives the order of the columns."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for picture, label, usage in zip(pictures, labels, usages, strict=True):
            cells = {"emotion": str(label), "pixels": " ".join(map(str, picture.ravel().tolist())), "Usage": usage}
            writer.writerow([cells[name.strip()] for name in header])
    return path


@pytest.fixture(scope="session")
def fer(tmp_path_factory: pytest.TempPathFactory) -> Fer:
    """30 synthetic faces of each class in Training, 6 in PublicTest; 5 of the latter are copies of the former."""
    pictures: list[npt.NDArray[np.uint8]] = []
    labels: list[int] = []
    usages: list[str] = []
    for usage, number in (("Training", PER_CLASS), ("PublicTest", 6)):
        for _ in range(number):
            for label in range(7):
                labels.append(label)
                pictures.append(face(label, len(pictures)))
                usages.append(usage)
    first_public = 7 * PER_CLASS
    for turn in range(NUM_SHARED):
        pictures[first_public + turn] = pictures[turn]
    pictures[40], labels[40] = pictures[33], labels[33]  # a copy within Training
    path = write_csv(tmp_path_factory.mktemp("fer") / "fer2013.csv", pictures, labels, usages)
    return Fer(path, pictures, labels, usages)
