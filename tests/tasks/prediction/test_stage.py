"""Predictions against loops written here, from the stored features and weights alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from tasks.prediction.plan import pending
from tasks.prediction.stage import predict
from tasks.store.parts import read_provenance

from ..conftest import PREDICT_RUN, RATERS, Corpus

FloatArray = npt.NDArray[np.float64]


def weights_of(corpus: Corpus, model_id: str) -> dict[str, FloatArray]:
    saved = load_file(corpus.store.model(model_id) / "model.safetensors")
    return {name: tensor.double().numpy() for name, tensor in saved.items()}


def held(corpus: Corpus, recording_id: str, start: FloatArray) -> tuple[FloatArray, list[bool]]:
    """Features with each gap filled by the last frame that had a face, one frame at a time."""
    table = pl.read_parquet(corpus.store.features(corpus.cnn.model_id, recording_id))
    rows, last = [], start
    for value in table["feature"].to_list():
        last = last if value is None else np.array(value)
        rows.append(last)
    return np.array(rows), table["face_valid"].to_list()


def by_rnn(weights: dict[str, FloatArray], features: FloatArray, window: int) -> FloatArray:
    """One window at a time, one step at a time: h = tanh(W x + b + U h + c)."""
    standard = (features - weights["feature_mean"]) / weights["feature_std"]
    rows = []
    for end in range(len(standard)):
        h = np.zeros(weights["layers.0.weight_hh_l0"].shape[0])
        for step in range(end - window + 1, end + 1):
            h = np.tanh(
                weights["layers.0.weight_ih_l0"] @ standard[max(step, 0)]
                + weights["layers.0.bias_ih_l0"]
                + weights["layers.0.weight_hh_l0"] @ h
                + weights["layers.0.bias_hh_l0"]
            )
        rows.append(weights["head.weight"] @ h + weights["head.bias"])
    return np.array(rows)


def stored(corpus: Corpus, model_id: str, recording_id: str) -> tuple[pl.DataFrame, FloatArray]:
    """The table, and its values `[frame, rater]` found by name and index, NaN where null."""
    table = pl.read_parquet(corpus.store.predictions(model_id, recording_id))
    wide = table.pivot(on="rater", index="frame_index", values="value").sort("frame_index")
    return table, wide.select(RATERS).to_numpy().astype(np.float64)


@pytest.mark.parametrize("name", ["A1", "B1", "C1", "D1"])
def test_the_rnn_predicts_every_frame_from_its_context(trained_corpus: Corpus, name: str) -> None:
    rnn = trained_corpus.rnn
    weights = weights_of(trained_corpus, rnn.model_id)
    features, valid = held(trained_corpus, name, weights["feature_mean"])
    table, values = stored(trained_corpus, rnn.model_id, name)
    np.testing.assert_allclose(values, by_rnn(weights, features, 8), atol=2e-5)
    fake = trained_corpus.fakes[name]
    assert len(table) == fake.num_frames * len(RATERS)
    assert table["value"].null_count() == 0
    for (rater,), rows in table.group_by("rater", maintain_order=True):
        assert rows["face_valid"].to_list() == valid, rater
        np.testing.assert_array_equal(rows["time_seconds"].to_numpy(), np.arange(fake.num_frames) * 0.04)
    assert set(table["model_id"]) == {rnn.model_id}
    assert set(table["dimension"]) == {"valence"}


@pytest.mark.parametrize("name", ["A2", "B1", "C1"])
def test_the_cnn_predicts_by_its_head(trained_corpus: Corpus, name: str) -> None:
    cnn = trained_corpus.cnn
    weights = weights_of(trained_corpus, cnn.model_id)
    features, valid = held(trained_corpus, name, np.zeros(300))
    _, values = stored(trained_corpus, cnn.model_id, name)
    expected = features @ weights["head.weight"].T + weights["head.bias"]
    np.testing.assert_allclose(values[valid], expected[valid], atol=1e-4)
    np.testing.assert_allclose(values, expected, atol=1e-4)


def test_frames_without_a_face_can_be_null(full_corpus: Corpus) -> None:
    settings = PREDICT_RUN.model_copy(update={"no_face": "null"})
    for card in (full_corpus.cnn, full_corpus.rnn):
        _, before = stored(full_corpus, card.model_id, "B1")
        stale = [one.recording_id for one in pending(full_corpus.store, full_corpus.recordings, card, settings)]
        assert stale == [one.recording_id for one in full_corpus.recordings]
        assert predict(full_corpus.store, full_corpus.recordings, card, settings).recordings == len(stale)
        table, after = stored(full_corpus, card.model_id, "B1")
        assert len(table) == 150 * len(RATERS)
        faceless = [0, 75, 76, 77]
        assert np.isnan(after[faceless]).all()
        np.testing.assert_array_equal(np.delete(after, faceless, axis=0), np.delete(before, faceless, axis=0))
        assert pending(full_corpus.store, full_corpus.recordings, card, settings) == []


def test_a_device_is_no_reason_to_predict_again(trained_corpus: Corpus) -> None:
    settings = PREDICT_RUN.model_copy(update={"device": "auto", "num_threads": 2})
    for card in trained_corpus.cards:
        assert pending(trained_corpus.store, trained_corpus.recordings, card, settings) == []
        assert predict(trained_corpus.store, trained_corpus.recordings, card, settings).recordings == 0


def test_provenance_names_the_weights(trained_corpus: Corpus) -> None:
    for card in trained_corpus.cards:
        found = read_provenance(trained_corpus.store.predictions(card.model_id, "A1"))
        assert found is not None
        assert found["model_hash"] == card.weights_sha256


def test_random_state_is_left_alone(full_corpus: Corpus) -> None:
    full_corpus.store.predictions(full_corpus.rnn.model_id, "A1").unlink()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert pending(full_corpus.store, full_corpus.recordings, full_corpus.cnn, PREDICT_RUN) == []
    predict(full_corpus.store, full_corpus.recordings, full_corpus.cnn, PREDICT_RUN)
    assert torch.equal(torch.rand(3), expected)
