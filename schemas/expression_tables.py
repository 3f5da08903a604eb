"""Arrow schemas of labelled faces, of what expression networks say of them, and of analysed clips.

Contracts as those of `schemas.tables`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from schemas.tables import column, frames_schema

FACE_ROWS = pa.schema(
    [
        column("row", pa.int64()),  # 0-based row of the source's table, or place in its sorted list of files
        column("split", pa.string()),  # training | public_test | private_test | validation | test
        column("label", pa.string()),
        column("votes", pa.list_(pa.field("item", pa.float32(), nullable=False)), nullable=True),  # FER+'s ten counts
        column("pixel_hash", pa.binary(16)),
    ]
)
"""The rows of a labelled set of faces; its pictures lie beside it in `pictures.npy`, in the same order."""


def expression_schema(classes: Sequence[str]) -> pa.Schema:
    """Schema of an expression network's predictions: one row per picture, a probability for each class."""
    return pa.schema(
        [
            column("model_id", pa.string()),
            column("row", pa.int64()),
            column("split", pa.string()),
            column("is_shared", pa.bool_()),  # stands in Training too
            column("label", pa.string()),
            column("predicted", pa.string()),
            *(column(f"probability_{name}", pa.float32()) for name in classes),
        ]
    )


def analysis_schema(classes: Sequence[str]) -> pa.Schema:
    """Schema of `CLIP.parquet`, which `affectflow analyze` writes: one row per decoded frame.

    `frame_index` to `num_other_faces` are as in `frames`. What is said of the face is null where there is none.

    Args:
        classes: of the expression network.
    """
    measured = [field for field in frames_schema("rgb96") if field.name not in ("landmarks", "chip")]
    return pa.schema(
        [
            *measured,
            *(column(f"probability_{name}", pa.float32(), nullable=True) for name in classes),
            column("expression", pa.string(), nullable=True),  # the most probable class
            column("valence_estimate", pa.float32(), nullable=True),  # of this frame alone, -1 to 1: models.valence
            column("valence_smoothed", pa.float32(), nullable=True),  # its centred mean; the metadata say over how long
        ]
    )
