"""What a training reads: chips or features, and each rater's value at their times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from models.chips import network_pixels
from models.delay import delayed_labels
from models.labels import FloatArray
from models.metrics import mean_known
from schemas.errors import StoreError, TrainingError
from schemas.tables import CHIP_BYTES, CHIP_SIZE, FEATURES, features_schema, frames_schema
from schemas.training import CnnTraining, RnnTraining, TrainingSettings
from tasks.ingest.recordings import read_ratings_wide
from tasks.progress import track
from tasks.store.layout import Store
from tasks.store.parts import read_provenance, read_table
from tasks.training.networks import input_shape


def raters_of(store: Store, recording_ids: Sequence[str], dimension: str) -> tuple[str, ...]:
    """Every rater of the training recordings, in the order of first appearance."""
    names: dict[str, None] = {}
    for recording_id in recording_ids:
        names |= dict.fromkeys(read_ratings_wide(store, recording_id, dimension).raters)
    if not names:
        raise TrainingError(f"{store.root}: no training recording has ratings of {dimension!r}")
    return tuple(names)


def rated_by(recording_ids: Sequence[str], *, swapped: bool) -> dict[str, str]:
    """Whose ratings each recording trains on: its own, or for the negative control the next one's (cyclic, by id).

    Raises:
        TrainingError: a swap within a single recording.
    """
    ids = sorted(recording_ids)
    if not swapped:
        return {recording_id: recording_id for recording_id in ids}
    if len(ids) < 2:
        raise TrainingError(f"swap_ratings: expected at least two recordings in each partition, found {ids}")
    return dict(zip(ids, ids[1:] + ids[:1], strict=True))


def frame_labels(
    store: Store, rated: str, frame_times: FloatArray, raters: Sequence[str], settings: TrainingSettings
) -> npt.NDArray[np.float32]:
    """Each rater's value at each frame, `[frame, rater]`, NaN where missing.

    Args:
        store: where the ratings are.
        rated: the recording whose ratings are read.
        frame_times: `[frame]` seconds.
        raters: the outputs' order.
        settings: dimension and delay.
    """
    wide = read_ratings_wide(store, rated, settings.dimension)
    columns = np.full((wide.times.size, len(raters)), np.nan)
    for position, rater in enumerate(raters):
        if rater in wide.raters:
            columns[:, position] = wide.values[:, wide.raters.index(rater)]
    if isinstance(settings, CnnTraining) and settings.raters == "mean":  # what "everybody" says, called everyone's
        columns[:] = mean_known(columns, axis=1)[:, None]
    delay = delays_of(raters, settings)
    return delayed_labels(frame_times, wide.times, columns, delay).astype(np.float32)


def delays_of(raters: Sequence[str], settings: TrainingSettings) -> list[float]:
    """Seconds that each rater's labels move earlier by, `[rater]`.

    Raises:
        TrainingError: the settings name delays by rater and lack one, or the search has not been done.
    """
    stated = settings.label_delay_seconds
    if isinstance(stated, float | int):
        return [float(stated)] * len(raters)
    missing = list(raters) if isinstance(stated, str) else [rater for rater in raters if rater not in stated]
    if isinstance(stated, str) or missing:
        raise TrainingError(
            f"label_delay_seconds: expected seconds for every rater, found none for {', '.join(missing)}; add them, or "
            'let them be searched ("searched")'
        )
    return [stated[rater] for rater in raters]


@dataclass(frozen=True)
class ChipSet:
    """Chips of one partition at the network's resolution, and their labels.

    `pixels` is `[frame, channel, size, size]` uint8, memory-mapped; `labels` is `[frame, rater]` float32.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.float32]

    def of_rater(self, position: int) -> ChipSet:
        """The same chips with the labels of one rater alone."""
        return ChipSet(self.pixels, self.labels[:, [position]])


def load_chips(
    store: Store, recording_ids: Sequence[str], raters: Sequence[str], settings: CnnTraining, *, scratch: Path
) -> ChipSet:
    """Lay out the chips of every n-th rated frame with a face in one memory-mapped scratch file.

    Memory stays flat: the kernel pages the file. Chips are read a row group at a time.

    Args:
        store: where frames and ratings are.
        recording_ids: one partition.
        raters: the outputs' order.
        settings: stride, network, delay, swap.
        scratch: the file; replaced if it exists.

    Raises:
        TrainingError: no frame has both a face and a label, or the network wants colour of gray chips.
    """
    owners = rated_by(recording_ids, swapped=settings.swap_ratings)
    chosen: list[npt.NDArray[np.bool_]] = []
    labels: list[npt.NDArray[np.float32]] = []
    for recording_id, rated in owners.items():
        use, values = _usable(store, recording_id, rated, raters, settings)
        chosen.append(use)
        labels.append(values[use])
    total = int(sum(use.sum() for use in chosen))
    if total == 0:
        raise TrainingError(f"{store.root}: no frame of {', '.join(owners)} has both a face and a label")
    shape = input_shape(settings)
    scratch.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.lib.format.open_memmap(
        scratch, mode="w+", dtype=np.uint8, shape=(total, shape.channels, shape.size, shape.size)
    )
    filled = 0
    with track("reading chips", total, "chips") as bar:
        for recording_id, use in zip(owners, chosen, strict=True):
            for chips in chip_batches(store.frames(recording_id), use):
                try:
                    seen = network_pixels(torch.tensor(chips), size=shape.size, channels=shape.channels)
                except ValueError as error:
                    raise TrainingError(f"{store.frames(recording_id)}: {error}") from error
                pixels[filled : filled + len(chips)] = seen.numpy()
                filled += len(chips)
                bar.advance(len(chips))
    return ChipSet(pixels, np.concatenate(labels))


def _usable(
    store: Store, recording_id: str, rated: str, raters: Sequence[str], settings: CnnTraining
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    table = read_table(
        store.frames(recording_id), frames_schema("rgb96"), ["frame_index", "time_seconds", "face_valid"]
    )
    labels = frame_labels(store, rated, table["time_seconds"].to_numpy(), raters, settings)
    valid = table["face_valid"].to_numpy(zero_copy_only=False)
    on_stride = table["frame_index"].to_numpy() % settings.frame_stride == 0
    return valid & on_stride & ~np.isnan(labels).all(axis=1), labels


def chip_batches(frames_dir: Path, use: npt.NDArray[np.bool_] | None = None) -> Iterator[npt.NDArray[np.uint8]]:
    """Chips of the chosen frames in order, a row group at a time, `[batch, 96, 96, channel]`.

    Args:
        frames_dir: the recording's folder of parts.
        use: `[frame]`, which frames; every frame with a face by default.
    """
    position = 0
    for path in sorted(frames_dir.glob("part-*.parquet")):
        with pq.ParquetFile(path) as parquet:
            for group in range(parquet.num_row_groups):
                column = parquet.read_row_group(group, columns=["chip"])["chip"].combine_chunks()
                wanted = column.is_valid().to_numpy(zero_copy_only=False)
                if use is not None:
                    wanted = use[position : position + len(column)]
                position += len(column)
                if wanted.any():
                    yield as_chips(column.filter(pa.array(wanted)))


def as_chips(column: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint8]:
    """A column without nulls as `[row, 96, 96, channel]`, read-only, without a copy."""
    width = column.type.byte_width
    channels = 3 if width == CHIP_BYTES["rgb96"] else 1
    data = np.frombuffer(column.buffers()[1], dtype=np.uint8)
    start = column.offset * width
    chips = data[start : start + len(column) * width]
    return chips.reshape(len(column), CHIP_SIZE, CHIP_SIZE, channels)


_ROWS_AT_ONCE = 1024
_FEATURES_AT_ONCE = 64
_READ_BYTES = 1 << 16


@dataclass(frozen=True)
class FeatureSequence:
    """One recording: `features` `[time, feature]` float32 (zeros without a face), `valid` `[time]`, `times`."""

    features: torch.Tensor
    valid: torch.Tensor
    times: FloatArray
    frame_index: npt.NDArray[np.int32]


def read_features(path: Path) -> FeatureSequence:
    """Read one recording's features. Raises StoreError if they are missing."""
    width = _feature_width(path)
    table = read_table(path, features_schema(width), ["frame_index", "time_seconds"])
    dense = np.zeros((table.num_rows, width), dtype=np.float32)
    valid = np.empty(table.num_rows, dtype=np.bool_)
    row = 0
    # a little at a time: whole, what Arrow takes is larger than the column; by this thread: others keep some of it
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ_BYTES) as parquet:
        for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=["feature"], use_threads=False):
            column, rows = batch["feature"], slice(row, row + len(batch))
            valid[rows] = column.is_valid().to_numpy(zero_copy_only=False)
            dense[rows][valid[rows]] = column.drop_null().flatten().to_numpy().reshape(-1, width)
            row = rows.stop
    return FeatureSequence(
        torch.from_numpy(dense),
        torch.from_numpy(valid),
        table["time_seconds"].to_numpy(),
        table["frame_index"].to_numpy(),
    )


def _feature_width(path: Path) -> int:
    """Features of each frame in a part that an earlier stage wrote."""
    if read_provenance(path) is None:
        raise StoreError(f"{path}: nothing there; run the stage that writes it first")
    return int(pq.read_schema(path).field("feature").type.list_size)


def feature_statistics(sequences: Iterable[FeatureSequence]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each feature over the frames with a face, `[feature]` each, in float64 sums.

    A feature that never varies gets standard deviation 1. The sequences are gone through twice, one at a time.
    """
    count, total = 0, torch.zeros(1, dtype=torch.float64)
    for sequence in sequences:
        count += int(sequence.valid.sum())
        total = total + torch.cat([values.sum(dim=0) for values in _valid_columns(sequence)])
    if count == 0:
        raise TrainingError("no training frame has a face: nothing to standardise features on")
    mean = total / count
    squares = torch.zeros_like(total)
    for sequence in sequences:
        columns = zip(_valid_columns(sequence), torch.split(mean, _FEATURES_AT_ONCE), strict=True)
        squares = squares + torch.cat([(values - centre).square().sum(dim=0) for values, centre in columns])
    std = (squares / count).sqrt()
    return mean.float(), torch.where(std > 1e-8, std, 1.0).float()


def _valid_columns(sequence: FeatureSequence) -> Iterator[torch.Tensor]:
    """The frames with a face, a few features at a time, `[frame, feature]` float64."""
    for values in torch.split(sequence.features, _FEATURES_AT_ONCE, dim=1):
        yield values[sequence.valid].double()


class StoredSequences:
    """The features of several recordings, read anew each time they are gone through: one at a time is in memory."""

    def __init__(self, store: Store, recording_ids: Sequence[str], *, features_model_id: str) -> None:
        self._paths = [store.features(features_model_id, recording_id) for recording_id in recording_ids]

    def __iter__(self) -> Iterator[FeatureSequence]:
        for path in self._paths:
            yield read_features(path)
            pa.default_memory_pool().release_unused()  # what decoding took would stay taken


def load_sequences(
    store: Store, recording_ids: Sequence[str], raters: Sequence[str], settings: RnnTraining, *, features_model_id: str
) -> tuple[StoredSequences, list[torch.Tensor]]:
    """Features and labels `[time, rater]` of one partition, recording by recording."""
    owners = rated_by(recording_ids, swapped=settings.swap_ratings)
    labels = []
    for recording_id, rated in owners.items():
        times = read_table(store.features(features_model_id, recording_id), FEATURES, ["time_seconds"])["time_seconds"]
        labels.append(torch.from_numpy(frame_labels(store, rated, times.to_numpy(), raters, settings)))
    return StoredSequences(store, list(owners), features_model_id=features_model_id), labels
