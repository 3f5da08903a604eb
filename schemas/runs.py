"""What a flow takes: one frozen model each. In a Prefect deployment these become a form."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from schemas.presets import DEFAULT_PRESET
from schemas.settings import Settings


class StoreRun(Settings):
    """What every flow on a store needs that reads a preset."""

    store: Path = Field(description="folder of the store")
    preset: str = Field(DEFAULT_PRESET, description="name of a preset in conf/, or the path of a TOML file")


class IngestRun(StoreRun):
    """Find recordings, ratings and partitions."""

    corpus: Path = Field(description="RECOLA's or AVEC's tree, or a folder with a manifest.csv")
    manifest: Path | None = Field(None, description="manifest of a corpus that is neither RECOLA's tree nor AVEC's")
    partitions: Path | None = Field(
        None, description="CSV (subject, partition) in place of what RECOLA's table or AVEC's names say"
    )


class AgreementRun(Settings):
    """Measure how far raters agree."""

    store: Path = Field(description="folder of the store")
    dimension: str = Field("valence", description="which ratings")


class FacesRun(StoreRun):
    """Decode, detect, align."""

    workers: int | None = Field(None, ge=0, description="worker processes; by default what the preset says")
    all_faces: bool | None = Field(None, description="also a row for every other face, in `people`; by default no")


class TrainRun(Settings):
    """Fit one model."""

    store: Path
    config: str = Field(
        description="one training: name of a preset in conf/, such as khorrami-cnn, or the path of a TOML file; "
        'input = "chips" is a CNN, "features" an RNN'
    )
    features_model: str | None = Field(None, description="the CNN whose features an RNN reads; the only one by default")
    start_from: str | None = Field(
        None, description="an expression model for a CNN to start from; the preset's if none"
    )


class ExpressionTrainRun(Settings):
    """Train a network to name expressions."""

    store: Path
    data: Path = Field(description="fer2013.csv, icml_face_data.csv, a folder with train/<class>/, or AffectNet's")
    config: str = Field(description="name of a preset in conf/, such as expression/deep, or the path of a TOML file")
    network: str | None = Field(None, description="a network of the registry, in place of the preset's")
    start_from: str | None = Field(None, description="an expression model to start from; the preset's if none")
    votes: Path | None = Field(None, description="FER+'s fer2013new.csv, for presets that read votes")
    seeds: tuple[int, ...] = Field((), description="one run each, in place of the preset's")
    device: str | None = Field(None, description="auto | cpu | cuda | cuda:N, in place of the preset's")
    score_test: bool = Field(False, description="score the test splits too: for finished recipes, nothing chosen by it")


class ExpressionScoreRun(Settings):
    """Score a finished expression network on labelled faces."""

    store: Path
    data: Path = Field(description="fer2013.csv, icml_face_data.csv, a folder with test/<class>/, or AffectNet's")
    model: str = Field(
        "shipped", description="an expression model: id, name in the store, or folder; shipped: the package's own"
    )
    splits: tuple[str, ...] = Field((), description="public_test, private_test, validation, test; all there are")
    votes: Path | None = Field(None, description="FER+'s fer2013new.csv: its majority is what counts as right")
    views: Literal[1, 2, 10] | None = Field(None, description="averaged for each face; as in the model's own training")
    device: str = Field("auto", description="auto | cpu | cuda | cuda:N")


class ModelRun(StoreRun):
    """Compute features, or predict, with one model."""

    model: str = Field(description="id of a model in the store")


class EvaluateRun(StoreRun):
    """Score every model that has predictions, and write the report."""

    models: tuple[str, ...] = Field((), description="ids of models; all that have predictions by default")
    protocol: str | None = Field(
        None, description="a name in conf/protocols/, or the path of a TOML file; by default the preset's"
    )


class CompareRun(StoreRun):
    """Hold two models against each other, on the same recordings."""

    model_a: str = Field(description="id of a model")
    model_b: str = Field(description="id of a model; differences are the first's score minus this one's")
    protocol: str | None = Field(
        None, description="a name in conf/protocols/, or the path of a TOML file; by default the preset's"
    )


class PipelineRun(IngestRun):
    """Everything, from recordings to the report; resumes where an earlier run stopped."""

    workers: int | None = Field(None, ge=0, description="worker processes of the faces stage")
    all_faces: bool | None = Field(None, description="also a row for every other face, in `people`; by default no")
    start_from: str | None = Field(
        None, description="an expression model for the CNN to start from; the preset's if none"
    )
    control: bool | None = Field(None, description="also train on swapped ratings; by default what the preset says")
    title: str = Field("Per-rater valence", description="heading of the report")


class SweepRun(Settings):
    """A table of a paper, run on a store."""

    sweep: str = Field(description="name of a sweep in conf/sweeps/, such as K-table3, or the path of a TOML file")
    store: Path = Field(description="folder of the store")
    corpus: Path | None = Field(None, description="ingested first; by default the store is taken as it is")
    preset: str | None = Field(None, description="what the rows change, in place of the sweep's own preset")
    seeds: tuple[int, ...] = Field((), description="a run of every row for each; the sweep's by default")
    start_from: str | None = Field(None, description="an expression model, in place of those that the rows name")


class AnalyzeRun(Settings):
    """Name the expressions in clips, and estimate valence: with the weights that ship, no corpus and no training."""

    clips: tuple[Path, ...] = Field(min_length=1, description="videos; no two of the same name")
    out: Path = Field(description="folder for CLIP.parquet, CLIP.html and CLIP.mp4 of each")
    model: str = Field("shipped", description="folder of an expression model; shipped: the package's own")
    workers: int | None = Field(None, ge=0, description="worker processes of the faces stage")
    device: str = Field("auto", description="auto | cpu | cuda | cuda:N, of the expression network")
