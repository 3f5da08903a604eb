"""What was measured here: one figure of one network, as `affectflow models` shows it and `conf/results/` ships it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from schemas.presets import conf_dir
from schemas.toml_files import read_toml, validated


class MeasuredResult(BaseModel):
    """The mean of a figure over the runs of one recipe. Accuracy in per cent; CCC in -1 to 1, the mean over raters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str = Field(description="name in the registry")
    options: str = Field("", description="arguments of the network that are not the registry's, such as widths=[8, 8]")
    recipe: str = Field(description="name of the training")
    data: str
    split: str
    subset: Literal["all", "unseen"] = "all"
    metric: Literal["accuracy", "ccc"]
    value: float
    spread: float = Field(0.0, ge=0, description="sample standard deviation over the runs; 0 of a single one")
    runs: int = Field(ge=1, description="one for each seed")
    selected: bool = Field(description="the epoch was chosen on this split: an upper bound, no result")


def shipped_results() -> tuple[MeasuredResult, ...]:
    """The figures in `conf/results/networks.toml`, which `benchmarks/record_results.py` writes.

    Raises:
        SettingsError: the file is missing, or damaged.
    """
    path = conf_dir() / "results" / "networks.toml"
    rows = read_toml(path).get("result", [])
    return tuple(validated(TypeAdapter(list[MeasuredResult]), rows, path))
