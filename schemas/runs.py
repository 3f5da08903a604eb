"""What a flow takes: one frozen model each. In a Prefect deployment these become a form."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from schemas.presets import DEFAULT_PRESET
from schemas.settings import Settings


class StoreRun(Settings):
    """What every flow on a store needs."""

    store: Path = Field(description="folder of the store")
    preset: str = Field(DEFAULT_PRESET, description="name of a preset in conf/, or the path of a TOML file")


class IngestRun(StoreRun):
    """Find recordings, ratings and partitions."""

    corpus: Path = Field(description="a RECOLA tree, or a folder with a manifest.csv")
    manifest: Path | None = Field(None, description="manifest of a corpus that is not RECOLA's tree")
    partitions: Path | None = Field(None, description="CSV (subject, partition) in place of RECOLA's built-in table")


class FacesRun(StoreRun):
    """Decode, detect, align."""

    workers: int | None = Field(None, ge=0, description="worker processes; by default what the preset says")
    all_faces: bool | None = Field(None, description="also a row for every other face, in `people`; by default no")


class TrainRun(Settings):
    """Fit one model."""

    store: Path
    config: Path = Field(description='TOML of one training: input = "chips" is a CNN, "features" an RNN')
    features_model: str | None = Field(None, description="the CNN whose features an RNN reads; the only one by default")


class ExpressionTrainRun(Settings):
    """Train a network to name expressions."""

    store: Path
    data: Path = Field(description="fer2013.csv, icml_face_data.csv, a folder with train/<class>/, or AffectNet's")
    config: str = Field(description="name of a preset in conf/, such as expression/deep, or the path of a TOML file")
    network: str | None = Field(None, description="a network of the registry, in place of the preset's")
    votes: Path | None = Field(None, description="FER+'s fer2013new.csv, for presets that read votes")
    seeds: tuple[int, ...] = Field((), description="one run each, in place of the preset's")
    device: str | None = Field(None, description="auto | cpu | cuda | cuda:N, in place of the preset's")
    score_test: bool = Field(False, description="score the test splits too: for finished recipes, nothing chosen by it")


class ModelRun(StoreRun):
    """Compute features, or predict, with one model."""

    model: str = Field(description="id of a model in the store")


class EvaluateRun(StoreRun):
    """Score every model that has predictions, and write the report."""

    models: tuple[str, ...] = Field((), description="ids of models; all that have predictions by default")


class PipelineRun(IngestRun):
    """Everything, from recordings to the report; resumes where an earlier run stopped."""

    workers: int | None = Field(None, ge=0, description="worker processes of the faces stage")
    all_faces: bool | None = Field(None, description="also a row for every other face, in `people`; by default no")
    control: bool | None = Field(None, description="also train on swapped ratings; by default what the preset says")
    title: str = Field("Per-rater valence", description="heading of the report")
