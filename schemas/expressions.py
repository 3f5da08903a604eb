"""Expressions: the classes of each data set, the maps between their names, and the settings of a training.

One vocabulary of names serves all data sets, so that a subset or a merge means the same everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from schemas.settings import Settings
from schemas.toml_files import read_toml, validated
from schemas.training import NamedNetwork

FER2013_CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""FER2013's labels 0 to 6, in order."""

FERPLUS_COLUMNS = {
    "neutral": "neutral",
    "happiness": "happy",
    "surprise": "surprise",
    "sadness": "sad",
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "contempt": "contempt",
    "unknown": "unknown",
    "NF": "no-face",
}
"""Columns of FER+'s `fer2013new.csv`, in order, each a count of votes out of ten, and the class each votes for."""

AFFECTNET_CLASSES = (
    "neutral",
    "happy",
    "sad",
    "surprise",
    "fear",
    "disgust",
    "angry",
    "contempt",
    "none",
    "uncertain",
    "no-face",
)
"""AffectNet's expressions 0 to 10, in order."""

SEVEN_CLASSES = FER2013_CLASSES
FOUR_CLASSES = ("angry", "happy", "sad", "neutral")
"""P's subset of FER2013."""

FOLDER_CLASSES = (*FER2013_CLASSES, "contempt")
"""Classes that folders of pictures may have, in the order of a network's outputs."""

FOLDER_NAMES = {
    **{name: name for name in (*FOLDER_CLASSES, "none", "uncertain", "no-face")},
    **{str(number): name for number, name in enumerate(FER2013_CLASSES)},
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "happiness": "happy",
    "sadness": "sad",
    "surprised": "surprise",
}
"""Names, in lower case, that class folders go by, and their class; numbers are FER2013's labels."""

NamedSubset = Literal["all", "seven", "four"]


class ExpressionAugmentation(Settings):
    """What is drawn anew for every picture in every epoch."""

    flip: float = Field(0.0, ge=0, le=1, description="probability of a mirror image")
    shift: int = Field(0, ge=0, description="largest shift either way, whole pixels of the data's pictures")
    rotation_degrees: float = Field(0.0, ge=0, le=180, description="largest turn either way")
    scale: float = Field(0.0, ge=0, lt=1, description="largest relative change of size")
    brightness: float = Field(0.0, ge=0, lt=1, description="largest relative change of brightness")
    contrast: float = Field(0.0, ge=0, lt=1, description="largest relative change of contrast")
    erasing: float = Field(0.0, ge=0, le=1, description="probability that a rectangle is painted over")
    erasing_area: tuple[float, float] = Field((0.02, 0.2), description="smallest and largest share it covers")

    @model_validator(mode="after")
    def _area_is_a_range(self) -> ExpressionAugmentation:
        low, high = self.erasing_area
        if not 0 < low <= high < 1:
            raise ValueError(f"erasing_area: expected 0 < smallest <= largest < 1, found {low}, {high}")
        return self


class ExpressionTraining(Settings):
    """Training of a network to name the expression of a face."""

    name: str = Field(description="first part of the models' ids", pattern=r"^[a-z][a-z0-9-]{0,40}$")
    network: NamedNetwork
    classes: NamedSubset | tuple[str, ...] = Field("all", description="all | seven | four | a list of names")
    merge: dict[str, str] = Field({}, description="classes that become another one, before the subset is taken")
    truth: Literal["label", "votes"] = Field("label", description="votes: FER+'s majority is what counts as right")
    soft_labels: float = Field(0.0, ge=0, le=1, description="share of FER+'s votes in the target; 0: the truth alone")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] = Field("none", description="balanced: every class weighs the same")
    mixup: float = Field(0.0, ge=0, description="alpha of the Beta distribution that two pictures mix by; 0: no mixing")
    augmentation: ExpressionAugmentation = ExpressionAugmentation()
    test_views: Literal[1, 2, 10] = Field(
        1, description="views averaged when scoring: itself; and its mirror image; and four shifts of both"
    )

    start_from: str | None = Field(
        None,
        description="an expression model: its folder, its id or name in the store, or shipped; its weights, and of the "
        "head those of the classes that it names too",
    )
    teachers: tuple[str, ...] = Field((), description="ids of models whose mean answer goes into the target")
    teacher_share: float = Field(0.0, ge=0, le=1, description="share of the teachers' answer in the target")

    choice_share: float = Field(
        0.1, ge=0, lt=0.5, description="share of Training that every choice is made on; 0: none, the last epoch counts"
    )
    split_seed: int = 0
    drop_shared: bool = Field(True, description="drop from training what also stands in a split that is scored")

    seeds: tuple[int, ...] = Field((0,), min_length=1, description="one run each; their scores are averaged")
    batch_size: int = Field(128, ge=1)
    max_epochs: int = Field(ge=1)
    patience: int | None = Field(None, ge=1, description="epochs without a better choice accuracy; none: never stop")
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="sgd is Nesterov's")
    learning_rate: float = Field(1e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float | None = Field(None, gt=0, description="global-norm gradient clip")
    schedule: Literal["constant", "cosine", "onecycle", "plateau"] = "constant"
    warmup_epochs: float = Field(0.0, ge=0, description="linear rise to the full rate, of cosine and onecycle")
    plateau_factor: float = Field(0.1, gt=0, lt=1, description="the rate times this where choice accuracy stands still")
    plateau_patience: int = Field(3, ge=0, description="epochs that it may stand still")
    average_decay: float | None = Field(None, gt=0, lt=1, description="exponential average of the weights, by step")

    device: str = Field("auto", description="auto | cpu | cuda | cuda:N")
    num_threads: int = Field(0, ge=0, description="torch threads on the CPU; 0: one for each core")
    precision: Literal["float32", "auto"] = Field(
        "auto", description="auto: mixed with bfloat16 where the device computes it natively"
    )

    @model_validator(mode="after")
    def _seeds_differ(self) -> ExpressionTraining:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: expected each once, found {self.seeds}")
        return self

    @model_validator(mode="after")
    def _teachers_and_share_together(self) -> ExpressionTraining:
        if bool(self.teachers) != bool(self.teacher_share):
            raise ValueError(
                f"teachers: expected together with teacher_share, found {self.teachers}, {self.teacher_share}"
            )
        return self

    @model_validator(mode="after")
    def _choosing_needs_faces(self) -> ExpressionTraining:
        if not self.choice_share and (self.patience is not None or self.schedule == "plateau"):
            raise ValueError(
                f"choice_share = 0 leaves nothing to choose on: expected no patience and no plateau, found patience "
                f"{self.patience}, schedule {self.schedule!r}"
            )
        return self

    def keyed(self) -> dict[str, Any]:
        """Without `seeds`: each run has a key of its own, and one more seed leaves the others as they are.

        `start_from` is a name: the hash of the weights it means goes into the key in its place.
        """
        return {name: value for name, value in super().keyed().items() if name not in ("seeds", "start_from")}


def load_expression_training(path: Path) -> ExpressionTraining:
    """Read the settings of an expression training.

    Raises:
        SettingsError: no such file, not TOML, or a setting is unknown or out of range.
    """
    adapter: TypeAdapter[ExpressionTraining] = TypeAdapter(ExpressionTraining)
    return validated(adapter, read_toml(path), path)
