"""Arrow schemas of a store's tables: recordings, ratings, sound, frames, people, features, predictions, failures.

Those of scores and agreement stand in `schemas.score_tables`, those of expressions in `schemas.expression_tables`.
A store is a folder of plain Parquet that others read without this project's code, so these schemas are
contracts: a new nullable column is a minor version, anything else is a major version (see
docs/decisions/0006-store-layout.md). Times are seconds after the container's start, in float64.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = "1.2"

CHIP_SIZE = 96
"""Side of the stored aligned face, pixels."""

CHIP_BYTES = {"rgb96": CHIP_SIZE * CHIP_SIZE * 3, "gray96": CHIP_SIZE * CHIP_SIZE}
"""Bytes of one chip by `chip_format`; row-major, interleaved colour."""

NUM_FEATURES = 300
NUM_MEL_BANDS = 40

EMBEDDING_SIZE = 128
"""Numbers that dlib's face-recognition network makes of a face."""

SIGNATURE_SIZE = 24 * 24
"""Blocks of an aligned face whose luma tells whether it looks as another."""


def column(name: str, kind: pa.DataType, *, nullable: bool = False) -> pa.Field[pa.DataType]:
    """A column of a schema: not nullable unless it says so."""
    return pa.field(name, kind, nullable=nullable)


RECORDINGS = pa.schema(
    [
        column("recording_id", pa.string()),
        column("recording_id_original", pa.string()),
        column("subject_id", pa.string()),
        column("path", pa.string()),
        column("partition", pa.string(), nullable=True),  # train | dev | test | null: predicted, never scored
        column("sha256", pa.string()),
        column("bytes", pa.int64()),
        column("modified", pa.timestamp("ns", tz="UTC")),
        column("duration_seconds", pa.float64()),
        column("width", pa.int32()),  # as stored in the stream
        column("height", pa.int32()),
        column("rotation", pa.int32()),  # degrees clockwise that a player turns the picture by
        column("pixel_aspect", pa.float64()),  # width of a pixel / its height
        column("colour_matrix", pa.string(), nullable=True),  # bt601 | bt709, limited range; null: any other
        column("num_frames", pa.int64()),  # frames in the index of the stream
        column("frame_rate_nominal", pa.float64(), nullable=True),
        column("video_start_seconds", pa.float64()),  # first frame, after the container's start
        column("time_source", pa.string()),  # stream | declared_rate
        column("audio_path", pa.string(), nullable=True),
        column("audio_codec", pa.string(), nullable=True),
        column("audio_sample_rate", pa.int32(), nullable=True),
        column("audio_channels", pa.int32(), nullable=True),
        column("audio_start_seconds", pa.float64(), nullable=True),  # after the video container's start
        column("audio_duration_seconds", pa.float64(), nullable=True),
    ]
)

INDEX = pa.schema(
    [
        column("recording_id", pa.string()),
        column("frame_index", pa.int32()),  # 0-based, display order
        column("pts", pa.int64()),  # in units of the stream's time base
        column("time_seconds", pa.float64()),
        column("is_keyframe", pa.bool_()),
    ]
)

RATINGS = pa.schema(
    [
        column("recording_id", pa.string()),
        column("dimension", pa.string()),
        column("rater", pa.string()),
        column("time_seconds", pa.float64()),
        column("value", pa.float64(), nullable=True),  # rescaled to [-1, 1]; null where the rater gave none
        column("value_original", pa.float64(), nullable=True),
        column("scale_min", pa.float64()),
        column("scale_max", pa.float64()),
        column("is_imputed", pa.bool_()),
    ]
)

GOLD_STANDARDS = pa.schema(
    [
        column("recording_id", pa.string()),
        column("dimension", pa.string()),
        column("source", pa.string()),  # the column's name in the corpus
        column("time_seconds", pa.float64()),
        column("value", pa.float64(), nullable=True),  # rescaled to [-1, 1]
        column("value_original", pa.float64(), nullable=True),
        column("scale_min", pa.float64()),
        column("scale_max", pa.float64()),
        column("is_imputed", pa.bool_()),
    ]
)
"""What a corpus ships as its gold standard. Kept apart from `RATINGS`: nobody rated it, and it counts as no rater."""

AUDIO = pa.schema(
    [
        column("recording_id", pa.string()),
        column("time_seconds", pa.float64()),  # centre of the analysis window
        column("log_mel", pa.list_(pa.field("item", pa.float32(), nullable=False), NUM_MEL_BANDS)),
    ]
)


def frames_schema(chip_format: str) -> pa.Schema:
    """Schema of `S/frames` for a chip format: one row per decoded frame.

    Args:
        chip_format: a key of `CHIP_BYTES`.
    """
    return pa.schema(
        [
            column("recording_id", pa.string()),
            column("frame_index", pa.int32()),
            column("time_seconds", pa.float64()),
            column("face_valid", pa.bool_()),
            column("face_source", pa.string()),  # detected | tracked | none
            column("detection_score", pa.float32(), nullable=True),  # of the detector, where it ran
            column("tracking_score", pa.float32(), nullable=True),  # likeness to the frame before, where carried: to 1
            column("box_left", pa.float32(), nullable=True),
            column("box_top", pa.float32(), nullable=True),
            column("box_right", pa.float32(), nullable=True),
            column("box_bottom", pa.float32(), nullable=True),
            column("landmarks", pa.list_(pa.float32(), 10), nullable=True),
            column("chip", pa.binary(CHIP_BYTES[chip_format]), nullable=True),
            column("sharpness", pa.float32(), nullable=True),
            column("brightness", pa.float32(), nullable=True),
            column("yaw", pa.float32(), nullable=True),
            column("pitch", pa.float32(), nullable=True),
            column("roll", pa.float32(), nullable=True),
            column("num_other_faces", pa.int32(), nullable=True),
        ]
    )


IDENTITIES = pa.schema(
    [
        column("recording_id", pa.string()),
        column("person", pa.int32()),  # 0: the main person; then by sightings, most first
        column("num_sightings", pa.int32()),  # sampled frames that show this person
        column("first_seen_seconds", pa.float64()),
        column("last_seen_seconds", pa.float64()),
        column("median_box_side", pa.float32()),  # pixels of the upright, square-pixel picture
        column("embedding", pa.list_(pa.field("item", pa.float32(), nullable=False), EMBEDDING_SIZE)),
        column(  # of the sampled frames: luma in 24x24 blocks, mean 0 and length 1
            "signatures",
            pa.list_(pa.list_(pa.field("item", pa.float32(), nullable=False), SIGNATURE_SIZE)),
            nullable=True,
        ),
    ]
)
"""The persons of a recording, as a sparse first pass over it found them. Biometric data: an embedding identifies a
person, so guard and delete these files like the recordings. No rows: no face was seen."""

_PEOPLE = [
    column("recording_id", pa.string()),
    column("frame_index", pa.int32()),
    column("time_seconds", pa.float64()),
    column("person", pa.int32()),  # 0: the main person, whose rows are those of `frames`; then by rows, most first
    column("track", pa.int32()),  # a face followed from frame to frame without a gap; in order of their first frames
    column("face_source", pa.string()),  # detected | tracked
    column("detection_score", pa.float32(), nullable=True),
    column("tracking_score", pa.float32(), nullable=True),
    column("box_left", pa.float32()),
    column("box_top", pa.float32()),
    column("box_right", pa.float32()),
    column("box_bottom", pa.float32()),
    column("landmarks", pa.list_(pa.float32(), 10)),
    column("sharpness", pa.float32(), nullable=True),
    column("brightness", pa.float32(), nullable=True),
    column("yaw", pa.float32(), nullable=True),
    column("pitch", pa.float32(), nullable=True),
    column("roll", pa.float32(), nullable=True),
]

PEOPLE = pa.schema(_PEOPLE)
"""A row for every face in every frame, in the order of frames and then of persons; a person has one row in a frame at
most. Columns as in `frames`."""

UNJOINED = pa.schema(
    [
        *(field for field in _PEOPLE if field.name != "person"),
        column("is_main", pa.bool_()),
        column("embedding", pa.list_(pa.float32(), EMBEDDING_SIZE), nullable=True),  # where one was taken
    ]
)
"""A segment of `PEOPLE` while whose faces they are is still open; `track` counts within the segment. Removed once that
is settled."""


def features_schema(num_features: int) -> pa.Schema:
    """The table of a network's features, `num_features` of each frame."""
    return pa.schema(
        [
            column("recording_id", pa.string()),
            column("model_id", pa.string()),
            column("frame_index", pa.int32()),
            column("time_seconds", pa.float64()),
            column("face_valid", pa.bool_()),
            column("feature", pa.list_(pa.float32(), num_features), nullable=True),
        ]
    )


FEATURES = features_schema(NUM_FEATURES)
"""Of K's network."""

PREDICTIONS = pa.schema(
    [
        column("recording_id", pa.string()),
        column("model_id", pa.string()),
        column("frame_index", pa.int32()),
        column("time_seconds", pa.float64()),
        column("dimension", pa.string()),
        column("rater", pa.string()),
        column("value", pa.float64(), nullable=True),
        column("face_valid", pa.bool_()),
    ]
)

FAILURES = pa.schema(
    [
        column("recording_id", pa.string()),
        column("stage", pa.string()),
        column("error", pa.string()),
        column("message", pa.string()),
        column("path", pa.string(), nullable=True),
        column("at", pa.timestamp("us", tz="UTC")),
    ]
)
