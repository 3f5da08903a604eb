"""Expressions and valence of every frame of a clip, from its chips."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from models.blocks import FaceNetwork
from models.image_augmentation import shifted_views
from models.smoothing import centred_mean
from models.valence import VALENCE, expected_valence
from schemas.cards import ExpressionCard
from schemas.expression_tables import analysis_schema
from schemas.tables import frames_schema
from tasks.analyze.plan import SMOOTHING_SECONDS, STAGE, VIEWS
from tasks.features.compute import Extractor
from tasks.features.reading import stored_chips
from tasks.ingest.media import DECODER_VERSION
from tasks.ingest.recordings import Recording
from tasks.progress import track
from tasks.store.layout import Store
from tasks.store.parts import Provenance, read_table, write_part
from tasks.training.networks import ChipNetwork, InputShape

_GROUPS_AHEAD = 4


def write_expressions(
    store: Store,
    recording: Recording,
    target: Path,
    *,
    network: FaceNetwork,
    card: ExpressionCard,
    device: torch.device,
    key: str,
) -> None:
    """Write the table of a clip, `schemas.expression_tables.analysis_schema`: a row for every frame.

    Args:
        store: the clip's `frames` are read from it.
        recording: the clip.
        target: the table.
        network: in evaluation mode.
        card: of the network.
        device: where it computes.
        key: stage key of the results.

    Raises:
        StoreError: there are no rows, or the table cannot be written.
    """
    schema = analysis_schema(card.classes)
    measured = [name for name in schema.names if name in frames_schema("rgb96").names]
    frames = read_table(store.frames(recording.recording_id), frames_schema("rgb96"), measured)
    valid = frames["face_valid"].to_numpy(zero_copy_only=False)
    found = np.full((frames.num_rows, len(card.classes)), np.nan, np.float32)
    found[valid] = _of_chips(store, recording, network, card, device)
    table = _as_table(frames, found, schema, card.classes)
    extra = {
        "model_id": card.model_id,
        "dataset": card.dataset.name,
        "valence": json.dumps({name: VALENCE[name] for name in card.classes}),
        "smoothing_seconds": str(SMOOTHING_SECONDS),
        "views": str(VIEWS),
    }
    provenance = Provenance(
        stage=STAGE,
        stage_key=key,
        source_sha256=recording.sha256,
        decoder_version=DECODER_VERSION,
        model_hash=card.weights_sha256,
        extra=extra,
    )
    write_part(target, table, provenance)


def _of_chips(
    store: Store, recording: Recording, network: FaceNetwork, card: ExpressionCard, device: torch.device
) -> npt.NDArray[np.float32]:
    """Probabilities of every frame with a face, in order, `[face, class]`."""
    extractor = Extractor(network, InputShape(card.input_size, card.channels), device, answer=face_probabilities)
    found = [np.empty((0, len(card.classes)), np.float32)]
    with (
        ThreadPoolExecutor(1) as readers,
        track(
            f"expressions {recording.recording_id}",
            recording.num_frames,
            "frames",
            recorded_seconds=recording.duration_seconds,
        ) as bar,
    ):
        chips = stored_chips(readers, [store.frames(recording.recording_id)], _GROUPS_AHEAD)
        for block in extractor.blocks(chips, threads=torch.get_num_threads()):
            found.append(block)
            bar.advance(len(block))
        bar.advance(recording.num_frames - sum(map(len, found)))
    return np.concatenate(found)


def face_probabilities(network: ChipNetwork, pixels: torch.Tensor) -> torch.Tensor:
    """Probability of each class, the mean over `VIEWS` views.

    Args:
        network: in evaluation mode.
        pixels: `[face, channel, size, size]`, 0 to 255, on the network's device.

    Returns: `[face, class]`, rows sum to 1.
    """
    views = shifted_views(pixels.float(), VIEWS, step=0)
    return torch.stack([network(view).float().softmax(dim=1) for view in views]).mean(dim=0)


def _as_table(
    frames: pa.Table, found: npt.NDArray[np.float32], schema: pa.Schema, classes: tuple[str, ...]
) -> pa.Table:
    known = ~np.isnan(found[:, 0])
    valence = expected_valence(found, classes)
    smooth = centred_mean(frames["time_seconds"].to_numpy(), valence, seconds=SMOOTHING_SECONDS)
    best = np.where(known, np.nan_to_num(found).argmax(axis=1), -1)
    said: dict[str, npt.NDArray[np.floating]] = {
        **{f"probability_{name}": found[:, number] for number, name in enumerate(classes)},
        "valence_estimate": valence,
        "valence_smoothed": smooth,
    }
    columns = {name: frames[name] for name in schema.names if name in frames.column_names}
    columns |= {name: pa.array(values.astype(np.float32), mask=~known) for name, values in said.items()}
    columns["expression"] = pa.array([classes[one] if one >= 0 else None for one in best.tolist()], pa.string())
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)
