"""The card of a trained model: what it is, what it was trained on, how it was selected."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class EpochRecord(BaseModel):
    """One epoch: training loss in squared rating units, CCC on the selecting partition, wall seconds."""

    model_config = ConfigDict(frozen=True)

    epoch: int
    train_loss: float
    dev_ccc: float
    seconds: float


class ModelCard(BaseModel):
    """`card.json` beside `model.safetensors`.

    `dev_ccc` is the mean over raters of the concatenated CCC on the selecting partition: the figure that chose the
    epoch, hence no result. `provenance` maps what was read to its key or hash.
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
