"""From an expression network to valence: whose weights are kept, what is trained on, and what the card says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from models import registry
from models.apart import RatersApart
from models.blocks import FaceNetwork
from schemas.cards import ExpressionCard, ModelCard
from schemas.errors import SettingsError, TrainingError
from schemas.loading import load_training
from schemas.presets import preset_path
from schemas.training import Augmentation, CnnTraining, NamedNetwork, RnnTraining
from tasks.evaluation.stage import evaluate
from tasks.expression.plan import ExpressionStore
from tasks.expression.shipped import shipped_folder
from tasks.features.stage import extract_features
from tasks.prediction.stage import predict
from tasks.store.cards import CARD_FILE, WEIGHTS_FILE, read_cards
from tasks.store.layout import Store
from tasks.training import fit as fitting
from tasks.training import stage as training
from tasks.training.networks import build_cnn, input_shape, load_cnn, weights_bytes, weights_sha256
from tasks.training.plan import current_model, find_start
from tasks.training.stage import train_model

from ..conftest import EVALUATE, FEATURES_RUN, PREDICT_RUN, RATERS, RNN, Corpus, chips_of, dataset_card

OPTIONS: dict[str, Any] = {"widths": [4, 4, 8], "num_features": 12, "dropout": 0.1}
TRANSFER = CnnTraining(
    name="tiny-transfer",
    network=NamedNetwork(name="poster-small", options=OPTIONS),
    augmentation=Augmentation(shift_pixels=1, flip=0.5),
    batch_size=16,
    learning_rate=0.1,
    clip_norm=1.0,
    frame_stride=3,
    max_epochs=2,
    patience=2,
    device="cpu",
    num_threads=1,
    start_from="tiny-four",
)
DATASET = dataset_card(name="SYNTHETIC faces", terms="made by a test; anybody may have them")


def write_expression(
    store: Store, *, network: str = "poster-small", name: str = "tiny-four", seed: int = 0, **options: object
) -> Path:
    """An expression model of random weights, as `train-expression` would leave it."""
    torch.manual_seed(seed)
    built = registry.build(network, num_outputs=4, **options)
    weights = weights_bytes(built)
    sha256 = weights_sha256(weights)
    card = ExpressionCard(
        model_id=f"{name}-{sha256[:8]}",
        name=name,
        stage_key="0" * 16,
        weights_sha256=sha256,
        network=network,
        network_options=dict(options),
        num_parameters=1,
        input_size=48,
        channels=1,
        classes=("angry", "happy", "sad", "neutral"),
        seed=seed,
        best_epoch=0,
        history=(),
        scores=(),
        dataset=DATASET,
        licence="the terms of the data",
        settings={},
        code_version="0",
        torch_version="0",
        device="cpu",
    )
    folder = ExpressionStore(store.root).model(card.model_id)
    folder.mkdir(parents=True)
    (folder / WEIGHTS_FILE).write_bytes(weights)
    (folder / CARD_FILE).write_text(card.model_dump_json(), encoding="utf-8")
    return folder


def trained(corpus: Corpus, **update: object) -> ModelCard:
    settings = CnnTraining.model_validate({**TRANSFER.model_dump(), **update})
    return train_model(corpus.store, corpus.recordings, settings)


def kept(corpus: Corpus, card: ModelCard, folder: Path) -> set[str]:
    """Names of the tensors that are the source's, bit by bit."""
    source = load_file(folder / WEIGHTS_FILE)
    found = load_file(corpus.store.model(card.model_id) / WEIGHTS_FILE)
    assert found.keys() == source.keys()
    return {
        name for name in found if found[name].shape == source[name].shape and torch.equal(found[name], source[name])
    }


@pytest.mark.parametrize(
    ("freeze", "learns"),
    [
        ("all but the head", {"head"}),
        ("convolutions", {"head", "hidden"}),
        ("nothing", {"head", "hidden", "convolutions"}),
    ],
)
def test_what_is_frozen_keeps_the_weights_of_the_source(corpus: Corpus, freeze: str, learns: set[str]) -> None:
    folder = write_expression(corpus.store, **OPTIONS)
    card = trained(corpus, freeze=freeze)
    same = kept(corpus, card, folder)
    names = set(load_file(folder / WEIGHTS_FILE))
    assert same == {name for name in names if name.partition(".")[0] not in learns}
    assert card.start is not None
    assert card.start.model_id == folder.name
    assert folder.name.endswith(card.start.weights_sha256[:8])
    assert (card.start.dataset, card.start.terms) == (DATASET.name, DATASET.terms)
    assert card.settings["start_from"] == folder.name
    assert (card.num_features, card.raters) == (12, RATERS)


def test_batch_statistics_of_frozen_convolutions_stay(corpus: Corpus) -> None:
    options: dict[str, Any] = {"widths": [4, 4], "depths": [1, 1]}
    folder = write_expression(corpus.store, network="resnet-slim-48", **options)
    network = {"name": "resnet-slim-48"}
    frozen = kept(corpus, trained(corpus, freeze="convolutions", network=network), folder)
    free = kept(corpus, trained(corpus, network=network), folder)
    statistics = {name for name in load_file(folder / WEIGHTS_FILE) if "running" in name and "convolutions" in name}
    assert statistics
    assert statistics <= frozen
    assert not statistics & free


def test_the_rate_of_a_transfer_is_the_rate_times_the_setting(corpus: Corpus) -> None:
    write_expression(corpus.store, **OPTIONS)
    one = trained(corpus, learning_rate=0.01, transfer_rate=0.1)
    other = trained(corpus, learning_rate=0.001, transfer_rate=1.0)
    assert 0.01 * 0.1 == 0.001
    assert one.weights_sha256 == other.weights_sha256
    assert one.stage_key != other.stage_key
    assert TRANSFER.model_copy(update={"start_from": None}).rate == TRANSFER.learning_rate


def test_features_are_those_of_the_source_and_every_stage_reads_them(corpus: Corpus) -> None:
    folder = write_expression(corpus.store, **OPTIONS)
    store, recordings = corpus.store, corpus.recordings
    card = trained(corpus, freeze="all but the head")
    extract_features(store, recordings, card, FEATURES_RUN)
    rows = pl.read_parquet(store.features(card.model_id, "A1"))
    network = registry.build("poster-small", num_outputs=4, **OPTIONS)
    network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    with torch.inference_mode():
        expected = network.eval().features(torch.from_numpy(gray48(chips_of(corpus.fakes["A1"]))))
    np.testing.assert_allclose(np.array(rows["feature"].to_list()), expected.numpy(), atol=1e-5)
    rnn = train_model(store, recordings, RNN, features_model_id=card.model_id)
    assert rnn.num_features == 12
    for one in (card, rnn):
        predict(store, recordings, one, PREDICT_RUN)
    assert evaluate(store, recordings, [card.model_id, rnn.model_id], "valence", EVALUATE)
    assert RnnTraining(**rnn.settings) == RNN


def gray48(chips: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Luma, then the mean of 2x2 pixels, both rounded: by floats and independent of `models.chips`."""
    luma = np.floor(chips @ np.array([77, 150, 29]) / 256 + 0.5)
    small = luma.reshape(-1, 48, 2, 48, 2).sum(axis=(2, 4))
    gray: npt.NDArray[np.uint8] = np.floor(small / 4 + 0.5).astype(np.uint8)[:, None]
    return gray


def test_the_same_weights_by_any_name_are_one_training(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_expression(corpus.store, **OPTIONS)
    card = trained(corpus)

    def no_work(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "fit", no_work)
    for name in (folder.name, str(folder)):
        assert trained(corpus, start_from=name) == card
    assert current_model(corpus.store, corpus.recordings, TRANSFER) == card
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    write_expression(corpus.store, seed=1, **OPTIONS)
    assert current_model(corpus.store, corpus.recordings, TRANSFER) is None


def test_shipped_is_the_packages_network_whatever_the_store_holds(corpus: Corpus) -> None:
    settings = load_training(preset_path("shipped-cnn"))
    assert isinstance(settings, CnnTraining)
    packaged = find_start(corpus.store, settings)
    assert packaged is not None
    assert packaged.folder == shipped_folder()
    given = load_file(packaged.folder / WEIGHTS_FILE)

    card = trained(corpus, start_from="shipped", freeze=settings.freeze, network=settings.network.model_dump())

    assert card.start is not None
    assert card.start.model_id == packaged.card.model_id
    found = load_file(corpus.store.model(card.model_id) / WEIGHTS_FILE)
    for name, tensor in given.items():
        assert name.startswith("head.") or torch.equal(found[name], tensor.to(found[name].dtype)), name
    write_expression(corpus.store, name="shipped", **OPTIONS)
    assert find_start(corpus.store, settings) == packaged


def test_what_cannot_be_started_from_is_named(corpus: Corpus) -> None:
    with pytest.raises(SettingsError, match=r"'tiny-four'.*found there none.*train-expression"):
        trained(corpus)
    first = write_expression(corpus.store, **OPTIONS)
    with pytest.raises(SettingsError, match=rf"'other'.*{first.name}.*by its id"):
        trained(corpus, start_from="other")
    with pytest.raises(SettingsError, match='is a poster-small, found the network deep; set name = "poster-small"'):
        trained(corpus, network={"name": "deep"})
    with pytest.raises(SettingsError, match="found the network khorrami-cnn"):
        trained(corpus, network={})
    with pytest.raises(SettingsError, match=r"hidden.1.weight.* differ in shape"):
        trained(corpus, network={"name": "poster-small", "options": {"num_features": 16}})
    with pytest.raises(SettingsError, match=r"no option depth"):
        trained(corpus, network={"name": "poster-small", "options": {"depth": 16}})
    second = write_expression(corpus.store, seed=1, **OPTIONS)
    with pytest.raises(SettingsError, match=r"one of these by its id") as caught:
        trained(corpus)
    assert first.name in str(caught.value)
    assert second.name in str(caught.value)
    assert read_cards(corpus.store) == []


@pytest.mark.parametrize("stop", ["fresh", "killed"])
def test_a_network_for_each_rater(corpus: Corpus, monkeypatch: pytest.MonkeyPatch, stop: str) -> None:
    write_expression(corpus.store, **OPTIONS)
    settings = {"raters": "apart", "max_epochs": 3, "learning_rate": 0.3}
    if stop == "killed":
        fit, calls = fitting.fit, 0

        def dies_at_the_second(*args: Any, **options: Any) -> object:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise KeyboardInterrupt
            return fit(*args, **options)

        monkeypatch.setattr(training, "fit", dies_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            trained(corpus, **settings)
        monkeypatch.setattr(training, "fit", fit)
    card = trained(corpus, **settings)
    assert tuple(card.history_by_rater) == RATERS
    best = [max(record.dev_ccc for record in history) for history in card.history_by_rater.values()]
    assert card.dev_ccc == pytest.approx(np.mean(best))
    assert [record.dev_ccc for record in card.history] == sorted(record.dev_ccc for record in card.history)
    network = load_cnn(corpus.store, card)
    assert isinstance(network, RatersApart)
    pixels = torch.from_numpy(gray48(chips_of(corpus.fakes["B1"])))
    with torch.inference_mode():
        alone = torch.cat([one(pixels) for one in network.each()], dim=1)
    store, recordings = corpus.store, corpus.recordings
    extract_features(store, recordings, card, FEATURES_RUN)
    predict(store, recordings, card, PREDICT_RUN)
    rows = pl.read_parquet(store.predictions(card.model_id, "B1"))
    for position, rater in enumerate(RATERS):
        found = rows.filter((pl.col("rater") == rater) & pl.col("face_valid")).sort("frame_index")
        expected = np.delete(alone[:, position].numpy(), corpus.fakes["B1"].faceless)
        np.testing.assert_allclose(found["value"].to_numpy(), expected, atol=1e-5)
    assert card.weights_sha256 == _uninterrupted(corpus, settings).weights_sha256


def _uninterrupted(corpus: Corpus, settings: dict[str, object]) -> ModelCard:
    """The same training once more, from nothing."""
    for card in read_cards(corpus.store):
        (corpus.store.model(card.model_id) / CARD_FILE).unlink()
        for path in corpus.store.model(card.model_id).rglob("*.safetensors"):
            path.unlink()
    return trained(corpus, **settings)


def test_a_rater_without_dev_ratings_cannot_stand_alone(make_corpus: Callable[..., Corpus]) -> None:
    from ..conftest import Fake

    made = make_corpus(
        Fake(recording_id="A1", partition="train", num_frames=60, raters=("X", "Y")),
        Fake(recording_id="B1", partition="dev", num_frames=60, raters=("X",)),
    )
    with pytest.raises(TrainingError, match=r'^Y: no dev frame.*raters = "together"'):
        trained(made, raters="apart", start_from=None)


def test_other_sizes_than_the_chips_are_interpolated(corpus: Corpus) -> None:
    options = {"widths": [4, 4, 4], "num_features": 6}
    card = trained(corpus, start_from=None, network={"name": "affectnet-baseline-64", "options": options}, max_epochs=1)
    assert (card.num_features, card.start) == (6, None)
    extract_features(corpus.store, corpus.recordings, card, FEATURES_RUN)
    rows = pl.read_parquet(corpus.store.features(card.model_id, "A1"))
    assert rows.schema["feature"] == pl.Array(pl.Float32, 6)


@pytest.mark.parametrize("facts", [one for one in registry.entries() if one.reads == "faces"], ids=lambda one: one.name)
def test_every_network_of_the_registry_reads_chips(facts: registry.NetworkEntry) -> None:
    settings = CnnTraining(network=NamedNetwork(name=facts.name))
    shape = input_shape(settings)
    assert (shape.size, shape.channels) == (facts.input_size, facts.channels)
    with torch.device("meta"):
        network = build_cnn(settings, 6)
    assert isinstance(network, FaceNetwork)
    head = (facts.num_features + 1) * (6 - facts.num_outputs)
    assert sum(one.numel() for one in network.parameters()) == facts.num_parameters + head


def test_freezing_needs_something_to_keep() -> None:
    with pytest.raises(ValueError, match=r"freeze = 'convolutions': expected start_from"):
        CnnTraining(freeze="convolutions")


def test_earlier_trainings_keep_their_keys() -> None:
    """What a key held before there was a transfer, no more and no less."""
    found = CnnTraining().keyed()
    later = {"start_from", "transfer_rate", "freeze", "raters", *training_runtime()}
    assert set(found) == set(CnnTraining.model_fields) - later
    assert found["normalisation"] == "mean+lcn"


def training_runtime() -> set[str]:
    return {"device", "num_threads"}
