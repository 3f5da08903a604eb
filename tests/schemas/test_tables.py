"""The tables of the specification, column by column."""

from __future__ import annotations

import pyarrow as pa
import pytest

from schemas import errors
from schemas.errors import AffectFlowError, CorpusError, Problem, RecordingError, StoppedError, UnusableInputError
from schemas.score_tables import METRICS
from schemas.tables import CHIP_BYTES, FEATURES, PREDICTIONS, RATINGS, RECORDINGS, frames_schema

FRAMES = (
    "recording_id frame_index time_seconds face_valid face_source detection_score tracking_score box_left box_top "
    "box_right box_bottom landmarks chip sharpness brightness yaw pitch roll num_other_faces"
)


@pytest.mark.parametrize(
    ("schema", "columns"),
    [
        (RATINGS, "recording_id dimension rater time_seconds value value_original scale_min scale_max is_imputed"),
        (frames_schema("rgb96"), FRAMES),
        (frames_schema("gray96"), FRAMES),
        (FEATURES, "recording_id model_id frame_index time_seconds face_valid feature"),
        (PREDICTIONS, "recording_id model_id frame_index time_seconds dimension rater value face_valid"),
        (
            METRICS,
            "model_id protocol partition pooling recording_id dimension rater metric value ci_low ci_high n degenerate "
            "target reason protocol_line",
        ),
    ],
    ids=["ratings", "frames rgb96", "frames gray96", "features", "predictions", "metrics"],
)
def test_columns_stand_as_specified(schema: pa.Schema, columns: str) -> None:
    assert schema.names == columns.split()


def test_types_of_the_specification() -> None:
    frames = frames_schema("rgb96")
    assert frames.field("frame_index").type == pa.int32()
    assert frames.field("chip").type == pa.binary(27_648)
    assert frames_schema("gray96").field("chip").type == pa.binary(9_216)
    assert frames.field("landmarks").type == pa.list_(pa.float32(), 10)
    assert FEATURES.field("feature").type.list_size == 300
    assert RECORDINGS.field("modified").type == pa.timestamp("ns", tz="UTC")
    for schema in (RECORDINGS, RATINGS, frames, FEATURES, PREDICTIONS):
        assert schema.field("recording_id").type == pa.string()
        assert not schema.field("recording_id").nullable
    for name in ("sharpness", "brightness", "yaw", "pitch", "roll", "num_other_faces", "chip", "landmarks"):
        assert frames.field(name).nullable
    assert CHIP_BYTES == {"rgb96": 96 * 96 * 3, "gray96": 96 * 96}


def test_exit_codes_follow_the_error_tree() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AffectFlowError)]
    assert len(kinds) >= 12
    for kind in kinds:
        assert kind.exit_code == (1 if issubclass(kind, RecordingError) else 2)
        assert kind in (AffectFlowError, StoppedError) or issubclass(kind, RecordingError | UnusableInputError)
        assert kind.__name__ in (errors.__doc__ or "")


def test_a_problem_reads_as_a_sentence() -> None:
    problem = Problem(severity="failed", recording_id="A", path="a.csv", line=3, expected="a number", found="'x'")
    assert str(problem) == "a.csv, line 3: expected a number, found 'x'"
    assert CorpusError("bad", [problem]).problems == (problem,)
