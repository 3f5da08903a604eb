"""The card of a trained model: what it is, what it was trained on, how it was selected."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from schemas.training import DelayHow


class EpochRecord(BaseModel):
    """One epoch: training loss (MSE: squared rating units), CCC on the selecting partition, wall seconds."""

    model_config = ConfigDict(frozen=True)

    epoch: int
    train_loss: float
    dev_ccc: float
    seconds: float


class StartCard(BaseModel):
    """The expression model whose weights a training started from, and the terms of the data behind them.

    `start` is what that one had started from, if it had.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str
    weights_sha256: str
    dataset: str
    terms: str
    licence: str
    start: StartCard | None = None


class Seen(BaseModel):
    """Whose a recording is that a model learned from, and its video's SHA-256, as the store said at the time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject_id: str
    sha256: str


class ModelCard(BaseModel):
    """`card.json` beside `model.safetensors`.

    `dev_ccc` is the mean over raters of the concatenated CCC on the selecting partition: the figure that chose the
    epoch, hence no result. `provenance` maps what was read to its key or hash. `num_features` are those of a frame:
    what a CNN gives and an RNN reads. `history_by_rater` is there where each rater has a network of their own;
    `history` then is what the networks together came to after each epoch. `delay_how` says where the seconds under
    `settings["label_delay_seconds"]` come from; None in cards that were written before it was kept. `seen` is of every
    recording that it was trained or selected on, so that leaks are noticed when the store no longer holds them; {} in
    cards that were written before it was kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str
    name: str
    input: Literal["chips", "features"]
    stage_key: str
    weights_sha256: str
    num_parameters: int
    dimension: str
    raters: tuple[str, ...]
    features_model_id: str | None
    is_control: bool
    train_recordings: tuple[str, ...]
    dev_recordings: tuple[str, ...]
    selected_on: str
    best_epoch: int
    dev_ccc: float
    history: tuple[EpochRecord, ...]
    settings: dict[str, Any]
    code_version: str
    torch_version: str
    device: str
    provenance: dict[str, str]
    num_features: int = 300
    start: StartCard | None = None
    history_by_rater: dict[str, tuple[EpochRecord, ...]] = {}
    delay_how: DelayHow | None = None
    seen: dict[str, Seen] = {}


class ExpressionEpoch(BaseModel):
    """One epoch of an expression training: mean losses (cross-entropy), accuracies, the last learning rate, wall time.

    `train_*` are over the pictures as augmented and with dropout; `choice_*` are None where nothing was held out to
    choose on; `images_per_second` is of the training alone.
    """

    model_config = ConfigDict(frozen=True)

    epoch: int
    train_loss: float
    train_accuracy: float
    choice_loss: float | None
    choice_accuracy: float | None
    learning_rate: float
    seconds: float
    images_per_second: float


class ExpressionScore(BaseModel):
    """How the labels of one split were met. `accuracy`, `mean_recall` (over the classes present) and `ece` in 0 to 1.

    `subset`: `all`, or `unseen`: without the pictures that stand in Training too. `loss` is the mean of -ln p(label).
    `confusion[label][prediction]` counts pictures.
    """

    model_config = ConfigDict(frozen=True)

    split: str
    subset: Literal["all", "unseen"]
    n: int
    accuracy: float
    mean_recall: float
    loss: float
    ece: float
    confusion: tuple[tuple[int, ...], ...]


class DatasetCard(BaseModel):
    """What was trained on: name, terms, hashes of the files, pictures by split, what is doubled, what was dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    terms: str
    sha256: dict[str, str]
    pictures: dict[str, int]
    extra_copies: int
    groups_of_copies: int
    shared_with_training: dict[str, int]
    dropped_from_training: int
    fit: dict[str, int]
    choice: dict[str, int]


class ScoringCard(BaseModel):
    """`scoring.json`: how a finished model did on a labelled set of faces.

    `truth`: `votes` if FER+'s majority was what counted as right. `left_out` counts, by split, the faces of no class
    that the model names. Where `dataset` holds no Training, nothing tells which of its faces the model has seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scoring_id: str
    model_id: str
    weights_sha256: str
    views: int
    truth: Literal["label", "votes"]
    dataset: DatasetCard
    left_out: dict[str, int]
    scores: tuple[ExpressionScore, ...]
    code_version: str
    device: str


class ShippedCard(BaseModel):
    """How weights became the file that ships in the package, and what rounding them changed.

    `accuracy_before` and `accuracy_after` are by split (`SPLIT unseen`: without its faces that stand in Training too),
    in `views` views; `largest_change` is that of any face's probability of any class.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trained_as: str
    trained_sha256: str
    stored_as: Literal["float16", "bfloat16"]
    bytes: int
    views: int
    accuracy_before: dict[str, float]
    accuracy_after: dict[str, float]
    largest_change: float


class ExpressionCard(BaseModel):
    """`card.json` of an expression network. `scores` on split `choice` chose the epoch, hence are no result.

    `selected_on` is None where nothing was held out: the last epoch counts. `shipped` is there where the weights are
    those in the package; `scores` are of the weights as they were trained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str
    name: str
    input: Literal["faces"] = "faces"
    stage_key: str
    weights_sha256: str
    network: str
    network_options: dict[str, Any]
    num_parameters: int
    input_size: int
    channels: int
    classes: tuple[str, ...]
    seed: int
    selected_on: Literal["choice"] | None = "choice"
    best_epoch: int
    history: tuple[ExpressionEpoch, ...]
    scores: tuple[ExpressionScore, ...]
    dataset: DatasetCard
    licence: str
    settings: dict[str, Any]
    code_version: str
    torch_version: str
    device: str
    start: StartCard | None = None
    shipped: ShippedCard | None = None

    @property
    def learned_from(self) -> tuple[str, ...]:
        """Names of all data sets behind the weights, the first ones first, each once."""
        return tuple(dict.fromkeys([*(start.dataset for start in reversed(self.starts)), self.dataset.name]))

    @property
    def starts(self) -> tuple[StartCard, ...]:
        """What the training started from, what that one had started from, and so on."""
        found, start = [], self.start
        while start is not None:
            found.append(start)
            start = start.start
        return tuple(found)
