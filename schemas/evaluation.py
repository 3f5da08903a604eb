"""Settings of the evaluation: partitions, gold standards, and the protocol that predictions are scored under."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.settings import Settings

Partition = Literal["train", "dev", "test"]
Fusion = Literal["mean", "ewe", "ewe-loo", "avec2018"]
Gold = Literal["none", "corpus"] | Fusion


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
