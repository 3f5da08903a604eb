"""Round an expression network to 16 bits, measure what that changes, and put it into the package.

    uv run benchmarks/ship_weights.py STORE/expression/models/best-1a2b3c4d --data fer2013.csv

`models/weights/expression/` then holds what `affectflow analyze` uses: `model.safetensors` and `card.json`. Accuracy
before and after is measured as `analyze` uses the network, on every split but Training; nothing is chosen by it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load, save

from models.blocks import FaceNetwork
from models.valence import valence_of
from schemas.cards import ExpressionCard, ShippedCard
from schemas.expressions import ExpressionTraining
from tasks.analyze.plan import VIEWS
from tasks.expression.batches import DevicePictures, probabilities
from tasks.expression.faces import load_faces
from tasks.expression.networks import load_expression, with_weights
from tasks.expression.prepare import Prepared, prepare
from tasks.expression.shipped import shipped_folder
from tasks.expression.source import open_source
from tasks.store.cards import CARD_FILE, WEIGHTS_FILE
from tasks.store.parts import replacing, write_text
from tasks.training.networks import InputShape, weights_bytes, weights_sha256

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def rounded(network: FaceNetwork, dtype: torch.dtype) -> bytes:
    """The weights as a safetensors file of 16-bit floats; counters stay whole numbers."""
    tensors = load(weights_bytes(network))
    return save({name: one.to(dtype) if one.is_floating_point() else one for name, one in tensors.items()})


def answers(network: FaceNetwork, card: ExpressionCard, prepared: Prepared) -> dict[str, npt.NDArray[np.float32]]:
    """Probabilities on every split that is not Training, `[face, class]`."""
    cpu = torch.device("cpu")
    pictures = DevicePictures(prepared.faces.pictures, cpu)
    shape = InputShape(card.input_size, card.channels)
    return {
        split: probabilities(network, pictures, positions, shape, cpu, views=VIEWS)
        for split, positions in {"choice": prepared.choice, **prepared.scored}.items()
    }


def accuracies(found: dict[str, npt.NDArray[np.float32]], prepared: Prepared) -> dict[str, float]:
    """Share of the faces named right, by split; of one that shares faces with Training, also without these."""
    positions, shares = {"choice": prepared.choice, **prepared.scored}, {}
    for split, values in found.items():
        right = values.argmax(axis=1) == prepared.labels[positions[split]]
        unseen = ~prepared.duplicates.is_shared[positions[split]]
        shares[split] = float(right.mean())
        if not unseen.all():
            shares[f"{split} unseen"] = float(right[unseen].mean())
    return shares


def ship(folder: Path, data: Path, target: Path, stored_as: str) -> ExpressionCard:
    """Write the rounded weights and their card to `target`."""
    network, card = load_expression(folder)
    valence_of(card.classes)
    small = rounded(network, DTYPES[stored_as])
    with tempfile.TemporaryDirectory() as scratch:
        faces = load_faces(open_source(data, picture_size=card.input_size), Path(scratch))
        if faces.sha256 != card.dataset.sha256:
            raise SystemExit(
                f"{data}: sha256 {faces.sha256}, but {card.model_id} was trained on {card.dataset.sha256}; "
                "expected the same data, for its splits are drawn from it"
            )
        prepared = prepare(faces, ExpressionTraining.model_validate(card.settings))
        before, after = (answers(one, card, prepared) for one in (network, with_weights(card, small)))
        sha256 = weights_sha256(small)
        shipped = ShippedCard.model_validate(
            {
                "trained_as": card.model_id,
                "trained_sha256": card.weights_sha256,
                "stored_as": stored_as,
                "bytes": len(small),
                "views": VIEWS,
                "accuracy_before": accuracies(before, prepared),
                "accuracy_after": accuracies(after, prepared),
                "largest_change": max(float(np.abs(before[split] - after[split]).max()) for split in before),
            }
        )
    done = card.model_copy(
        update={"model_id": f"{card.name}-{sha256[:8]}", "weights_sha256": sha256, "shipped": shipped}
    )
    with replacing(target / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(small)
    write_text(target / CARD_FILE, done.model_dump_json(indent=2) + "\n")
    return done


def main() -> None:
    """Read the model folder, round, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a finished expression model")
    parser.add_argument("--data", type=Path, required=True, help="the fer2013.csv that it was trained on")
    parser.add_argument("--stored-as", choices=sorted(DTYPES), default="float16")
    parser.add_argument("--target", type=Path, default=shipped_folder(), help="the package's folder by default")
    arguments = parser.parse_args()
    card = ship(arguments.model, arguments.data, arguments.target, arguments.stored_as)
    assert card.shipped is not None
    print(f"{arguments.target}: {card.model_id}, {card.shipped.bytes / 1e6:.2f} MB as {card.shipped.stored_as}")
    for split, value in card.shipped.accuracy_before.items():
        print(f"  {split}: {100 * value:.2f} % before, {100 * card.shipped.accuracy_after[split]:.2f} % after")
    print(f"  largest change of a probability: {card.shipped.largest_change:.5f}")


if __name__ == "__main__":
    main()
