"""Rows of `frames` from what the finder saw: chips, quality, and the Parquet part they go to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from models.pose import head_pose
from schemas.errors import DecodeError
from schemas.tables import frames_schema
from tasks.faces.chip import brightness_and_sharpness, finished_chip
from tasks.faces.decode import Picture
from tasks.faces.track import Face, Look
from tasks.store.parts import Provenance, part_writer

_ROWS_PER_GROUP = 250  # 7 MB of chips


@dataclass(frozen=True, kw_only=True)
class FrameRow:
    """One frame, with nothing that the decoder will overwrite; `chip`, `brightness`, `sharpness` go with a face."""

    frame_index: int
    time_seconds: float
    face: Face | None
    num_other_faces: int | None
    chip: bytes | None
    brightness: float | None
    sharpness: float | None


def frame_row(frame_index: int, time_seconds: float, picture: Picture, look: Look, *, chip_format: str) -> FrameRow:
    """The row of one frame."""
    face, chip, brightness, sharpness = look.face, None, None, None
    if face is not None:
        chip = finished_chip(face.luma, picture, face.transform, chip_format=chip_format).tobytes()
        brightness, sharpness = brightness_and_sharpness(face.luma)
    return FrameRow(
        frame_index=frame_index,
        time_seconds=time_seconds,
        face=face,
        num_other_faces=look.num_other_faces,
        chip=chip,
        brightness=brightness,
        sharpness=sharpness,
    )


def write_rows(
    path: Path,
    rows: Iterator[FrameRow],
    provenance: Provenance,
    *,
    recording_id: str,
    chip_format: str,
    is_last: Callable[[], bool],
) -> int:
    """Stream rows into one part, a row group at a time.

    Args:
        path: where the part goes.
        rows: in display order.
        provenance: of the part.
        recording_id, chip_format: of every row.
        is_last: asked once all rows are in: whether the recording ends here.

    Returns: rows written.

    Raises:
        DecodeError: there is no row.
        StoreError: the part cannot be written.
    """
    written = 0
    schema = frames_schema(chip_format)
    with part_writer(path, schema, provenance) as writer:
        group: list[FrameRow] = []
        for row in rows:
            group.append(row)
            if len(group) == _ROWS_PER_GROUP:
                writer.write_batch(_batch(group, recording_id, writer.schema))
                written += len(group)
                group = []
        if group:
            writer.write_batch(_batch(group, recording_id, writer.schema))
            written += len(group)
        if written == 0:
            raise DecodeError(f"{recording_id}: the decoder yields no frame; try playing the video, or copy it again")
        writer.add_key_value_metadata({"affectflow.is_last": str(is_last()).lower()})
    return written


def _batch(rows: Sequence[FrameRow], recording_id: str, schema: pa.Schema) -> pa.RecordBatch:
    faces = [row.face for row in rows]
    columns = {
        "recording_id": [recording_id] * len(rows),
        "frame_index": [row.frame_index for row in rows],
        "time_seconds": [row.time_seconds for row in rows],
        "face_valid": [face is not None for face in faces],
        "face_source": ["none" if face is None else face.source for face in faces],
        "detection_score": [face.score if face and face.source == "detected" else None for face in faces],
        "tracking_score": [face.score if face and face.source == "tracked" else None for face in faces],
        "landmarks": [face.landmarks.ravel().tolist() if face else None for face in faces],
        "chip": [row.chip for row in rows],
        "sharpness": [row.sharpness for row in rows],
        "brightness": [row.brightness for row in rows],
        "num_other_faces": [row.num_other_faces for row in rows],
    }
    for number, edge in enumerate(("left", "top", "right", "bottom")):
        columns[f"box_{edge}"] = [face.box[number] if face else None for face in faces]
    poses = iter(_poses([face for face in faces if face]))
    angles = [next(poses) if face else (None, None, None) for face in faces]
    for number, angle in enumerate(("yaw", "pitch", "roll")):
        columns[angle] = [row[number] for row in angles]
    return pa.RecordBatch.from_arrays([pa.array(columns[field.name], field.type) for field in schema], schema=schema)


def _poses(faces: Sequence[Face]) -> list[list[float]]:
    if not faces:
        return []
    poses: list[list[float]] = head_pose(np.stack([face.landmarks for face in faces])).tolist()
    return poses
