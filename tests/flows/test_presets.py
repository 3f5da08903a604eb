"""What a run names becomes settings: a preset by its name, or a file by its path, wherever settings are asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.presets import settings_of, training_of
from schemas.errors import SettingsError
from schemas.presets import conf_dir
from schemas.runs import StoreRun, TrainRun


@pytest.mark.parametrize("name", ["khorrami-cnn", "khorrami-rnn", "poster-cnn"])
def test_a_training_is_named_like_every_preset(name: str, tmp_path: Path) -> None:
    shutil.copyfile(conf_dir() / f"{name}.toml", tmp_path / "mine.toml")
    by_name = training_of(TrainRun(store=tmp_path, config=name))
    assert by_name == training_of(TrainRun(store=tmp_path, config=str(tmp_path / "mine.toml")))
    assert by_name == training_of(TrainRun(store=tmp_path, config=str(conf_dir() / f"{name}.toml")))


def test_the_preset_of_a_training_is_the_pipelines_own(tmp_path: Path) -> None:
    pipeline = settings_of(StoreRun(store=tmp_path, preset="khorrami2016"))
    assert pipeline.cnn == training_of(TrainRun(store=tmp_path, config="khorrami-cnn"))
    assert pipeline.rnn == training_of(TrainRun(store=tmp_path, config="khorrami-rnn"))


def test_a_start_is_laid_over_a_cnn_alone(tmp_path: Path) -> None:
    started = training_of(TrainRun(store=tmp_path, config="poster-cnn", start_from="shipped"))
    assert started.model_dump()["start_from"] == "shipped"
    with pytest.raises(SettingsError, match="khorrami-rnn: an RNN starts from no expression model"):
        training_of(TrainRun(store=tmp_path, config="khorrami-rnn", start_from="shipped"))


def test_a_wrong_name_is_told_the_presets(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nope\.toml: no such settings file; presets in .*khorrami-cnn\.toml"):
        training_of(TrainRun(store=tmp_path, config="nope"))
