"""A run's own choices laid over the preset of an expression training."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.train_expression import settings_of
from schemas.errors import SettingsError
from schemas.expressions import load_expression_training
from schemas.presets import preset_path
from schemas.runs import ExpressionTrainRun

RUN = ExpressionTrainRun(store=Path("store"), data=Path("fer2013.csv"), config="expression/touchy-final")


def test_a_preset_stands_as_it_is() -> None:
    assert settings_of(RUN) == load_expression_training(preset_path("expression/touchy-final"))


def test_choices_are_laid_over_it() -> None:
    chosen = settings_of(RUN.model_copy(update={"network": "poster-small", "seeds": (5, 6), "device": "cpu"}))
    assert (chosen.network.name, chosen.network.options) == ("poster-small", {})
    assert (chosen.name, chosen.seeds, chosen.device) == ("t-final-poster-small", (5, 6), "cpu")
    assert chosen.max_epochs == settings_of(RUN).max_epochs
    same = settings_of(RUN.model_copy(update={"network": "touchy-final"}))
    assert same == settings_of(RUN)


def test_choices_are_checked() -> None:
    with pytest.raises(SettingsError, match=r"touchy-final\.toml: .*\n.*seeds: expected each once"):
        settings_of(RUN.model_copy(update={"seeds": (1, 1)}))
    with pytest.raises(SettingsError, match="no such settings file"):
        settings_of(RUN.model_copy(update={"config": "expression/none"}))
