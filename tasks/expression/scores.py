"""What a network says of a split: to Parquet, and to scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from models.classification import calibration_error, confusion_matrix, log_loss, recalls
from schemas.cards import ExpressionCard, ExpressionScore
from schemas.expression_tables import expression_schema
from tasks.expression.batches import DevicePictures, probabilities
from tasks.expression.plan import predictions_path
from tasks.expression.prepare import Judged
from tasks.progress import track
from tasks.store.parts import Provenance, write_part
from tasks.training.networks import InputShape

IntArray = npt.NDArray[np.int64]


def score_split(
    folder: Path,
    card: ExpressionCard,
    network: nn.Module,
    data: Judged,
    pictures: DevicePictures,
    device: torch.device,
    *,
    split: str,
    positions: IntArray,
    views: int,
) -> tuple[ExpressionScore, ...]:
    """Ask a network about the faces of a split, write its answers to `folder`, and score them.

    Args:
        folder: for `predictions-SPLIT.parquet`.
        card: of the network, whose model id and hash the rows name.
        network: on the device, in eval mode.
        data: the set that the pictures are of.
        pictures: of the whole set.
        device: of the network.
        split: its name.
        positions: `[face]`, those of the split.
        views: averaged for each face.
    """
    shape = InputShape(card.input_size, card.channels)
    with track(f"score {card.name} on {split}", len(positions), "faces") as bar:
        found = probabilities(network, pictures, positions, shape, device, views=views, told=bar.advance)
    write_predictions(folder, card, data, split, positions, found)
    return scores_of(data, split, positions, found)


def told_of(score: ExpressionScore) -> str:
    """What a score is of, for the terminal."""
    name = "choice (selected there)" if score.split == "choice" else score.split.replace("_", " ")
    name += " without the faces that stand in training" if score.subset == "unseen" else ""
    return f"{name}, {score.n} faces"


def scores_of(
    data: Judged, split: str, positions: IntArray, probabilities: npt.NDArray[np.float32]
) -> tuple[ExpressionScore, ...]:
    """Scores of one split; of one that shares faces with Training, also without these.

    Args:
        data: labels.
        split: its name.
        positions: `[face]`.
        probabilities: `[face, class]`.
    """
    labels, values = data.labels[positions], probabilities.astype(np.float64)
    scores = [_score(split, "all", labels, values)]
    unseen = ~data.duplicates.is_shared[positions]
    if split != "choice" and unseen.any() and not unseen.all():
        scores.append(_score(split, "unseen", labels[unseen], values[unseen]))
    return tuple(scores)


def _score(split: str, subset: str, labels: IntArray, values: npt.NDArray[np.float64]) -> ExpressionScore:
    confusion = confusion_matrix(labels, values.argmax(axis=1), num_classes=values.shape[1])
    return ExpressionScore(
        split=split,
        subset="all" if subset == "all" else "unseen",
        n=len(labels),
        accuracy=float(np.trace(confusion) / len(labels)),
        mean_recall=float(np.nanmean(recalls(confusion))),
        loss=log_loss(values, labels),
        ece=calibration_error(values, labels),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def write_predictions(
    folder: Path,
    card: ExpressionCard,
    data: Judged,
    split: str,
    positions: IntArray,
    probabilities: npt.NDArray[np.float32],
) -> None:
    """One row for each face of a split, in the order of the source."""
    names = np.array(card.classes)
    columns = {
        "model_id": [card.model_id] * len(positions),
        "row": data.faces.rows[positions],
        "split": [split] * len(positions),
        "is_shared": data.duplicates.is_shared[positions],
        "label": names[data.labels[positions]],
        "predicted": names[probabilities.argmax(axis=1)],
        **{f"probability_{name}": probabilities[:, number] for number, name in enumerate(card.classes)},
    }
    provenance = Provenance(stage="expression", stage_key=card.stage_key, model_hash=card.weights_sha256)
    write_part(predictions_path(folder, split), pa.table(columns, schema=expression_schema(card.classes)), provenance)


def read_probabilities(folder: Path, split: str, classes: Sequence[str]) -> npt.NDArray[np.float32]:
    """What `write_predictions` wrote, `[face, class]`."""
    names = [f"probability_{name}" for name in classes]
    table = pq.read_table(predictions_path(folder, split), columns=names)
    return np.stack([table[name].to_numpy() for name in names], axis=1)
