"""Settings of trainings: a CNN on chips, an RNN on a CNN's features, and the networks that they train."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, JsonValue, Tag, model_validator

from schemas.settings import Settings
from schemas.toml_files import TAG


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
