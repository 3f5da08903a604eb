"""Settings: frozen, validated, one model for each stage, one for the whole pipeline.

Values live in `conf/*.toml`; a Prefect deployment shows these models as a form. A stage's key holds exactly the
settings that change its output; those that only change how it runs (`workers`, `device`, thread counts) are named in
`RUNTIME_FIELDS` and left out of it; so are the limits `max_pixels` and `max_frames`, which refuse and change nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag, model_validator

from schemas.toml_files import TAG

RUNTIME_FIELDS = frozenset({"workers", "device", "num_threads", "max_pixels", "max_frames"})

MAX_PIXELS = 8192 * 4320
"""Largest picture that is decoded unless a setting says otherwise: 8K at 17:9."""

MAX_FRAMES = 5_000_000
"""Most frames of a video unless a setting says otherwise: 23 hours at 60 frames/s; their index takes about 300 MB."""

Partition = Literal["train", "dev", "test"]
Fusion = Literal["mean", "ewe", "ewe-loo", "avec2018"]
Gold = Literal["none", "corpus"] | Fusion


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


class KhorramiCnnSettings(Settings):
    """K's single-frame CNN. The defaults are the paper's 96x96 RGB net (1,336,601 parameters with one output)."""

    kind: Literal["khorrami-cnn"] = "khorrami-cnn"
    input_size: Literal[48, 96] = 96
    colour: Literal["rgb", "gray"] = "rgb"
    kernel_size: Literal[3, 5] = 5
    widths: tuple[int, int, int] = (64, 128, 256)
    dropout: float = Field(0.5, ge=0, lt=1, description="on the pooled values")


class NamedNetwork(Settings):
    """A network of the registry that reads faces (`affectflow models` lists them), and its arguments."""

    name: str = Field(description="name in the registry")
    options: dict[str, JsonValue] = Field({}, description="arguments of the network, such as input_size or dropout")


def _network_tag(value: Any) -> str:
    named = "name" in value if isinstance(value, dict) else isinstance(value, NamedNetwork)
    return f"{TAG}{'named' if named else 'khorrami-cnn'}"


ChipNetworkSettings = Annotated[
    Annotated[KhorramiCnnSettings, Tag(f"{TAG}khorrami-cnn")] | Annotated[NamedNetwork, Tag(f"{TAG}named")],
    Discriminator(_network_tag),
]


class Augmentation(Settings):
    """K's augmentation: translations, flips and colour changes."""

    shift_pixels: int = Field(0, ge=0, description="zero-padding, then a random crop")
    flip: float = Field(0.0, ge=0, le=1, description="probability of a mirror image")
    colour_jitter: float = Field(0.0, ge=0, le=1, description="largest relative change of brightness, contrast, colour")


Delay = Annotated[float, Field(ge=0, le=10)]
"""Seconds that a rater reacts late by."""

DelayHow = Literal["preset", "given", "searched"]
"""Where a delay comes from: the dimension's usual one, a number (or numbers by rater) in the settings, the search."""


class TrainingSettings(Settings):
    """What the CNN's and the RNN's training have in common."""

    name: str = Field(description="first part of the model's id", pattern=r"^[a-z][a-z0-9-]{0,40}$")
    dimension: str = "valence"
    label_delay_seconds: Delay | dict[str, Delay] | Literal["preset", "searched"] = Field(
        0.0,
        description="how late raters react: labels shift earlier by it; or by rater, the dimension's preset, or "
        "searched on train",
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

    @property
    def rate(self) -> float:
        """The learning rate that the optimiser starts with."""
        return self.learning_rate

    @property
    def delay_how(self) -> DelayHow:
        """Where the delay of the labels comes from, as long as it has not been settled."""
        stated = self.label_delay_seconds
        return stated if isinstance(stated, str) else "given"


class CnnTraining(TrainingSettings):
    """Training of a CNN on chips, by regression to every rater's value."""

    input: Literal["chips"] = "chips"
    name: str = Field("khorrami-cnn", pattern=r"^[a-z][a-z0-9-]{0,40}$")
    network: ChipNetworkSettings = Field(KhorramiCnnSettings(), description="K's written out, or one by its name")
    normalisation: Literal["unit", "image", "mean", "mean+lcn", "mean+local-mean"] | None = Field(
        None, description="of the pixels; by default mean+lcn for K's, and the own of a network by name"
    )
    augmentation: Augmentation = Augmentation()
    frame_stride: int = Field(1, ge=1, description="train and validate on every n-th frame")
    max_epochs: int = Field(20, ge=1)
    patience: int = Field(5, ge=1)
    raters: Literal["together", "apart", "mean"] = Field(
        "together", description="an output for each rater, a network for each, or everyone's mean as every output"
    )
    start_from: str | None = Field(
        None,
        description="an expression model: its folder, its id or name in the store, or shipped; its weights, a new head",
    )
    transfer_rate: float = Field(0.1, gt=0, description="with start_from: the learning rate times this")
    freeze: Literal["nothing", "convolutions", "all but the head"] = Field(
        "nothing", description="with start_from: what keeps its weights, batch statistics included"
    )

    @model_validator(mode="after")
    def _nothing_to_search_with(self) -> CnnTraining:
        if self.label_delay_seconds == "searched":
            raise ValueError(
                'label_delay_seconds = "searched": expected seconds for a network that reads chips: the search reads '
                'features; search in the training with input = "features"'
            )
        return self

    @model_validator(mode="after")
    def _something_to_freeze(self) -> CnnTraining:
        if self.freeze != "nothing" and self.start_from is None:
            raise ValueError(f"freeze = {self.freeze!r}: expected start_from, whose weights it keeps; found none")
        return self

    @property
    def rate(self) -> float:
        """The learning rate that the optimiser starts with."""
        return self.learning_rate * (1 if self.start_from is None else self.transfer_rate)

    def keyed(self) -> dict[str, Any]:
        """Without later settings at the default that earlier models had, and without what has no effect.

        `start_from` is a name: the hash of the weights it means goes into the key in its place.
        """
        found = super().keyed()
        del found["start_from"]
        if self.start_from is None:
            del found["transfer_rate"], found["freeze"]
        if self.raters == "together":
            del found["raters"]
        if self.normalisation is None:
            del found["normalisation"]
            if isinstance(self.network, KhorramiCnnSettings):
                found["normalisation"] = "mean+lcn"
        return found


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


class EvaluateSettings(Settings):
    """A protocol: what predictions are held against, and how. Those with a name stand in `conf/protocols/`.

    The defaults are those of the preset `default`.
    """

    protocol: str = Field("default", pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    note: str = Field("", description="what a reader must know of the preset, such as where the paper is silent")
    gold: tuple[Gold, ...] = Field(
        ("none", "ewe"), min_length=1, description="none: every rater apart; corpus: the series that the corpus ships"
    )
    delay: Annotated[float, Field(ge=0, le=10)] | Literal["searched"] = Field(
        "searched", description="how late raters react: seconds that models were trained with, or searched on train"
    )
    chain: tuple[Literal["median", "centre", "scale", "shift"], ...] = Field(
        ("median", "centre", "scale", "shift"), description="post-processing, fitted on the selecting partition"
    )
    pooling: tuple[Literal["concatenated", "per_recording"], ...] = Field(
        ("concatenated", "per_recording"), min_length=1, description="the chain is fitted by the first"
    )
    selected_on: Partition = Field("dev", description="where the epoch was selected and the chain is fitted")
    scored_on: tuple[Partition, ...] = Field(("test",), min_length=1)
    declares_overlap: bool = Field(False, description="selects on what it scores, as a paper did; said with each score")
    replicates: int = Field(2000, ge=100, description="of the bootstrap over recordings")
    seed: int = Field(0, description="of the bootstrap")
    ceiling: str | None = Field(None, description="id of predictions that stand as the ceiling in the tables")

    @property
    def fusions(self) -> tuple[Fusion, ...]:
        """The gold standards among `gold` that are fused here; what the corpus ships is none of them."""
        return tuple(name for name in self.gold if name != "none" and name != "corpus")

    @property
    def overlap(self) -> tuple[Partition, ...]:
        """Partitions that are scored though something was selected or fitted on them."""
        return tuple(name for name in self.scored_on if name in ("train", self.selected_on))

    def keyed(self) -> dict[str, Any]:
        """Without what only the tables show."""
        return {name: value for name, value in super().keyed().items() if name not in ("note", "ceiling")}


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
