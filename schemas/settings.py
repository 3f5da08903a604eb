"""Settings: frozen, validated, one model for each stage, one for the whole pipeline.

Values live in `conf/*.toml`; a Prefect deployment shows these models as a form. A stage's key holds exactly the
settings that change its output; those that only change how it runs (`workers`, `device`, thread counts) are named in
`RUNTIME_FIELDS` and left out of it; so are the limits `max_pixels` and `max_frames`, which refuse and change nothing.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from schemas.errors import SettingsError
from schemas.presets import conf_dir

RUNTIME_FIELDS = frozenset({"workers", "device", "num_threads", "max_pixels", "max_frames"})

MAX_PIXELS = 8192 * 4320
"""Largest picture that is decoded unless a setting says otherwise: 8K at 17:9."""

MAX_FRAMES = 5_000_000
"""Most frames of a video unless a setting says otherwise: 23 hours at 60 frames/s; their index takes about 300 MB."""

_T = TypeVar("_T")

Partition = Literal["train", "dev", "test"]


class Settings(BaseModel):
    """Base: immutable, and an unknown name is an error rather than ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def keyed(self) -> dict[str, Any]:
        """The fields that belong to a stage key, JSON-serialisable."""
        return self.model_dump(mode="json", exclude=set(RUNTIME_FIELDS))


class IngestSettings(Settings):
    """What ingestion reads of a corpus."""

    manifest: Path | None = Field(None, description="CSV: recording, subject, video, ratings, partition, scale")
    partitions: Path | None = Field(None, description="CSV: subject, partition; replaces RECOLA's built-in table")
    dimension: str = Field("valence", description="the rated dimension")
    declared_frame_rate: float | None = Field(None, gt=0, description="frames/s of streams that carry no time stamps")
    max_pixels: int = Field(MAX_PIXELS, ge=1, description="largest picture, width x height; larger ones are refused")
    max_frames: int = Field(MAX_FRAMES, ge=1, description="most frames of a video; longer ones are refused")


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
    detector: Literal["hog", "cnn"] = Field("hog", description="dlib's; cnn finds turned faces, 20 times as slow")
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


class KhorramiCnnSettings(Settings):
    """K's single-frame CNN. The defaults are the paper's 96x96 RGB net (1,336,601 parameters with one output)."""

    kind: Literal["khorrami-cnn"] = "khorrami-cnn"
    input_size: Literal[48, 96] = 96
    colour: Literal["rgb", "gray"] = "rgb"
    kernel_size: Literal[3, 5] = 5
    widths: tuple[int, int, int] = (64, 128, 256)
    dropout: float = Field(0.5, ge=0, lt=1, description="on the pooled values")


class Augmentation(Settings):
    """K's augmentation: translations, flips and colour changes."""

    shift_pixels: int = Field(0, ge=0, description="zero-padding, then a random crop")
    flip: float = Field(0.0, ge=0, le=1, description="probability of a mirror image")
    colour_jitter: float = Field(0.0, ge=0, le=1, description="largest relative change of brightness, contrast, colour")


class TrainingSettings(Settings):
    """What the CNN's and the RNN's training have in common."""

    name: str = Field(description="first part of the model's id", pattern=r"^[a-z][a-z0-9-]{0,40}$")
    dimension: str = "valence"
    label_delay_seconds: float = Field(
        0.0, ge=0, le=10, description="how late raters react; labels shift earlier by it"
    )
    swap_ratings: bool = Field(False, description="negative control: train on the ratings of another recording")
    seed: int = 0
    batch_size: int = Field(128, ge=1)
    learning_rate: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-5, ge=0)
    clip_norm: float | None = Field(None, gt=0, description="global-norm gradient clip")
    max_epochs: int = Field(ge=1)
    patience: int = Field(ge=1, description="epochs without a better dev CCC before training stops")
    device: str = Field("auto", description="auto | cpu | cuda | cuda:N")
    num_threads: int = Field(0, ge=0, description="torch threads on the CPU; 0: one for each core")
    precision: Literal["float32", "auto"] = Field(
        "float32", description="auto: mixed with bfloat16 where the device computes it natively"
    )


class CnnTraining(TrainingSettings):
    """Training of a CNN on chips, by regression to every rater's value."""

    input: Literal["chips"] = "chips"
    name: str = Field("khorrami-cnn", pattern=r"^[a-z][a-z0-9-]{0,40}$")
    network: KhorramiCnnSettings = KhorramiCnnSettings()
    normalisation: Literal["mean", "mean+lcn", "mean+local-mean"] = "mean+lcn"
    augmentation: Augmentation = Augmentation()
    frame_stride: int = Field(1, ge=1, description="train and validate on every n-th frame")
    max_epochs: int = Field(20, ge=1)
    patience: int = Field(5, ge=1)


class RnnNetworkSettings(Settings):
    """The windowed RNN; the defaults are K's. See `models.recurrent.RecurrentNetwork`."""

    kind: Literal["khorrami-rnn"] = "khorrami-rnn"
    cell: Literal["rnn", "lstm", "gru"] = "rnn"
    hidden_sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (100,), min_length=1, max_length=3, description="units of each layer, and of each direction"
    )
    nonlinearity: Literal["tanh", "relu"] = Field("relu", description="of cell rnn; the others have their own")
    bidirectional: bool = Field(False, description="both directions; the window then lies around its frame")
    window: int = Field(100, ge=1, description="W, frames")
    loss_steps: Literal["all", "last"] = Field(
        "all", description="last: only the step whose value is the prediction (the middle one if bidirectional)"
    )
    identity_start: bool = Field(
        False, description="identity recurrence at the start, cell rnn; diverges without clipping"
    )
    pool_features: int = Field(1, ge=1, description="frames of a causal mean over the features; 1: none")
    pool_outputs: int = Field(1, ge=1, description="steps of a causal mean over the outputs in a window; 1: none")

    @model_validator(mode="after")
    def _fits(self) -> RnnNetworkSettings:
        if self.identity_start and self.cell != "rnn":
            raise ValueError(f"identity_start is of cell rnn, found cell {self.cell!r}; leave it out")
        if self.pool_outputs > self.window:
            raise ValueError(f"pool_outputs: expected at most window ({self.window}), found {self.pool_outputs}")
        return self

    def keyed(self) -> dict[str, Any]:
        """Without what has no effect, and without later settings at the default that earlier models had."""
        found = super().keyed()
        if self.cell != "rnn":
            del found["nonlinearity"]
        later = {"cell": "rnn", "bidirectional": False, "pool_features": 1, "pool_outputs": 1}
        return {name: value for name, value in found.items() if name not in later or value != later[name]}


class RnnTraining(TrainingSettings):
    """Training of an RNN on windows of a frozen CNN's features."""

    input: Literal["features"] = "features"
    name: str = Field("khorrami-rnn", pattern=r"^[a-z][a-z0-9-]{0,40}$")
    network: RnnNetworkSettings = RnnNetworkSettings()
    loss: Literal["mse", "epsilon-insensitive", "ccc"] = Field("mse", description="ccc: 1 - CCC of each batch")
    epsilon: float = Field(0.1, ge=0, description="errors that cost nothing, of the epsilon-insensitive loss")
    window_stride: int = Field(1, ge=1, description="train on every n-th window")
    clip_norm: float | None = Field(1.0, gt=0)
    max_epochs: int = Field(20, ge=1)
    patience: int = Field(5, ge=1)
    num_threads: int = Field(1, ge=0, description="torch threads; one is fastest for small recurrent steps")

    def keyed(self) -> dict[str, Any]:
        """As the network's: a loss that is the earlier models' own, and an epsilon that no loss reads, are left out."""
        found = super().keyed() | {"network": self.network.keyed()}
        if self.loss != "epsilon-insensitive":
            del found["epsilon"]
        if self.loss == "mse":
            del found["loss"]
        return found


AnyTraining = Annotated[CnnTraining | RnnTraining, Field(discriminator="input")]


class FeaturesSettings(Settings):
    """How a CNN's features are computed."""

    batch_size: int = Field(128, ge=1)
    device: str = "auto"
    num_threads: int = Field(0, ge=0)
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
    num_threads: int = Field(1, ge=0)


class EvaluateSettings(Settings):
    """The protocol that scores are computed and printed under.

    The default keeps raters apart, shifts nothing and post-processes nothing.
    """

    protocol: str = "per-rater"
    selected_on: Partition = "dev"
    scored_on: tuple[Partition, ...] = ("dev", "test")
    ceiling: str | None = Field(None, description="id of predictions that stand as the ceiling in the tables")


class PipelineSettings(Settings):
    """Everything `run` needs, as `conf/*.toml` writes it."""

    ingest: IngestSettings = IngestSettings()
    faces: FacesSettings = FacesSettings()
    cnn: CnnTraining = CnnTraining()
    features: FeaturesSettings = FeaturesSettings()
    rnn: RnnTraining = RnnTraining()
    predict: PredictSettings = PredictSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    control: bool = Field(False, description="also train on swapped ratings: a negative control, expected near 0")

    def trainings(self, *, swapped: bool) -> tuple[CnnTraining, RnnTraining]:
        """The two trainings of a run; with swapped ratings they are the negative controls, under names of their own."""
        if not swapped:
            return self.cnn, self.rnn
        cnn, rnn = (
            training.model_copy(update={"swap_ratings": True, "name": f"{training.name}-control"})
            for training in (self.cnn, self.rnn)
        )
        assert isinstance(cnn, CnnTraining)
        assert isinstance(rnn, RnnTraining)
        return cnn, rnn


def load_pipeline(path: Path) -> PipelineSettings:
    """Read a pipeline preset.

    `cnn` and `rnn` may be tables, or the names of training files beside the preset.

    Raises:
        SettingsError: no such file, not TOML, or a setting is unknown or out of range.
    """
    data = read_toml(path)
    for model in ("cnn", "rnn"):
        if isinstance(data.get(model), str):
            data[model] = read_toml(path.parent / str(data[model]))
    return validated(TypeAdapter(PipelineSettings), data, path)


def load_training(path: Path) -> CnnTraining | RnnTraining:
    """Read the settings of one model: `input = "chips"` makes it a CNN, `"features"` an RNN.

    Raises:
        SettingsError: no such file, not TOML, or a setting is unknown or out of range.
    """
    adapter: TypeAdapter[CnnTraining | RnnTraining] = TypeAdapter(AnyTraining)
    return validated(adapter, read_toml(path), path)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dictionary. Raises SettingsError that names the presets there are."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        presets = ", ".join(sorted(str(found.relative_to(conf_dir())) for found in conf_dir().rglob("*.toml")))
        raise SettingsError(f"{path}: no such settings file; presets in {conf_dir()}: {presets}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path}: expected TOML ({error})") from error


def validated(adapter: TypeAdapter[_T], data: dict[str, Any], path: Path) -> _T:
    """`data` as settings. Raises SettingsError that names file, setting and value."""
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in problem['loc'])}: {problem['msg']} (found {problem['input']!r})"
            for problem in error.errors()
        ]
        raise SettingsError(f"{path}: settings out of range\n" + "\n".join(lines)) from error
