"""The long table of predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.tables import PREDICTIONS

FloatArray = npt.NDArray[np.float64]


def predictions_table(
    recording_id: str,
    model_id: str,
    dimension: str,
    raters: Sequence[str],
    *,
    frame_index: npt.NDArray[np.int32],
    times: FloatArray,
    values: FloatArray,
    valid: npt.NDArray[np.bool_],
) -> pa.Table:
    """The long table of one recording: all frames of the first rater, then of the next.

    Args:
        recording_id, model_id, dimension: repeated in every row.
        raters: one for each column of `values`.
        frame_index: `[frame]`.
        times: `[frame]` seconds.
        values: `[frame, rater]`, NaN where there is no prediction.
        valid: `[frame]`, whether a face was found.
    """
    frames, count = values.shape
    flat = values.T.ravel()
    columns = {
        "recording_id": pa.array([recording_id] * flat.size),
        "model_id": pa.array([model_id] * flat.size),
        "frame_index": pa.array(np.tile(frame_index, count)),
        "time_seconds": pa.array(np.tile(times, count)),
        "dimension": pa.array([dimension] * flat.size),
        "rater": pa.array(np.repeat(np.asarray(raters, dtype=object), frames), pa.string()),
        "value": pa.array(flat, mask=np.isnan(flat)),
        "face_valid": pa.array(np.tile(valid, count)),
    }
    return pa.table(columns, schema=PREDICTIONS)
