"""The presets of `conf/expression`: they load, their networks can be built, and they are the papers' own recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import SettingsError
from schemas.expressions import load_expression_training
from schemas.presets import conf_dir, preset_path
from tasks.expression.networks import build_network, input_shape
from tasks.training.networks import count_parameters

PRESETS = sorted((conf_dir() / "expression").glob("*.toml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_loads_and_its_network_has_an_input(path: Path) -> None:
    settings = load_expression_training(path)
    assert preset_path(f"expression/{path.stem}") == path
    assert input_shape(settings.network).size in (48, 64, 96, 112, 128)


def test_preset_names_differ() -> None:
    assert len(PRESETS) >= 11
    assert len({load_expression_training(path).name for path in PRESETS}) == len(PRESETS)


@pytest.mark.parametrize(
    ("preset", "classes", "num_parameters"),
    [("shallow", 7, 4_927_111), ("deep", 7, 4_474_759), ("poster-small", 4, 575_468)],
)
def test_published_parameter_counts(preset: str, classes: int, num_parameters: int) -> None:
    settings = load_expression_training(preset_path(f"expression/{preset}"))
    assert count_parameters(build_network(settings.network, classes)) == num_parameters


def test_the_ladder_is_ten_epochs_of_adam_four_times() -> None:
    for path in PRESETS:
        if path.stem.startswith("touchy-"):
            settings = load_expression_training(path)
            assert (settings.optimizer, settings.max_epochs, settings.patience) == ("adam", 10, None)
            assert len(settings.seeds) == 4


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"expression/deep\.toml"):
        load_expression_training(preset_path("expression/depe"))
