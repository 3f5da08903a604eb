"""What later stages read of ingestion: the recordings, their ratings, and the keys that say whether either changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.evaluation import Partition
from schemas.tables import GOLD_STANDARDS, RATINGS, RECORDINGS
from tasks.store.layout import Store
from tasks.store.parts import holds_only, read_provenance, read_table, stage_key

STAGE_VERSION = 1
"""Raise when the index, or what is read of a container, changes."""

DIMENSION_KEYS = "dimension_keys"
"""Where a part of ratings keeps the key of each of its dimensions, as JSON."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One row of `recordings.parquet`; the fields are those of `schemas.tables.RECORDINGS`, and mean the same.

    `modified_ns` is that table's `modified` in nanoseconds since 1970. `duration_seconds` is where the last frame ends.
    Every time counts from the start of the video's container.
    """

    recording_id: str
    recording_id_original: str
    subject_id: str
    path: str
    partition: Partition | None
    sha256: str
    bytes: int
    modified_ns: int
    duration_seconds: float
    width: int
    height: int
    rotation: int
    pixel_aspect: float
    colour_matrix: Literal["bt601", "bt709"] | None
    num_frames: int
    frame_rate_nominal: float | None
    video_start_seconds: float
    time_source: Literal["stream", "declared_rate"]
    audio_path: str | None
    audio_codec: str | None
    audio_sample_rate: int | None
    audio_channels: int | None
    audio_start_seconds: float | None
    audio_duration_seconds: float | None


@dataclass(frozen=True)
class RatingsWide:
    """Ratings of one recording: `times` [sample] in seconds, `values` [sample, rater] in [-1, 1], `raters` [rater].

    A value is NaN where the rater gave none, and by default where it is imputed. Raters stand in the order of their
    file.
    """

    times: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    raters: tuple[str, ...]


NOT_RATED = RatingsWide(np.empty(0), np.empty((0, 0)), ())
"""Of nobody."""


def read_recordings(store: Store) -> list[Recording]:
    """Every recording of the store, sorted by id.

    Raises:
        StoreError: nothing has been ingested yet, or the table is not Parquet.
        SchemaVersionError: it was written under another major schema version.
    """
    table = read_table(store.recordings, RECORDINGS)
    modified = table.column("modified").cast(pa.int64())
    table = table.set_column(RECORDINGS.get_field_index("modified"), "modified_ns", modified)
    return [Recording(**row) for row in table.to_pylist()]


def read_corpus_note(store: Store) -> str:
    """What every report on this store must say of its corpus, such as that it is synthetic; "" if there is nothing."""
    return (read_provenance(store.recordings) or {}).get("corpus_note", "")


def recordings_table(recordings: Sequence[Recording]) -> pa.Table:
    """The rows as `schemas.tables.RECORDINGS`, sorted by id."""
    rows = [asdict(recording) for recording in sorted(recordings, key=lambda recording: recording.recording_id)]
    columns = []
    for field, name in zip(RECORDINGS, (field.name for field in fields(Recording)), strict=True):
        kind = pa.int64() if name == "modified_ns" else field.type
        columns.append(pa.array([row[name] for row in rows], kind).cast(field.type))
    return pa.Table.from_arrays(columns, schema=RECORDINGS)


def read_ratings_wide(store: Store, recording_id: str, dimension: str, *, keep_imputed: bool = False) -> RatingsWide:
    """The ratings of one recording in one dimension, one column per rater.

    Args:
        store: where the ratings are.
        recording_id: whose.
        dimension: which; without ratings of it there are no raters.
        keep_imputed: values made up before a rater's first sample and after the last stay; by default they are NaN.

    Raises:
        StoreError: the recording has no ratings (`ratings_key` is None).
    """
    table = read_table(
        store.ratings(recording_id),
        RATINGS,
        ["dimension", "rater", "time_seconds", "value", "is_imputed"],
        encoded=["dimension", "rater"],
    )
    if not holds_only(table.column("dimension"), dimension):
        table = table.filter(pc.equal(table.column("dimension").cast(pa.string()), dimension))
    raters = tuple(pc.unique(table.column("rater")).to_pylist())
    if not raters:
        return NOT_RATED
    num_samples = table.num_rows // len(raters)
    values = table.column("value").to_numpy().copy()
    if not keep_imputed:
        values[table.column("is_imputed").to_numpy()] = np.nan
    times = table.column("time_seconds").to_numpy()[:num_samples]
    return RatingsWide(times, np.ascontiguousarray(values.reshape(len(raters), num_samples).T), raters)


def read_gold_standard(store: Store, recording_id: str, dimension: str) -> RatingsWide | None:
    """The gold standard that the corpus ships for a recording, as one column named after its source; None without one.

    Imputed values are NaN.
    """
    path = store.gold_standards(recording_id)
    if not path.exists():
        return None
    table = read_table(path, GOLD_STANDARDS, ["dimension", "source", "time_seconds", "value", "is_imputed"])
    table = table.filter(pc.equal(table.column("dimension"), dimension))
    if table.num_rows == 0:
        return None
    values = table.column("value").to_numpy().copy()
    values[table.column("is_imputed").to_numpy()] = np.nan
    return RatingsWide(table.column("time_seconds").to_numpy(), values[:, None], (table.column("source")[0].as_py(),))


def ratings_key(store: Store, recording_id: str, dimension: str) -> str | None:
    """Key of a recording's ratings of one dimension, None if it has none.

    It changes with what `read_ratings_wide` reads, hence not with another dimension beside it. A part of older code
    says nothing of its dimensions: there it is the stage key of the whole part.
    """
    return _dimension_key_of(store.ratings(recording_id), dimension)


def gold_standard_key(store: Store, recording_id: str, dimension: str) -> str | None:
    """Key of the gold standard that the corpus ships for a recording, None without one; as `ratings_key`."""
    return _dimension_key_of(store.gold_standards(recording_id), dimension)


def gold_standard_alone(store: Store, recordings: Sequence[Recording], dimension: str) -> str:
    """The first recordings that have a gold standard of the corpus, and no rater, for messages; "" if none has."""
    names = [
        one.recording_id
        for one in recordings
        if ratings_key(store, one.recording_id, dimension) is None
        and gold_standard_key(store, one.recording_id, dimension) is not None
    ]
    return ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")


def _dimension_key_of(part: Path, dimension: str) -> str | None:
    found = read_provenance(part)
    if found is None:
        return None
    if DIMENSION_KEYS not in found:
        return found["stage_key"]
    keys: dict[str, str] = json.loads(found[DIMENSION_KEYS])
    return keys.get(dimension)


def dimension_key(table: pa.Table) -> str:
    """What stands in a part of ratings for one dimension: a hash of everything that later stages read of it.

    Args:
        table: the dimension's rows, as `schemas.tables.RATINGS` or `GOLD_STANDARDS`.
    """
    name = "rater" if "rater" in table.column_names else "source"
    raters = pc.dictionary_encode(table.column(name).combine_chunks())
    read = hashlib.sha256(json.dumps(raters.dictionary.to_pylist()).encode())
    read.update(raters.indices.to_numpy().tobytes())
    for name in ("time_seconds", "value", "is_imputed"):
        read.update(np.ascontiguousarray(table.column(name).to_numpy()).tobytes())
    return read.hexdigest()[:16]


def recording_key(recording: Recording) -> str:
    """Stage key of a recording's video and its index: changes with the file's content and a declared frame rate.

    Its partition, subject and path are not part of it.
    """
    rate = recording.frame_rate_nominal if recording.time_source == "declared_rate" else None
    return stage_key("ingest", STAGE_VERSION, {"declared_frame_rate": rate}, [recording.sha256])
