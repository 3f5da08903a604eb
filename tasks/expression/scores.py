"""Probabilities to scores and to Parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.classification import calibration_error, confusion_matrix, log_loss, recalls
from schemas.cards import ExpressionCard, ExpressionScore
from schemas.expression_tables import expression_schema
from tasks.expression.plan import predictions_path
from tasks.expression.prepare import Prepared
from tasks.store.parts import Provenance, write_part

IntArray = npt.NDArray[np.int64]


def scores_of(
    prepared: Prepared, split: str, positions: IntArray, probabilities: npt.NDArray[np.float32]
) -> tuple[ExpressionScore, ...]:
    """Scores of one split; of one that shares faces with Training, also without these.

    Args:
        prepared: labels.
        split: its name.
        positions: `[face]`.
        probabilities: `[face, class]`.
    """
    labels, values = prepared.labels[positions], probabilities.astype(np.float64)
    scores = [_score(split, "all", labels, values)]
    unseen = ~prepared.duplicates.is_shared[positions]
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
    prepared: Prepared,
    split: str,
    positions: IntArray,
    probabilities: npt.NDArray[np.float32],
) -> None:
    """One row for each face of a split, in the order of the source."""
    names = np.array(card.classes)
    columns = {
        "model_id": [card.model_id] * len(positions),
        "row": prepared.faces.rows[positions],
        "split": [split] * len(positions),
        "is_shared": prepared.duplicates.is_shared[positions],
        "label": names[prepared.labels[positions]],
        "predicted": names[probabilities.argmax(axis=1)],
        **{f"probability_{name}": probabilities[:, number] for number, name in enumerate(card.classes)},
    }
    provenance = Provenance(stage="expression", stage_key=card.stage_key, model_hash=card.weights_sha256)
    write_part(predictions_path(folder, split), pa.table(columns, schema=expression_schema(card.classes)), provenance)
