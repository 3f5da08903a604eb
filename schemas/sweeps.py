"""Sweeps: a table of a paper as settings, row by row, beside what was published of each row."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, TypeAdapter, model_validator

from schemas.errors import SettingsError
from schemas.evaluation import EvaluateSettings, Partition
from schemas.loading import load_protocol
from schemas.pipeline import PipelineSettings
from schemas.presets import conf_dir, preset_path
from schemas.settings import Settings
from schemas.toml_files import laid_over, read_toml, validated
from schemas.training import CnnTraining, RnnTraining

SWEEPS = "sweeps"
"""Folder of the sweeps, in `conf/` and in a store."""


class Figures(Settings):
    """Published figures of one row, as they are printed; None where nothing is."""

    rmse: float | None = None
    cc: float | None = None
    ccc: float | None = None


class SweepRow(Settings):
    """One row: what it changes of the sweep's preset, whose scores it shows, what was published."""

    label: str = Field(min_length=1)
    model: Literal["cnn", "rnn"] | None = Field(None, description="whose scores; none: the row cannot be run here")
    absent: str = Field("", description="why it cannot be run here")
    cnn: dict[str, JsonValue] = Field({}, description="settings laid over the preset's CNN training")
    rnn: dict[str, JsonValue] = Field({}, description="settings laid over the preset's RNN training")
    without: tuple[str, ...] = Field((), description="settings of the preset that the row leaves out: cnn.start_from")
    published: Figures = Figures()
    published_by_rater: dict[str, Figures] = Field({}, description="by the name of the rater")
    note: str = Field("", description="what a reader must know of the row's published figures")

    @model_validator(mode="after")
    def _run_or_absent(self) -> SweepRow:
        if (self.model is None) != bool(self.absent):
            raise ValueError(f"{self.label}: expected either model or absent, with the reason; found both or none")
        return self


class Sweep(Settings):
    """A table of a paper."""

    title: str
    preset: str = Field(description="what the rows change: a preset in conf/, or a TOML file beside this one")
    protocol: str = Field("", description="of the published figures: data, target, pooling, what was selected where")
    partition: Partition = Field("dev", description="that the published figures are of")
    scored_by: str = Field("poster-per-rater", description="protocol in conf/protocols/ for the measured figures")
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="of CNN and RNN alike; a run of every row for each")
    contradictions: tuple[str, ...] = Field((), description="in what was published")
    row: tuple[SweepRow, ...] = Field(min_length=1)

    @property
    def is_published(self) -> bool:
        """True if any figure was published."""
        figures = [figures for row in self.row for figures in (row.published, *row.published_by_rater.values())]
        return any(value is not None for one in figures for value in one.model_dump().values())

    @model_validator(mode="after")
    def _labels_and_seeds_differ(self) -> Sweep:
        for name, values in (("seeds", self.seeds), ("label", tuple(row.label for row in self.row))):
            if len(set(values)) != len(values):
                raise ValueError(f"{name}: expected each once, found {values}")
        if self.is_published and not self.protocol:
            raise ValueError("protocol: expected that of the published figures, found none")
        return self


def sweep_path(name: str) -> Path:
    """A path as it stands; a bare name is a sweep of `conf/sweeps/`.

    >>> sweep_path("K-table3").name
    'K-table3.toml'
    """
    return Path(name) if name.endswith(".toml") else conf_dir() / SWEEPS / f"{name}.toml"


def load_sweep(name: str) -> Sweep:
    """Read a sweep.

    Raises:
        SettingsError: no such file, not TOML, or a setting is unknown or out of range.
    """
    path = sweep_path(name)
    if not path.exists():
        known = ", ".join(sorted(found.stem for found in (conf_dir() / SWEEPS).glob("*.toml")))
        raise SettingsError(f"{path}: no such sweep; expected the path of a TOML file, or one of {known}")
    sweep = validated(TypeAdapter(Sweep), read_toml(path), path)
    if sweep.preset.endswith(".toml"):
        sweep = sweep.model_copy(update={"preset": str(path.parent / sweep.preset)})
    return sweep


def row_settings(base: PipelineSettings, row: SweepRow, seed: int, *, origin: str) -> PipelineSettings:
    """The preset with a row's settings and a seed laid over it.

    Args:
        base: the preset.
        row: which row.
        seed: of CNN and RNN.
        origin: the sweep, for errors.

    Raises:
        SettingsError: a setting of the row is unknown or out of range.
    """
    path = Path(f"{origin}, row {row.label!r}")
    parts: dict[str, Any] = {"cnn": base.cnn.model_dump(), "rnn": base.rnn.model_dump()}
    for name in row.without:
        part, _, setting = name.partition(".")
        if setting not in parts.get(part, {}):
            raise SettingsError(f"{path}: without {name!r}: expected a setting, such as cnn.start_from")
        del parts[part][setting]
    cnn = validated(TypeAdapter(CnnTraining), {**laid_over(parts["cnn"], row.cnn), "seed": seed}, path)
    rnn = validated(TypeAdapter(RnnTraining), {**laid_over(parts["rnn"], row.rnn), "seed": seed}, path)
    return base.model_copy(update={"cnn": cnn, "rnn": rnn, "control": False})


def base_settings(sweep: Sweep, preset: str | None) -> Path:
    """The TOML file of the preset that the rows change: the sweep's own, or the one named in its place."""
    return preset_path(preset or sweep.preset)


def sweep_protocol(sweep: Sweep) -> EvaluateSettings:
    """What the rows are scored by: the sweep's protocol on dev, as it was published, and on test, as it should be.

    Raises:
        SettingsError: there is no such protocol.
    """
    protocol = load_protocol(sweep.scored_by)
    chosen = {"protocol": f"{protocol.protocol}-and-test", "scored_on": ("dev", "test"), "declares_overlap": True}
    return EvaluateSettings.model_validate({**protocol.model_dump(), **chosen})
