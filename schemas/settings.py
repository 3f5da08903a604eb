"""Settings: frozen, validated, one model for each stage.

Ingestion, faces, features and predictions stand here, trainings in `schemas.training`, protocols in
`schemas.evaluation`, all of them together in `schemas.pipeline`.

Values live in `conf/*.toml`; a Prefect deployment shows these models as a form. A stage's key holds exactly the
settings that change its output; those that only change how it runs (`workers`, `device`, thread counts) are named in
`RUNTIME_FIELDS` and left out of it; so are the limits `max_pixels` and `max_frames`, which refuse and change nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RUNTIME_FIELDS = frozenset({"workers", "device", "num_threads", "max_pixels", "max_frames"})

MAX_PIXELS = 8192 * 4320
"""Largest picture that is decoded unless a setting says otherwise: 8K at 17:9."""

MAX_FRAMES = 5_000_000
"""Most frames of a video unless a setting says otherwise: 23 hours at 60 frames/s; their index takes about 300 MB."""


class Settings(BaseModel):
    """Base: immutable, and an unknown name is an error rather than ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def keyed(self) -> dict[str, Any]:
        """The fields that belong to a stage key, JSON-serialisable."""
        return self.model_dump(mode="json", exclude=set(RUNTIME_FIELDS))


class IngestSettings(Settings):
    """What ingestion reads of a corpus."""

    manifest: Path | None = Field(None, description="CSV: recording, subject, video, ratings, partition, scale")
    partitions: Path | None = Field(
        None, description="CSV: subject, partition; replaces what RECOLA's table or AVEC's names say"
    )
    dimension: str = Field("valence", description="the rated dimension")
    more_dimensions: tuple[str, ...] = Field((), description="further ones to keep beside it, such as arousal")
    declared_frame_rate: float | None = Field(None, gt=0, description="frames/s of streams that carry no time stamps")
    max_pixels: int = Field(MAX_PIXELS, ge=1, description="largest picture, width x height; larger ones are refused")
    max_frames: int = Field(MAX_FRAMES, ge=1, description="most frames of a video; longer ones are refused")

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Every dimension to read, the first one first."""
        return tuple(dict.fromkeys((self.dimension, *self.more_dimensions)))


class IdentitySettings(Settings):
    """Who is a recording's main person: a few frames are looked at, until one person leads."""

    threshold: float = Field(0.55, gt=0, le=2, description="largest mean distance of two faces of one person")
    face_threshold: float = Field(0.52, gt=0, le=2, description="largest distance of a face from its person's mean")
    interval_seconds: float = Field(5.0, gt=0, description="between the frames looked at")
    most_samples: int = Field(120, ge=1, description="most frames looked at")
    decisive_lead: int = Field(8, ge=1, description="frames by which the main person leads when the search ends")
    lone_lead: int = Field(4, ge=1, description="the same while nobody else has been seen")


class PeopleSettings(Settings):
    """How everybody else's faces are followed, where they are asked for."""

    interval: int = Field(25, ge=1, description="frames between looks at the whole picture for new faces")
    embedding_interval: int = Field(100, ge=1, description="most frames of a face between looks at whose it is")
    threshold: float = Field(0.45, gt=0, le=2, description="largest distance of two mean embeddings of one person")


class FacesSettings(Settings):
    """How faces are found and aligned."""

    segment_frames: int = Field(1000, ge=25, description="frames in one segment, the unit of work and of a part")
    chip_format: Literal["rgb96", "gray96"] = "rgb96"
    detector: Literal["hog", "cnn"] = Field("hog", description="dlib's; cnn is up to 100 times as slow: docs/faces.md")
    upsample: int = Field(1, ge=0, le=2, description="doublings tried when the full-frame detector finds nothing")
    detection_threshold: float = Field(0.0, description="lowest detection score of a face")
    detection_interval: int = Field(10, ge=1, description="frames between detections where landmarks carry the face")
    full_detection_interval: int = Field(1000, ge=1, description="frames between looks at the whole picture")
    tracking_threshold: float = Field(0.8, ge=-1, le=1, description="lowest likeness of a carried face to the last")
    identity: IdentitySettings = IdentitySettings()
    all_faces: bool = Field(False, description="also write a row for every other face, with whose it is, to `people`")
    people: PeopleSettings = PeopleSettings()
    max_pixels: int = Field(MAX_PIXELS, ge=1, description="largest picture decoded where the size changes on the way")
    workers: int = Field(0, ge=0, description="worker processes; 0: one for each core")

    def keyed(self) -> dict[str, Any]:
        """Of `frames`, which show the main person alone: without what only `people` depends on."""
        return {name: value for name, value in super().keyed().items() if name not in ("all_faces", "people")}


class FeaturesSettings(Settings):
    """How a CNN's features are computed."""

    batch_size: int = Field(0, ge=0, description="chips in a batch; 0: chosen by device and size of the picture")
    device: str = "auto"
    num_threads: int = Field(0, ge=0, description="batches computed side by side on the CPU; 0: one for each core")
    precision: Literal["float32", "auto"] = Field(
        "float32", description="auto: bfloat16 where the device computes it natively; features differ by about .5 %"
    )

    def keyed(self) -> dict[str, Any]:
        """The precision alone: the batch changes the speed, not the features."""
        return {"precision": self.precision}


class PredictSettings(Settings):
    """How predictions are made."""

    no_face: Literal["context", "null"] = Field(
        "context", description="frames without a face: a prediction from the context, marked so, or null"
    )
    device: str = "auto"
    num_threads: int = Field(0, ge=0, description="stretches predicted side by side on the CPU; 0: one for each core")
