"""Training on from a finished expression model, on SYNTHETIC faces."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from models import registry
from schemas.errors import SettingsError
from schemas.expressions import FER2013_CLASSES, load_expression_training
from schemas.presets import preset_path
from schemas.training import NamedNetwork
from tasks.expression.networks import load_expression, take_over
from tasks.expression.plan import ExpressionStore, FinishedModel
from tasks.expression.shipped import shipped_model
from tasks.expression.stage import ExpressionRun, train_expression
from tasks.expression.start import named_model, network_of

from .conftest import Fer, changed, write_csv


@pytest.fixture(scope="module")
def first(fer: Fer, tmp_path_factory: pytest.TempPathFactory) -> ExpressionRun:
    """A store with a finished model."""
    return train_expression(tmp_path_factory.mktemp("first"), fer.path, changed(name="first", max_epochs=8))


def root_of(run: ExpressionRun) -> Path:
    return run.models.parents[1]


def weights(run: ExpressionRun) -> dict[str, torch.Tensor]:
    return load_file(run.models / run.cards[0].model_id / "model.safetensors")


def write_folders(root: Path, fer: Fer) -> Path:
    """Training of the synthetic table as class folders."""
    for number, (picture, label, usage) in enumerate(zip(fer.pictures, fer.labels, fer.usages, strict=True)):
        if usage == "Training":
            folder = root / "train" / FER2013_CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / f"{number}.png")
    return root


def on(run: ExpressionRun, data: Path, **values: object) -> ExpressionRun:
    """A training that starts from the first; nothing moves but by its rate."""
    settings = {"name": "second", "start_from": "first", "max_epochs": 1, "network": NamedNetwork(name="shallow")}
    return train_expression(root_of(run), data, changed(**(settings | values)))


def test_it_begins_where_the_other_ended(fer: Fer, first: ExpressionRun) -> None:
    standing = on(first, fer.path, name="standing", learning_rate=1e-30)
    begun, ended = weights(standing), weights(first)
    assert begun.keys() == ended.keys()
    learned = {name for name, _ in load_expression(first.models / first.cards[0].model_id)[0].named_parameters()}
    for name in learned | {"normalisation.mean"} & ended.keys():
        assert torch.allclose(begun[name], ended[name], rtol=1e-6, atol=1e-12), name
    card = standing.cards[0]
    assert card.network_options == first.cards[0].network_options  # the start's, where the settings state none
    assert card.start is not None
    assert (card.start.model_id, card.start.dataset) == (first.cards[0].model_id, "FER2013")
    assert card.start.weights_sha256 == first.cards[0].weights_sha256
    page = standing.report.read_text(encoding="utf-8")
    assert f"The weights are those of {card.start.model_id} (FER2013), trained on." in page


def test_an_epoch_at_a_small_rate_from_there_knows_more_than_one_from_chance(fer: Fer, first: ExpressionRun) -> None:
    small = {"max_epochs": 1, "learning_rate": 1e-4}
    chance = train_expression(root_of(first), fer.path, changed(name="chance", **small)).cards[0].scores[0]
    assert on(first, fer.path, name="small", **small).cards[0].scores[0].accuracy > chance.accuracy + 0.3


def test_the_weights_it_starts_from_are_part_of_the_key(fer: Fer, first: ExpressionRun, tmp_path: Path) -> None:
    by_name = on(first, fer.path)
    elsewhere = shutil.copytree(first.models / first.cards[0].model_id, tmp_path / "elsewhere")
    assert on(first, fer.path, start_from=str(elsewhere)).cards == by_name.cards
    other = train_expression(root_of(first), fer.path, changed(name="other", seeds=[5]))
    assert on(first, fer.path, start_from="other").cards[0].stage_key != by_name.cards[0].stage_key
    assert other.cards[0].start is None


def test_outputs_are_taken_over_by_the_name_of_their_class(first: ExpressionRun) -> None:
    source, card = load_expression(first.models / first.cards[0].model_id)
    classes = ("sad", "bored", card.classes[0])
    torch.manual_seed(3)
    network = registry.build(card.network, num_outputs=3, **card.network_options)
    untouched = network.head.weight[1].clone()

    take_over(network, classes, FinishedModel(first.models / card.model_id, card))

    for row, name in ((0, "sad"), (2, card.classes[0])):
        assert torch.equal(network.head.weight[row], source.head.weight[card.classes.index(name)])
        assert network.head.bias[row] == source.head.bias[card.classes.index(name)]
    assert torch.equal(network.head.weight[1], untouched)


def test_a_start_that_may_know_what_judges_is_refused_or_told(
    fer: Fer, first: ExpressionRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SettingsError, match=r"has learned from FER2013 too, with split_seed 0, here 1: it may know"):
        on(first, fer.path, split_seed=1)
    fewer = write_csv(tmp_path / "fer2013.csv", fer.pictures[::2], fer.labels[::2], fer.usages[::2])
    with pytest.raises(SettingsError, match="FER2013 too, with data"):
        on(first, fewer)
    elsewhere = write_folders(tmp_path / "elsewhere", fer)
    on(first, elsewhere, name="there", learning_rate=1e-4)
    with pytest.raises(SettingsError, match=r"there-\w+ has learned from FER2013 too, with data"):
        on(first, fer.path, name="back", start_from="there")
    settings = changed(name="settled", start_from="first", choice_share=0.0, max_epochs=1)
    assert train_expression(root_of(first), fewer, settings, score_test=True).cards[0].start is not None
    assert "settled: first-" in caplog.text
    assert "has learned from FER2013 too, with data" in caplog.text
    assert "whether it knows faces that are scored cannot be told" in caplog.text


def test_another_network_is_refused(fer: Fer, first: ExpressionRun) -> None:
    with pytest.raises(SettingsError, match='is a shallow, found the network deep; set name = "shallow"'):
        on(first, fer.path, network=NamedNetwork(name="deep"))
    with pytest.raises(SettingsError, match=r"'nobody': expected shipped \(.*, the folder of an expression model"):
        on(first, fer.path, start_from="nobody")


def test_the_preset_for_own_faces_starts_from_what_ships(tmp_path: Path) -> None:
    settings = load_expression_training(preset_path("expression/own-faces"))
    assert settings.start_from == "shipped"
    start = named_model(ExpressionStore(tmp_path), settings.start_from)
    assert start == shipped_model()
    assert network_of(start, settings.network).name == settings.network.name
