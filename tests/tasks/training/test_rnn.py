"""Recurrent networks of every design: settings, keys, training, resuming, predicting."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from models.recurrent import RecurrentNetwork
from models.windows import hold_last_valid, repeat_ends
from schemas.cards import ModelCard
from schemas.errors import SettingsError
from schemas.loading import load_training
from schemas.presets import preset_path
from schemas.training import RnnNetworkSettings, RnnTraining
from tasks.prediction.stage import predict
from tasks.store.cards import WEIGHTS_FILE
from tasks.store.layout import Store
from tasks.training import fit as fitting
from tasks.training import stage as training
from tasks.training.data import load_sequences, read_features
from tasks.training.networks import build_rnn, count_parameters, load_rnn
from tasks.training.stage import train_model

from ..conftest import PREDICT_RUN, RATERS, RNN, Corpus

EARLIER: dict[str, Any] = {  # settings on the card of a model trained when K's RNN was the only one
    "name": "khorrami-rnn",
    "input": "features",
    "dimension": "valence",
    "seed": 0,
    "batch_size": 128,
    "learning_rate": 0.01,
    "clip_norm": 1.0,
    "max_epochs": 20,
    "patience": 5,
    "window_stride": 1,
    "network": {
        "kind": "khorrami-rnn",
        "hidden_sizes": [100],
        "nonlinearity": "relu",
        "window": 100,
        "loss_steps": "all",
        "identity_start": False,
    },
}

LSTM = {"cell": "lstm"}
PAPER: list[tuple[str, dict[str, Any], int]] = [
    # row, what differs from K's preset, parameters without the output layer
    ("table 1, tanh", {"network": {"nonlinearity": "tanh"}}, 100 * (300 + 100 + 2)),
    ("table 1, ReLU", {}, 100 * (300 + 100 + 2)),
    *((f"table 2, h={h}", {"network": {"hidden_sizes": [h]}}, h * (300 + h + 2)) for h in (50, 100, 150, 200)),
    *((f"table 3, W={w}", {"network": {"window": w}}, 40_200) for w in (25, 50, 75, 100, 150)),
    ("table 4, 2 layers", {"network": {"hidden_sizes": [100, 100]}}, 40_200 + 100 * 202),
    ("table 4, 3 layers", {"network": {"hidden_sizes": [100, 100, 50]}}, 40_200 + 100 * 202 + 50 * 152),
    ("table 5, LSTM", {"network": LSTM | {"hidden_sizes": [128]}}, 4 * 128 * (300 + 128 + 2)),
    (
        "table 5, LSTM of two layers, epsilon",
        {"network": LSTM | {"hidden_sizes": [64, 64]}, "loss": "epsilon-insensitive", "epsilon": 0.1},
        4 * 64 * (300 + 64 + 2) + 4 * 64 * (64 + 64 + 2),
    ),
    (
        "table 5, deep bidirectional LSTM",
        {"network": LSTM | {"hidden_sizes": [64, 64], "bidirectional": True}},
        2 * 4 * 64 * (300 + 64 + 2) + 2 * 4 * 64 * (128 + 64 + 2),
    ),
    *((f"table 5, mean of {n}", {"network": LSTM | {"pool_features": n}}, 400 * 402) for n in (8, 16)),
    ("CCC loss, GRU", {"network": {"cell": "gru", "pool_outputs": 8}, "loss": "ccc"}, 300 * 402),
]


def changed(settings: RnnTraining, override: dict[str, Any]) -> RnnTraining:
    data = settings.model_dump()
    data["network"] |= override.get("network", {})
    return RnnTraining.model_validate(data | {k: v for k, v in override.items() if k != "network"})


@pytest.mark.parametrize(("override", "parameters"), [row[1:] for row in PAPER], ids=[row[0] for row in PAPER])
def test_one_override_makes_each_row_of_the_paper(override: dict[str, Any], parameters: int) -> None:
    preset = load_training(preset_path("khorrami-rnn"))
    assert isinstance(preset, RnnTraining)
    settings = changed(preset, override)
    network = build_rnn(settings, 6)
    assert count_parameters(network) == parameters + 6 * (network.head.in_features + 1)
    assert RnnTraining(**settings.model_dump(mode="json")) == settings
    keys = [changed(preset, other[1]).keyed() for other in PAPER]
    same = sum(key == settings.keyed() for key in keys)
    assert same == (3 if settings == preset else 1)  # ReLU, h = 100 and W = 100 are one


def test_earlier_cards_load_and_keep_their_key() -> None:
    settings = RnnTraining(**EARLIER)
    assert settings == load_training(preset_path("khorrami-rnn"))
    keyed = settings.keyed()
    assert keyed["network"] == EARLIER["network"]
    assert not {"loss", "epsilon"} & set(keyed)


def test_what_has_no_effect_is_in_no_key() -> None:
    assert changed(RNN, {"epsilon": 0.5}).keyed() == RNN.keyed()
    lstm = changed(RNN, {"network": LSTM})
    assert lstm.keyed() != RNN.keyed()
    assert changed(RNN, {"network": LSTM | {"nonlinearity": "relu"}}).keyed() == lstm.keyed()
    epsilon = changed(RNN, {"loss": "epsilon-insensitive"})
    keys = [RNN, epsilon, changed(epsilon, {"epsilon": 0.5}), changed(RNN, {"loss": "ccc"})]
    keys += [changed(RNN, {"network": {name: 2}}) for name in ("pool_features", "pool_outputs")]
    keys += [changed(RNN, {"network": {"bidirectional": True}}), lstm]
    assert len({str(one.keyed()) for one in keys}) == len(keys)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (LSTM | {"identity_start": True}, "identity_start is of cell rnn, found cell 'lstm'"),
        ({"window": 8, "pool_outputs": 9}, r"pool_outputs: expected at most window \(8\), found 9"),
        ({"hidden_sizes": [8, 0]}, "greater than or equal to 1"),
        ({"hidden_sizes": [8] * 4}, "at most 3 items"),
        ({"cell": "esn"}, "'rnn', 'lstm' or 'gru'"),
    ],
)
def test_what_cannot_be_is_named(network: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        changed(RNN, {"network": network})


DESIGNS: dict[str, dict[str, Any]] = {
    "lstm": {"network": LSTM | {"hidden_sizes": [12, 8]}, "loss": "epsilon-insensitive", "epsilon": 0.05},
    "both-ways": {"network": LSTM | {"bidirectional": True, "loss_steps": "last", "pool_features": 3}},
    "gru": {"network": {"cell": "gru", "pool_outputs": 4}, "loss": "ccc"},
}


def design(name: str) -> RnnTraining:
    return changed(RNN, DESIGNS[name] | {"name": f"rnn-{name}", "max_epochs": 3, "learning_rate": 0.5})


def weights(store: Store, card: ModelCard) -> dict[str, torch.Tensor]:
    return load_file(store.model(card.model_id) / WEIGHTS_FILE)


@pytest.mark.parametrize("name", list(DESIGNS))
def test_every_design_trains_goes_on_and_predicts(
    full_corpus: Corpus, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    store, recordings, cnn = full_corpus.store, full_corpus.recordings, full_corpus.cnn
    settings = design(name)
    save = fitting._save

    def save_and_stop(*arguments: Any) -> None:
        save(*arguments)
        raise KeyboardInterrupt

    whole = train_model(store, recordings, settings, features_model_id=cnn.model_id)
    expected = weights(store, whole)
    (store.model(whole.model_id) / "card.json").unlink()
    monkeypatch.setattr(fitting, "_save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train_model(store, recordings, settings, features_model_id=cnn.model_id)
    monkeypatch.setattr(fitting, "_save", save)
    card = train_model(store, recordings, settings, features_model_id=cnn.model_id)
    assert card.model_id == whole.model_id
    assert all(torch.equal(tensor, expected[key]) for key, tensor in weights(store, card).items())
    assert card.history[-1].train_loss < card.history[0].train_loss
    assert card.dev_ccc > 0.3

    predict(store, recordings, card, PREDICT_RUN)
    table = pl.read_parquet(store.predictions(card.model_id, "B1"))
    found = table.pivot(on="rater", index="frame_index", values="value").sort("frame_index").select(RATERS)
    np.testing.assert_allclose(found.to_numpy(), one_by_one(store, card, cnn.model_id, "B1", 8), atol=2e-5)


def one_by_one(store: Store, card: ModelCard, features_model_id: str, name: str, window: int) -> np.ndarray[Any, Any]:
    """A window at a time through torch's own layers, `[frame, rater]`."""
    network = load_rnn(store, card)
    sequence = read_features(store.features(features_model_id, name))
    held = hold_last_valid(sequence.features, sequence.valid, start=network.feature_mean)
    ahead = 3 if network.bidirectional else 0
    frames = repeat_ends(network.prepare(held), before=window - 1 - ahead, after=ahead)
    values = [network(frames[None, t : t + window])[0, window - 1 - ahead] for t in range(len(held))]
    return torch.stack(values).numpy()


@pytest.mark.parametrize(("bidirectional", "kept"), [(False, 7), (True, 4)])
def test_only_the_predicted_step_counts_if_asked(
    full_corpus: Corpus, monkeypatch: pytest.MonkeyPatch, bidirectional: bool, kept: int
) -> None:
    seen: list[torch.Tensor] = []

    def no_work(network: torch.nn.Module, data: fitting.FitData, *_: object, **__: object) -> None:
        seen.extend(labels for _, labels in data.batches(0))
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit", no_work)
    settings = changed(RNN, {"network": {"loss_steps": "last", "bidirectional": bidirectional}})
    with pytest.raises(KeyboardInterrupt):
        train_model(full_corpus.store, full_corpus.recordings, settings, features_model_id=full_corpus.cnn.model_id)
    known = ~torch.isnan(torch.cat(seen))
    assert known[:, kept].any(dim=0).all()
    known[:, kept] = False
    assert not known.any()


def test_features_are_read_one_recording_at_a_time(trained_corpus: Corpus) -> None:
    store, cnn = trained_corpus.store, trained_corpus.cnn
    sequences, labels = load_sequences(store, ["A1", "A2"], RATERS, RNN, features_model_id=cnn.model_id)
    assert not isinstance(sequences, list)
    for _ in range(2):  # each time anew
        for name, sequence, values in zip(("A1", "A2"), sequences, labels, strict=True):
            stored = read_features(store.features(cnn.model_id, name))
            assert torch.equal(sequence.features, stored.features)
            assert torch.equal(sequence.valid, stored.valid)
            assert values.shape == (len(stored.features), len(RATERS))


def test_an_epoch_is_scored_on_each_dev_recording_held_in_one_block(
    full_corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cnn = full_corpus.store, full_corpus.cnn
    seen: list[torch.Tensor] = []
    start = torch.empty(0)

    def no_work(network: RecurrentNetwork, data: fitting.FitData, *_: object, **__: object) -> None:
        nonlocal start
        start = network.feature_mean
        monkeypatch.setattr(network, "predict_sequence", lambda features, window: seen.append(features))
        with pytest.raises(TypeError):  # nothing was predicted
            data.dev_ccc()
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit", no_work)
    with pytest.raises(KeyboardInterrupt):
        train_model(store, full_corpus.recordings, changed(RNN, {"name": "unfit"}), features_model_id=cnn.model_id)
    for name, features in zip(("B1", "B2"), seen, strict=True):
        stored = read_features(store.features(cnn.model_id, name))
        rows, last = [], start
        for row, valid in zip(stored.features, stored.valid, strict=True):
            last = row if valid else last
            rows.append(last)
        assert torch.equal(features, torch.stack(rows))
    assert len({features.untyped_storage().data_ptr() for features in seen}) == 1


def test_the_registry_builds_it_and_an_option_out_of_range_is_a_wrong_setting() -> None:
    built = build_rnn(RnnTraining(), 6, num_features=20)
    assert (built.head.out_features, built.feature_mean.shape) == (6, (20,))
    network = RnnNetworkSettings().model_copy(update={"cell": "gated"})
    with pytest.raises(SettingsError, match=r"network khorrami-rnn: expected a cell of rnn, lstm, gru.* 'gated'"):
        build_rnn(RnnTraining().model_copy(update={"network": network}), 6)
