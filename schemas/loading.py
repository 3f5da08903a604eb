"""Presets of `conf/` read into settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, TypeAdapter

from schemas.errors import SettingsError
from schemas.evaluation import EvaluateSettings
from schemas.pipeline import PipelineSettings
from schemas.presets import conf_dir
from schemas.settings import Settings
from schemas.toml_files import read_toml, validated
from schemas.training import AnyTraining, CnnTraining, RnnTraining

PROTOCOLS = "protocols"
"""Folder of the protocols in `conf/`."""


class ProtocolChoice(Settings):
    """`[evaluate]` of a preset: which protocol."""

    protocol: str = Field("default", description="a name in conf/protocols/, or the path of a TOML file")
    ceiling: str | None = Field(None, description="id of predictions that stand as the ceiling in the tables")


class _Evaluation(Settings):
    evaluate: ProtocolChoice = ProtocolChoice()


def load_pipeline(path: Path) -> PipelineSettings:
    """Read a pipeline preset.

    `cnn` and `rnn` may be tables, or the names of training files beside the preset. `evaluate` holds the name of a
    protocol, and the ceiling; what a protocol is stands in its own file.

    Raises:
        SettingsError: no such file, not TOML, or a setting is unknown or out of range.
    """
    data = read_toml(path)
    for model in ("cnn", "rnn"):
        if isinstance(data.get(model), str):
            data[model] = read_toml(path.parent / str(data[model]))
    named = {"evaluate": data.pop("evaluate")} if "evaluate" in data else {}
    chosen = validated(TypeAdapter(_Evaluation), named, path).evaluate
    settings = validated(TypeAdapter(PipelineSettings), data, path)
    evaluation = load_protocol(chosen.protocol).model_copy(update={"ceiling": chosen.ceiling})
    return settings.model_copy(update={"evaluate": evaluation})


def load_protocol(name: str) -> EvaluateSettings:
    """Read a protocol: a name in `conf/protocols/`, or the path of a TOML file, whose stem is its name.

    Raises:
        SettingsError: there is no such protocol, or it is out of range, or has the name of another.
    """
    known = {found.stem: found for found in sorted((conf_dir() / PROTOCOLS).glob("*.toml"))}
    path = Path(name) if name.endswith(".toml") else conf_dir() / PROTOCOLS / f"{name}.toml"
    if not path.exists():
        raise SettingsError(f"{path}: no such protocol; expected the path of a TOML file, or one of {', '.join(known)}")
    settings = validated(TypeAdapter(EvaluateSettings), {"protocol": path.stem, **read_toml(path)}, path)
    preset = known.get(path.stem)
    if settings.protocol != path.stem or (preset is not None and not preset.samefile(path)):
        raise SettingsError(
            f"{path}: protocol {settings.protocol!r}: expected the file's own name, and none of the presets' "
            f"({', '.join(known)}): a score is told by it; rename the file"
        )
    return settings


def load_training(path: Path) -> CnnTraining | RnnTraining:
    """Read the settings of one model: `input = "chips"` makes it a CNN, `"features"` an RNN.

    Raises:
        SettingsError: no such file, not TOML, or a setting is unknown or out of range.
    """
    adapter: TypeAdapter[CnnTraining | RnnTraining] = TypeAdapter(AnyTraining)
    return validated(adapter, read_toml(path), path)
