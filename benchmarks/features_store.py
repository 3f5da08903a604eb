"""A synthetic store for `benchmarks/features.py`: chips that follow a hidden curve, as the faces stage leaves them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch.nn import functional as F

from schemas.tables import CHIP_BYTES, CHIP_SIZE, frames_schema
from tasks.ingest.recordings import Recording
from tasks.store.layout import Store, part_name
from tasks.store.parts import Provenance, part_writer

PART_ROWS, GROUP_ROWS = 1000, 250
ByteArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]


def synthetic_chips(count: int, seed: int = 0) -> tuple[ByteArray, FloatArray]:
    """`[frame, 96, 96, 3]` and the hidden curve `[frame]` in [-1, 1] that they follow."""
    chance = np.random.default_rng(seed)
    waves = [np.sin(np.arange(count) / period + phase) for period, phase in ((23, 0), (41, 1), (67, 2))]
    curve = np.stack(waves).mean(axis=0).astype(np.float32)
    patterns = F.interpolate(torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(seed)), CHIP_SIZE)
    base, one, two = patterns.permute(0, 2, 3, 1).numpy()
    chips = np.empty((count, CHIP_SIZE, CHIP_SIZE, 3), dtype=np.uint8)
    for row, value in enumerate(curve):
        picture = 150 * base + 50 * (1 + value) * one + 50 * (1 - value) * two
        chips[row] = np.clip(picture + chance.integers(-6, 7, picture.shape), 0, 255)
    return chips, curve


def write_store(root: Path, chips: ByteArray, recordings: int) -> list[Recording]:
    """The same chips as the frames of each recording; every 50th frame has no face."""
    store, found = Store(root), []
    first = store.frames("R0")
    per_part = PART_ROWS * 49 // 50
    parts = len(chips) // per_part
    for number in range(parts):
        _write_part(first / part_name(number), chips[number * per_part :], number, is_last=number == parts - 1)
    for number in range(recordings):
        name = f"R{number}"
        if number:
            shutil.copytree(first, store.frames(name))
        fields: dict[str, Any] = dict.fromkeys(one.name for one in dataclasses.fields(Recording))
        fields |= {"recording_id": name, "subject_id": name, "num_frames": parts * PART_ROWS}
        found.append(Recording(**fields))
    return found


def _write_part(path: Path, chips: ByteArray, number: int, *, is_last: bool) -> None:
    schema, used = frames_schema("rgb96"), 0
    provenance = Provenance(stage="faces", stage_key="synthetic", extra={"is_last": str(is_last).lower()})
    with part_writer(path, schema, provenance) as writer:
        for start in range(0, PART_ROWS, GROUP_ROWS):
            frame = np.arange(start, start + GROUP_ROWS) + number * PART_ROWS
            valid = frame % 50 > 0
            rows = [None] * GROUP_ROWS
            for place in np.flatnonzero(valid):
                rows[place] = chips[used].tobytes()
                used += 1
            columns = {
                "recording_id": pa.array(["synthetic"] * GROUP_ROWS),
                "frame_index": pa.array(frame, pa.int32()),
                "time_seconds": pa.array(frame * 0.04),
                "face_valid": pa.array(valid),
                "face_source": pa.array(np.where(valid, "detected", "none")),
                "chip": pa.array(rows, pa.binary(CHIP_BYTES["rgb96"])),
                "num_other_faces": pa.array(np.zeros(GROUP_ROWS), pa.int32()),
            }
            arrays = [columns.get(one.name, pa.nulls(GROUP_ROWS, one.type)) for one in schema]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
