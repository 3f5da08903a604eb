"""Arrow schemas of every table in a store.

A store is a folder of plain Parquet that others read without this project's code, so these schemas are
contracts: a new nullable column is a minor version, anything else is a major version (see
docs/decisions/0006-store-layout.md). Times are seconds after the container's start, in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def _field(name: str, kind: pa.DataType, *, nullable: bool = False) -> pa.Field[pa.DataType]:
    return pa.field(name, kind, nullable=nullable)


RECORDINGS = pa.schema(
    [
        _field("recording_id", pa.string()),
        _field("recording_id_original", pa.string()),
        _field("subject_id", pa.string()),
        _field("path", pa.string()),
        _field("partition", pa.string(), nullable=True),  # train | dev | test | null: predicted, never scored
        _field("sha256", pa.string()),
        _field("bytes", pa.int64()),
        _field("modified", pa.timestamp("ns", tz="UTC")),
        _field("duration_seconds", pa.float64()),
        _field("width", pa.int32()),  # as stored in the stream
        _field("height", pa.int32()),
        _field("rotation", pa.int32()),  # degrees clockwise that a player turns the picture by
        _field("pixel_aspect", pa.float64()),  # width of a pixel / its height
        _field("colour_matrix", pa.string(), nullable=True),  # bt601 | bt709, limited range; null: any other
        _field("num_frames", pa.int64()),  # frames in the index of the stream
        _field("frame_rate_nominal", pa.float64(), nullable=True),
        _field("video_start_seconds", pa.float64()),  # first frame, after the container's start
        _field("time_source", pa.string()),  # stream | declared_rate
        _field("audio_path", pa.string(), nullable=True),
        _field("audio_codec", pa.string(), nullable=True),
        _field("audio_sample_rate", pa.int32(), nullable=True),
        _field("audio_channels", pa.int32(), nullable=True),
        _field("audio_start_seconds", pa.float64(), nullable=True),  # after the video container's start
        _field("audio_duration_seconds", pa.float64(), nullable=True),
    ]
)

INDEX = pa.schema(
    [
        _field("recording_id", pa.string()),
        _field("frame_index", pa.int32()),  # 0-based, display order
        _field("pts", pa.int64()),  # in units of the stream's time base
        _field("time_seconds", pa.float64()),
        _field("is_keyframe", pa.bool_()),
    ]
)

RATINGS = pa.schema(
    [
        _field("recording_id", pa.string()),
        _field("dimension", pa.string()),
        _field("rater", pa.string()),
        _field("time_seconds", pa.float64()),
        _field("value", pa.float64(), nullable=True),  # rescaled to [-1, 1]; null where the rater gave none
        _field("value_original", pa.float64(), nullable=True),
        _field("scale_min", pa.float64()),
        _field("scale_max", pa.float64()),
        _field("is_imputed", pa.bool_()),
    ]
)

GOLD_STANDARDS = pa.schema(
    [
        _field("recording_id", pa.string()),
        _field("dimension", pa.string()),
        _field("source", pa.string()),  # the column's name in the corpus
        _field("time_seconds", pa.float64()),
        _field("value", pa.float64(), nullable=True),  # rescaled to [-1, 1]
        _field("value_original", pa.float64(), nullable=True),
        _field("scale_min", pa.float64()),
        _field("scale_max", pa.float64()),
        _field("is_imputed", pa.bool_()),
    ]
)
"""What a corpus ships as its gold standard. Kept apart from `RATINGS`: nobody rated it, and it counts as no rater."""

AUDIO = pa.schema(
    [
        _field("recording_id", pa.string()),
        _field("time_seconds", pa.float64()),  # centre of the analysis window
        _field("log_mel", pa.list_(pa.field("item", pa.float32(), nullable=False), NUM_MEL_BANDS)),
    ]
)


def frames_schema(chip_format: str) -> pa.Schema:
    """Schema of `S/frames` for a chip format: one row per decoded frame.

    Args:
        chip_format: a key of `CHIP_BYTES`.
    """
    return pa.schema(
        [
            _field("recording_id", pa.string()),
            _field("frame_index", pa.int32()),
            _field("time_seconds", pa.float64()),
            _field("face_valid", pa.bool_()),
            _field("face_source", pa.string()),  # detected | tracked | none
            _field("detection_score", pa.float32(), nullable=True),  # of the detector, where it ran
            _field("tracking_score", pa.float32(), nullable=True),  # likeness to the frame before, where carried: to 1
            _field("box_left", pa.float32(), nullable=True),
            _field("box_top", pa.float32(), nullable=True),
            _field("box_right", pa.float32(), nullable=True),
            _field("box_bottom", pa.float32(), nullable=True),
            _field("landmarks", pa.list_(pa.float32(), 10), nullable=True),
            _field("chip", pa.binary(CHIP_BYTES[chip_format]), nullable=True),
            _field("sharpness", pa.float32(), nullable=True),
            _field("brightness", pa.float32(), nullable=True),
            _field("yaw", pa.float32(), nullable=True),
            _field("pitch", pa.float32(), nullable=True),
            _field("roll", pa.float32(), nullable=True),
            _field("num_other_faces", pa.int32(), nullable=True),
        ]
    )


IDENTITIES = pa.schema(
    [
        _field("recording_id", pa.string()),
        _field("person", pa.int32()),  # 0: the main person; then by sightings, most first
        _field("num_sightings", pa.int32()),  # sampled frames that show this person
        _field("first_seen_seconds", pa.float64()),
        _field("last_seen_seconds", pa.float64()),
        _field("median_box_side", pa.float32()),  # pixels of the upright, square-pixel picture
        _field("embedding", pa.list_(pa.field("item", pa.float32(), nullable=False), EMBEDDING_SIZE)),
        _field(  # of the sampled frames: luma in 24x24 blocks, mean 0 and length 1
            "signatures",
            pa.list_(pa.list_(pa.field("item", pa.float32(), nullable=False), SIGNATURE_SIZE)),
            nullable=True,
        ),
    ]
)
"""The persons of a recording, as a sparse first pass over it found them. Biometric data: an embedding identifies a
person, so guard and delete these files like the recordings. No rows: no face was seen."""

_PEOPLE = [
    _field("recording_id", pa.string()),
    _field("frame_index", pa.int32()),
    _field("time_seconds", pa.float64()),
    _field("person", pa.int32()),  # 0: the main person, whose rows are those of `frames`; then by rows, most first
    _field("track", pa.int32()),  # a face followed from frame to frame without a gap; in order of their first frames
    _field("face_source", pa.string()),  # detected | tracked
    _field("detection_score", pa.float32(), nullable=True),
    _field("tracking_score", pa.float32(), nullable=True),
    _field("box_left", pa.float32()),
    _field("box_top", pa.float32()),
    _field("box_right", pa.float32()),
    _field("box_bottom", pa.float32()),
    _field("landmarks", pa.list_(pa.float32(), 10)),
    _field("sharpness", pa.float32(), nullable=True),
    _field("brightness", pa.float32(), nullable=True),
    _field("yaw", pa.float32(), nullable=True),
    _field("pitch", pa.float32(), nullable=True),
    _field("roll", pa.float32(), nullable=True),
]

PEOPLE = pa.schema(_PEOPLE)
"""A row for every face in every frame, in the order of frames and then of persons; a person has one row in a frame at
most. Columns as in `frames`."""

UNJOINED = pa.schema(
    [
        *(field for field in _PEOPLE if field.name != "person"),
        _field("is_main", pa.bool_()),
        _field("embedding", pa.list_(pa.float32(), EMBEDDING_SIZE), nullable=True),  # where one was taken
    ]
)
"""A segment of `PEOPLE` while whose faces they are is still open; `track` counts within the segment. Removed once that
is settled."""


def features_schema(num_features: int) -> pa.Schema:
    """The table of a network's features, `num_features` of each frame."""
    return pa.schema(
        [
            _field("recording_id", pa.string()),
            _field("model_id", pa.string()),
            _field("frame_index", pa.int32()),
            _field("time_seconds", pa.float64()),
            _field("face_valid", pa.bool_()),
            _field("feature", pa.list_(pa.float32(), num_features), nullable=True),
        ]
    )


FEATURES = features_schema(NUM_FEATURES)
"""Of K's network."""

PREDICTIONS = pa.schema(
    [
        _field("recording_id", pa.string()),
        _field("model_id", pa.string()),
        _field("frame_index", pa.int32()),
        _field("time_seconds", pa.float64()),
        _field("dimension", pa.string()),
        _field("rater", pa.string()),
        _field("value", pa.float64(), nullable=True),
        _field("face_valid", pa.bool_()),
    ]
)

METRICS = pa.schema(
    [
        _field("model_id", pa.string()),
        _field("protocol", pa.string()),
        _field("partition", pa.string()),
        _field("pooling", pa.string()),  # concatenated | per_recording
        _field("recording_id", pa.string(), nullable=True),  # null when pooled
        _field("dimension", pa.string()),
        _field("rater", pa.string()),  # or the gold standard's name, or `mean over raters`: `target` tells them apart
        _field("metric", pa.string()),  # rmse | mae | cc | ccc | sagr
        _field("value", pa.float64(), nullable=True),  # null when degenerate
        _field("ci_low", pa.float64(), nullable=True),  # 95 %, recordings resampled
        _field("ci_high", pa.float64(), nullable=True),
        _field("n", pa.int64()),  # label samples scored
        _field("degenerate", pa.bool_()),
        _field("target", pa.string(), nullable=True),  # rater | gold | mean; null in files of schema 1.1: rater
        _field("reason", pa.string(), nullable=True),  # why there is no value, or no interval
        _field("protocol_line", pa.string(), nullable=True),  # the protocol in words, what it selects on included
    ]
)
"""Scores of one model under one protocol. Whoever averages over raters takes the rows whose `target` is `rater` (or
null), or those of `mean`: since schema 1.2 gold standards have rows of their own."""

FUSIONS = pa.schema(
    [
        _field("protocol", pa.string()),
        _field("dimension", pa.string()),
        _field("partition", pa.string()),
        _field("recording_id", pa.string()),
        _field("fusion", pa.string()),  # mean | ewe | ewe-loo | avec2018
        _field("rater", pa.string()),
        _field("weight", pa.float64(), nullable=True),  # as the fusion defines it; null for a rater without a value
        _field("share", pa.float64(), nullable=True),  # of all weights that counted; 0 to 1 where none is negative
        _field("fallback", pa.string(), nullable=True),  # why the plain mean stands there instead, or null
    ]
)
"""How the gold standards that a protocol scores against were fused: a row for each recording, fusion and rater. In
`avec2018` weights set the offset alone; after a fallback every rater has the same share."""

FAILURES = pa.schema(
    [
        _field("recording_id", pa.string()),
        _field("stage", pa.string()),
        _field("error", pa.string()),
        _field("message", pa.string()),
        _field("path", pa.string(), nullable=True),
        _field("at", pa.timestamp("us", tz="UTC")),
    ]
)

FACE_ROWS = pa.schema(
    [
        _field("row", pa.int64()),  # 0-based row of the source's table, or place in its sorted list of files
        _field("split", pa.string()),  # training | public_test | private_test | validation | test
        _field("label", pa.string()),
        _field("votes", pa.list_(pa.field("item", pa.float32(), nullable=False)), nullable=True),  # FER+'s ten counts
        _field("pixel_hash", pa.binary(16)),
    ]
)
"""The rows of a labelled set of faces; its pictures lie beside it in `pictures.npy`, in the same order."""


def expression_schema(classes: Sequence[str]) -> pa.Schema:
    """Schema of an expression network's predictions: one row per picture, a probability for each class."""
    return pa.schema(
        [
            _field("model_id", pa.string()),
            _field("row", pa.int64()),
            _field("split", pa.string()),
            _field("is_shared", pa.bool_()),  # stands in Training too
            _field("label", pa.string()),
            _field("predicted", pa.string()),
            *(_field(f"probability_{name}", pa.float32()) for name in classes),
        ]
    )


SWEEP_ROWS = pa.schema(
    [
        _field("sweep", pa.string()),
        _field("row", pa.string()),
        _field("model", pa.string(), nullable=True),
        _field("partition", pa.string()),
        _field("pooling", pa.string()),
        _field("rater", pa.string(), nullable=True),
        _field("metric", pa.string()),
        _field("published", pa.float64(), nullable=True),
        _field("measured", pa.float64(), nullable=True),
        _field("spread", pa.float64(), nullable=True),
        _field("num_seeds", pa.int32()),
        _field("selected_here", pa.bool_()),
        _field("published_protocol", pa.string()),
        _field("measured_protocol", pa.string()),
        _field("corpus_note", pa.string()),
        _field("model_ids", pa.string()),
        _field("missing", pa.string()),
    ]
)
"""A paper's table, run here. `rater` is null for the mean over raters; `measured` is the mean over `num_seeds` seeds,
`spread` their sample standard deviation, null of a single one; `selected_here`: the epoch was chosen on this partition;
`model_ids` are separated by spaces; `missing` says why nothing was measured, "" where something was."""


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
            *(_field(f"probability_{name}", pa.float32(), nullable=True) for name in classes),
            _field("expression", pa.string(), nullable=True),  # the most probable class
            _field("valence_estimate", pa.float32(), nullable=True),  # of this frame alone, -1 to 1: models.valence
            _field("valence_smoothed", pa.float32(), nullable=True),  # its centred mean; the metadata say over how long
        ]
    )


AGREEMENT = pa.schema(
    [
        _field("dimension", pa.string()),
        _field("pooling", pa.string()),  # recording | concatenated | per_recording (mean of the recordings' values)
        _field("recording_id", pa.string(), nullable=True),  # null when pooled
        _field("statistic", pa.string()),  # pearson | ccc | share_positive | cronbach_alpha | icc_2k
        _field(
            "of", pa.string()
        ),  # pair | others | rater | all: `rater` with `other`, with the mean of the others, ...
        _field("rater", pa.string(), nullable=True),  # null: of all raters; of pairs: their mean
        _field("other", pa.string(), nullable=True),
        _field("value", pa.float64(), nullable=True),  # null where it is not defined
        _field("n", pa.int64()),  # samples; of a mean of values: how many values
    ]
)
"""How far raters agree. A pair stands once, in the order of the raters' names."""

AGREEMENT_LAGS = pa.schema(
    [
        _field("dimension", pa.string()),
        _field("rater", pa.string()),
        _field("lag_seconds", pa.float64()),  # positive: the rater against what the others said that much earlier
        _field("pearson", pa.float64(), nullable=True),
        _field("n", pa.int64()),
    ]
)

AGREEMENT_FINDINGS = pa.schema(
    [
        _field("dimension", pa.string()),
        _field("recording_id", pa.string(), nullable=True),  # null: over all recordings
        _field("rater", pa.string(), nullable=True),
        _field("kind", pa.string()),  # docs/ratings.md, "Agreement"
        _field("value", pa.float64(), nullable=True),
        _field("message", pa.string()),
    ]
)
"""What looks wrong with ratings, in words. Nothing is dropped because of it."""

DELAYS = pa.schema(
    [
        _field("dimension", pa.string()),
        _field("features_model_id", pa.string()),
        _field("rater", pa.string()),
        _field("delay_seconds", pa.float64()),
        _field("ccc", pa.float64(), nullable=True),  # out of fold, concatenated, within the training partition
        _field("n", pa.int64()),
        _field("is_best", pa.bool_()),
    ]
)
"""The search for each rater's delay: a row for every rater and delay."""
