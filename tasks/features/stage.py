"""Run a CNN over every chip and write its features."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from schemas.cards import ModelCard
from schemas.errors import UnusableInputError
from schemas.settings import FeaturesSettings
from schemas.tables import features_schema, frames_schema
from schemas.training import CnnTraining
from tasks.faces.plan import stored_frames_key
from tasks.features.compute import Extractor
from tasks.features.plan import STAGE, features_key, pending
from tasks.features.reading import ahead, stored_chips
from tasks.ingest.recordings import Recording
from tasks.progress import Bar, track
from tasks.store.layout import Store
from tasks.store.parts import Provenance, read_table, write_part
from tasks.training.devices import cpu_threads, resolve_device
from tasks.training.networks import input_shape, load_cnn

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FeaturesSummary:
    """What was computed."""

    model_id: str
    recordings: int
    frames: int
    seconds: float


def extract_features(
    store: Store, recordings: Sequence[Recording], card: ModelCard, settings: FeaturesSettings
) -> FeaturesSummary:
    """Write the features of every recording whose frames are complete and whose features are missing or stale.

    Args:
        store: frames are read from it, features written to it.
        recordings: all recordings.
        card: of a CNN.
        settings: batch and device.

    Raises:
        UnusableInputError: the model is not a CNN.
    """
    if card.input != "chips":
        raise UnusableInputError(f"{card.model_id}: expected a CNN (input = chips), found input = {card.input}")
    started = time.monotonic()
    stale = pending(store, recordings, card, settings)
    if not stale:
        return FeaturesSummary(model_id=card.model_id, recordings=0, frames=0, seconds=0.0)
    device = resolve_device(settings.device)
    extractor = Extractor(
        load_cnn(store, card),
        input_shape(CnnTraining(**card.settings)),
        device,
        precision=settings.precision,
        batch_size=settings.batch_size,
    )
    run = _Run(store=store, card=card, settings=settings)
    total = sum(recording.num_frames for recording in stale)
    with cpu_threads(settings.num_threads), track(f"features {card.name}", total, "frames") as bar:
        frames = _extract_all(run, [recording.recording_id for recording in stale], extractor, bar)
    return FeaturesSummary(
        model_id=card.model_id, recordings=len(stale), frames=frames, seconds=time.monotonic() - started
    )


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What stays the same from recording to recording."""

    store: Store
    card: ModelCard
    settings: FeaturesSettings

    def frames(self, recording_id: str) -> pa.Table:
        columns = ["recording_id", "frame_index", "time_seconds", "face_valid"]
        return read_table(self.store.frames(recording_id), frames_schema("rgb96"), columns)

    def write(self, found: tuple[str, pa.Table, FloatArray]) -> int:
        """One recording's part; its number of frames."""
        recording_id, table, features = found
        frames_key = stored_frames_key(self.store, recording_id)
        assert frames_key is not None
        sha256 = self.card.weights_sha256
        key = features_key(sha256, frames_key, self.settings)
        provenance = Provenance(stage=STAGE, stage_key=key, model_hash=sha256)
        path = self.store.features(self.card.model_id, recording_id)
        write_part(path, _as_table(table, features, self.card.model_id), provenance)
        return int(table.num_rows)


def _extract_all(run: _Run, recording_ids: Sequence[str], extractor: Extractor, bar: Bar) -> int:
    """Read, compute and write side by side; the number of frames."""
    helpers = reading_threads(extractor.device)
    with ThreadPoolExecutor(helpers) as readers, ThreadPoolExecutor(helpers) as writers:
        tables = ahead(readers, run.frames, recording_ids, 2)
        folders = [run.store.frames(recording_id) for recording_id in recording_ids]
        blocks = extractor.blocks(stored_chips(readers, folders, 4 * helpers), threads=torch.get_num_threads())
        found = _by_recording(recording_ids, tables, blocks, extractor, bar)
        return sum(ahead(writers, run.write, found, helpers + 1))


def reading_threads(device: torch.device) -> int:
    """Threads that decode beside the device; on a CPU they would stand in the network's way."""
    return max(1, 3 * torch.get_num_threads() // 4) if device.type == "cuda" else 1


def _by_recording(
    recording_ids: Sequence[str],
    tables: Iterator[pa.Table],
    blocks: Iterator[FloatArray],
    extractor: Extractor,
    bar: Bar,
) -> Iterator[tuple[str, pa.Table, FloatArray]]:
    """Each recording's frames and the features `[frame with a face, feature]` of its share of the blocks."""
    block = np.empty((0, extractor.width), dtype=np.float32)
    for recording_id, table in zip(recording_ids, tables, strict=True):
        wanted = int(np.count_nonzero(table["face_valid"].to_numpy(zero_copy_only=False)))
        features = np.empty((wanted, extractor.width), dtype=np.float32)
        bar.advance(table.num_rows - wanted)
        filled = 0
        while filled < wanted:
            if not len(block):
                block = next(blocks)
            taken = min(len(block), wanted - filled)
            features[filled : filled + taken] = block[:taken]
            block = block[taken:]
            filled += taken
            bar.advance(taken)
        yield recording_id, table, features


def _as_table(frames: pa.Table, features: FloatArray, model_id: str) -> pa.Table:
    """`features` are those of the frames with a face, in order."""
    schema = features_schema(features.shape[1])
    valid = frames["face_valid"].to_numpy(zero_copy_only=False)
    dense = np.zeros((frames.num_rows, features.shape[1]), dtype=np.float32)
    dense[valid] = features
    column = pa.FixedSizeListArray.from_arrays(
        pa.array(dense.ravel()), type=schema.field("feature").type, mask=pa.array(~valid)
    )
    columns = {
        "recording_id": frames["recording_id"],
        "model_id": pa.array([model_id] * frames.num_rows),
        "frame_index": frames["frame_index"],
        "time_seconds": frames["time_seconds"],
        "face_valid": frames["face_valid"],
        "feature": column,
    }
    return pa.table(columns, schema=schema)
