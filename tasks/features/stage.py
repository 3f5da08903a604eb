"""Run a CNN over every chip and write its features."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from models.chips import network_pixels
from models.khorrami import KhorramiCNN
from schemas.cards import ModelCard
from schemas.errors import UnusableInputError
from schemas.settings import CnnTraining, FeaturesSettings
from schemas.tables import FEATURES, NUM_FEATURES, frames_schema
from tasks.faces.plan import stored_frames_key
from tasks.features.plan import STAGE, features_key, pending
from tasks.ingest.recordings import Recording
from tasks.progress import Bar, track
from tasks.store.layout import Store
from tasks.store.parts import Provenance, read_table, write_part
from tasks.training.data import chip_batches
from tasks.training.devices import cpu_threads, mixed_precision, resolve_device
from tasks.training.networks import load_cnn

ByteArray = npt.NDArray[np.uint8]


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
    network = load_cnn(store, card).to(device)
    frames = 0
    total = sum(recording.num_frames for recording in stale)
    with cpu_threads(settings.num_threads), track(f"features {card.name}", total, "frames") as bar:
        for recording in stale:
            frames += _extract_one(store, recording.recording_id, card, network, settings, device, bar)
    return FeaturesSummary(
        model_id=card.model_id, recordings=len(stale), frames=frames, seconds=time.monotonic() - started
    )


def _extract_one(
    store: Store,
    recording_id: str,
    card: ModelCard,
    network: KhorramiCNN,
    settings: FeaturesSettings,
    device: torch.device,
    bar: Bar,
) -> int:
    folder = store.frames(recording_id)
    table = read_table(folder, frames_schema("rgb96"), ["recording_id", "frame_index", "time_seconds", "face_valid"])
    valid = table["face_valid"].to_numpy(zero_copy_only=False)
    features = np.zeros((table.num_rows, NUM_FEATURES), dtype=np.float32)
    rows = np.flatnonzero(valid)
    training = CnnTraining(**card.settings)
    filled = 0
    bar.advance(int(table.num_rows - rows.size))
    for chips in chip_batches(folder):
        pixels = network_pixels(chips, size=training.network.input_size, colour=training.network.colour)
        for start in range(0, len(pixels), settings.batch_size):
            batch = torch.from_numpy(pixels[start : start + settings.batch_size])
            features[rows[filled : filled + len(batch)]] = compute_features(
                network, batch, device, precision=settings.precision
            )
            filled += len(batch)
            bar.advance(len(batch))
    frames_key = stored_frames_key(store, recording_id)
    assert frames_key is not None
    provenance = Provenance(
        stage=STAGE, stage_key=features_key(card.weights_sha256, frames_key, settings), model_hash=card.weights_sha256
    )
    write_part(
        store.features(card.model_id, recording_id), _as_table(table, features, valid, card.model_id), provenance
    )
    return int(table.num_rows)


def compute_features(
    network: KhorramiCNN, pixels: torch.Tensor, device: torch.device, *, precision: str = "float32"
) -> npt.NDArray[np.float32]:
    """Features of one batch.

    Args:
        network: on `device`, in evaluation mode.
        pixels: `[batch, channel, size, size]` uint8.
        device: where the network is.
        precision: `float32`, or `auto` as in `tasks.training.devices.mixed_precision`.

    Returns: `[batch, 300]`.
    """
    with torch.inference_mode(), mixed_precision(precision, device):
        found: npt.NDArray[np.float32] = network.features(pixels.to(device)).float().cpu().numpy()
    return found


def _as_table(
    frames: pa.Table, features: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], model_id: str
) -> pa.Table:
    column = pa.FixedSizeListArray.from_arrays(
        pa.array(features.ravel()), type=FEATURES.field("feature").type, mask=pa.array(~valid)
    )
    columns = {
        "recording_id": frames["recording_id"],
        "model_id": pa.array([model_id] * frames.num_rows),
        "frame_index": frames["frame_index"],
        "time_seconds": frames["time_seconds"],
        "face_valid": frames["face_valid"],
        "feature": column,
    }
    return pa.table(columns, schema=FEATURES)
