"""Settings: every preset loads, an unknown or impossible value is named, nothing can be changed afterwards."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from schemas.errors import SettingsError
from schemas.evaluation import EvaluateSettings
from schemas.loading import load_pipeline, load_training
from schemas.pipeline import PipelineSettings
from schemas.presets import conf_dir, preset_path
from schemas.settings import RUNTIME_FIELDS, FacesSettings, FeaturesSettings, IngestSettings, PredictSettings, Settings
from schemas.training import CnnTraining, RnnTraining

PRESETS = sorted(conf_dir().glob("*.toml"))


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_loads(path: Path) -> None:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    if "input" in data:
        settings = load_training(path)
        assert settings.input == data["input"]
        assert isinstance(settings, CnnTraining if data["input"] == "chips" else RnnTraining)
        assert settings.learning_rate == data["learning_rate"]
    else:
        pipeline = load_pipeline(path)
        for model in ("cnn", "rnn"):
            if isinstance(data.get(model), str):
                assert getattr(pipeline, model) == load_training(path.parent / data[model])


def test_there_are_presets() -> None:
    assert {"demo", "khorrami2016", "khorrami-cnn", "khorrami-rnn"} <= {path.stem for path in PRESETS}
    assert preset_path("demo") == conf_dir() / "demo.toml"
    assert preset_path("elsewhere/my.toml") == Path("elsewhere/my.toml")


def test_the_papers_recipe() -> None:
    """K: SGD, batch 128, learning rate .01, momentum .9, weight decay 1e-5, dropout .5; W = 100, one layer of 100."""
    preset = load_pipeline(preset_path("khorrami2016"))
    for training in preset.trainings(swapped=False):
        assert (training.batch_size, training.learning_rate, training.momentum) == (128, 0.01, 0.9)
        assert training.weight_decay == 1e-5
    assert preset.cnn.network.model_dump() == {
        "kind": "khorrami-cnn",
        "input_size": 96,
        "colour": "rgb",
        "kernel_size": 5,
        "widths": (64, 128, 256),
        "dropout": 0.5,
    }
    assert (preset.rnn.network.window, preset.rnn.network.hidden_sizes, preset.rnn.clip_norm) == (100, (100,), 1.0)
    assert preset.cnn.normalisation == "mean+lcn"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[faces]\nsegment_frame = 5", r"mine\.toml: settings out of range\n  faces\.segment_frame: Extra inputs"),
        ("[faces]\nsegment_frames = 5", r"faces\.segment_frames: .*greater than or equal to 25 \(found 5\)"),
        ('[faces]\nchip_format = "rgb48"', r"faces\.chip_format: .*'rgb96' or 'gray96' \(found 'rgb48'\)"),
        ("[cnn]\nlearning_rate = 0", r"cnn\.learning_rate: .*greater than 0 \(found 0\)"),
        ("[cnn.network]\ninput_size = 64", r"cnn\.network\.input_size: .*48 or 96 \(found 64\)"),
        ('[cnn]\nname = "Mine"', r"cnn\.name: .*\(found 'Mine'\)"),
        ("[rnn.network]\nhidden_sizes = []", r"rnn\.network\.hidden_sizes"),
        ('[evaluate]\nscored_on = ["all"]', r"evaluate\.scored_on: .*\(found \['all'\]\)"),  # a protocol's own file
        ("surprise = 1", r"surprise: Extra inputs"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_pipeline(written(tmp_path, text))


def test_every_wrong_value_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_pipeline(written(tmp_path, "[faces]\nupsample = 9\nworkers = -1\n[predict]\nno_face = 'guess'"))
    assert all(name in str(caught.value) for name in ("faces.upsample", "faces.workers", "predict.no_face"))


def test_a_missing_file_lists_the_presets(tmp_path: Path) -> None:
    for load in (load_pipeline, load_training):
        with pytest.raises(SettingsError) as caught:
            load(tmp_path / "none.toml")
        message = str(caught.value)
        assert "none.toml: no such settings file" in message
        assert all(path.name in message for path in PRESETS)
    with pytest.raises(SettingsError, match="other-cnn"):
        load_pipeline(written(tmp_path, 'cnn = "other-cnn.toml"'))


def test_what_is_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"mine\.toml: expected TOML"):
        load_pipeline(written(tmp_path, "[faces\n"))
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="expected TOML"):
        load_training(tmp_path / "mine.toml")
    with pytest.raises(SettingsError, match="expected TOML"):
        load_training(tmp_path)


def test_a_training_needs_its_input(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="input"):
        load_training(written(tmp_path, 'name = "mine"'))
    with pytest.raises(SettingsError, match=r"'chips'.*'features'"):
        load_training(written(tmp_path, 'input = "pixels"'))
    with pytest.raises(SettingsError, match="frame_stride"):
        load_training(written(tmp_path, 'input = "features"\nframe_stride = 2'))


@pytest.mark.parametrize(
    "settings",
    [
        IngestSettings(),
        FacesSettings(),
        CnnTraining(),
        RnnTraining(),
        FeaturesSettings(),
        PredictSettings(),
        EvaluateSettings(),
        PipelineSettings(),
    ],
    ids=lambda settings: type(settings).__name__,
)
def test_settings_are_frozen_closed_and_round_trip(settings: Settings) -> None:
    name = next(iter(type(settings).model_fields))
    with pytest.raises(ValidationError):
        setattr(settings, name, getattr(settings, name))
    with pytest.raises(ValidationError):
        type(settings).model_validate({"no_such_setting": 1})
    assert type(settings).model_validate_json(settings.model_dump_json()) == settings
    assert not RUNTIME_FIELDS & set(settings.keyed())


def test_the_control_has_a_name_of_its_own() -> None:
    settings = PipelineSettings()
    for real, control in zip(settings.trainings(swapped=False), settings.trainings(swapped=True), strict=True):
        assert (real.swap_ratings, control.swap_ratings) == (False, True)
        assert control.name == f"{real.name}-control"
        assert control.model_copy(update={"swap_ratings": False, "name": real.name}) == real
