"""What aligning costs an expression network: FER2013's crops as they are, and as the chips that `analyze` cuts.

    uv run benchmarks/aligned_faces.py --data fer2013.csv [--model STORE/expression/models/ID]

Every face of *choice* that dlib finds in its enlarged crop is named twice by the network, the one that ships unless
another is given: the crop itself, the crop enlarged and made small again as a chip is, and the aligned 96x96 chip. What
the second loses is the enlarging's, which a video does not need. PublicTest is never looked at.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import dlib
import numpy as np
import numpy.typing as npt
import torch

from models.blocks import FaceNetwork
from models.chips import network_pixels
from models.classification import confusion_matrix, recalls
from schemas.expressions import ExpressionTraining
from schemas.settings import FacesSettings
from schemas.tables import CHIP_SIZE
from tasks.analyze.plan import VIEWS
from tasks.expression.batches import DevicePictures, probabilities
from tasks.expression.faces import load_faces
from tasks.expression.networks import load_expression
from tasks.expression.prepare import Prepared, prepare
from tasks.expression.shipped import shipped_folder
from tasks.expression.source import open_source
from tasks.faces.chip import aligned_luma, finished_chip, placement
from tasks.faces.decode import Picture
from tasks.faces.detect import Detector, find_landmarks
from tasks.progress import track
from tasks.training.networks import InputShape

ENLARGED = 4
"""dlib's detector looks for faces of 80 pixels and more; a crop has 48."""

_MARGIN = 96  # pixels of the enlarged crop


def enlarge(crop: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A crop as large as dlib's detector needs it."""
    large: npt.NDArray[np.uint8] = dlib.resize_image(
        np.ascontiguousarray(crop), *(ENLARGED * side for side in crop.shape)
    )
    return large


def chips(prepared: Prepared) -> Iterator[tuple[int, npt.NDArray[np.uint8], float]]:
    """Position, chip `[96, 96]` and the chip's side in pixels of the crop, of every face of *choice* that is found."""
    detector = Detector(FacesSettings())
    with track("aligning", len(prepared.choice), "faces") as bar:
        for position in prepared.choice.tolist():
            bar.advance(1)
            crop = prepared.faces.pictures[position, :, :, 0]
            large = enlarge(crop)
            found = detector.everywhere(large, small=False)
            if not found:
                continue
            transform = placement(find_landmarks(large, found[0].box))
            large = np.pad(large, _MARGIN, mode="edge")  # a video goes on beyond the face, a crop does not
            transform[:, 2] += _MARGIN
            luma = np.rint(16 + large * (219 / 255)).astype(np.uint8)
            gray = np.full([side // 2 for side in luma.shape], 128, np.uint8)
            picture = Picture(y=luma, u=gray, v=gray, pts=0, time_base=Fraction(1, 25))
            chip = finished_chip(aligned_luma(picture, transform), picture, transform, chip_format="gray96")
            yield position, chip, 96 * float(np.hypot(*transform[:, 0])) / ENLARGED


def as_read(chips: list[npt.NDArray[np.uint8]], shape: InputShape) -> npt.NDArray[np.uint8]:
    """Gray chips `[96, 96]` as the network reads them, `[face, size, size, 1]`."""
    pixels = network_pixels(torch.from_numpy(np.stack(chips))[..., None], size=shape.size, channels=1)
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy())


def named(network: FaceNetwork, pixels: npt.NDArray[np.uint8], shape: InputShape) -> npt.NDArray[np.int64]:
    """The class of each face, `[face]`, over the views of `analyze`."""
    cpu = torch.device("cpu")
    pictures, everyone = DevicePictures(pixels, cpu), np.arange(len(pixels))
    classes: npt.NDArray[np.int64] = probabilities(network, pictures, everyone, shape, cpu, views=VIEWS).argmax(axis=1)
    return classes


def main() -> None:
    """Align, name twice, print shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the fer2013.csv that the network was trained on")
    parser.add_argument("--model", type=Path, default=shipped_folder(), help="folder of an expression model")
    arguments = parser.parse_args()
    network, card = load_expression(arguments.model)
    shape = InputShape(card.input_size, card.channels)
    with tempfile.TemporaryDirectory() as scratch:
        faces = load_faces(open_source(arguments.data, picture_size=card.input_size), Path(scratch))
        prepared = prepare(faces, ExpressionTraining.model_validate(card.settings))
        found = list(chips(prepared))
        positions = np.array([position for position, _, _ in found])
        crops = np.array(faces.pictures[positions])
    enlarged = [dlib.resize_image(enlarge(crop[:, :, 0]), CHIP_SIZE, CHIP_SIZE) for crop in crops]
    kinds = {
        "crops as they are": crops,
        "crops, enlarged": as_read(enlarged, shape),
        "aligned chips": as_read([chip for _, chip, _ in found], shape),
    }
    labels = prepared.labels[positions]
    print(
        f"{card.model_id}: {len(found)} of {len(prepared.choice)} faces of choice found; a chip spans "
        f"{np.median([side for _, _, side in found]):.0f} of {crops.shape[1]} pixels (median)"
    )
    print(f"{'named right, %':24} {'all':>6}", *(f"{name:>9}" for name in card.classes))
    for name, pixels in kinds.items():
        predicted = named(network, pixels, shape)
        confusion = confusion_matrix(labels, predicted, num_classes=len(card.classes))
        by_class = " ".join(f"{100 * one:9.1f}" for one in recalls(confusion))
        print(f"{name:24} {100 * (predicted == labels).mean():6.1f} {by_class}")


if __name__ == "__main__":
    main()
